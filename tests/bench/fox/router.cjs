// SPDX-License-Identifier: Apache-2.0
// fox-wamp over TLS: node router.cjs PORT CERTIFICATE KEY
const https = require('node:https')
const fs = require('node:fs')
const Router = require('fox-wamp')
const [port, cert, key] = process.argv.slice(2)
const server = https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key), minVersion: 'TLSv1.3' })
new Router().listenWAMP({ server })
server.listen(Number(port), '127.0.0.1')
