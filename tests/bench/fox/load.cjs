// SPDX-License-Identifier: Apache-2.0
// One stock-like client that calls and one that serves, JSON over TLS: node load.cjs serve|call PORT REALM WINDOW SECONDS
// Prints lines of JSON, as router_load does.
const WebSocket = require('ws')
const [verb, port, realm, window, seconds] = process.argv.slice(2)
const PROCEDURE = 'bench.echo', WARM_MS = 500
const say = what => console.log(JSON.stringify(what))
const socket = new WebSocket(`wss://127.0.0.1:${port}/`, 'wamp.2.json', { rejectUnauthorized: false, perMessageDeflate: false })
const send = message => socket.send(JSON.stringify(message))
const body = 'x'.repeat(64)
const sent = new Map(), took = []
let request = 0, counted = 0, firstAt = 0, lastAt = 0, warmAt = 0, endAt = 0

function now () { return Number(process.hrtime.bigint()) / 1000 }
function call () { sent.set(++request, now()); send([48, request, {}, PROCEDURE, [body]]) }
function begin () {
  warmAt = now() + WARM_MS * 1000
  endAt = warmAt + Number(seconds) * 1e6
  for (let i = 0; i < Number(window); i++) call()
}
function answered (number) {
  const at = now()
  if (at >= warmAt && at < endAt) {
    counted++ || (firstAt = at)
    lastAt = at
    took.push(at - sent.get(number))
  }
  sent.delete(number)
  if (at < endAt) return call()
  if (sent.size) return
  took.sort((a, b) => a - b)
  say({ calls: counted, value: counted * 1e6 / (lastAt - firstAt), p50_us: took[took.length >> 1], p99_us: took[Math.floor(took.length * 0.99)], max_us: took[took.length - 1] })
  process.exit(0)
}
const acts = {
  2: () => verb === 'serve' ? send([64, ++request, {}, PROCEDURE]) : begin(), // WELCOME
  65: () => say({ said: 'ready', at: now() }), // REGISTERED
  68: m => send([70, m[1], {}, m[4] || []]), // INVOCATION -> YIELD
  50: m => answered(m[1]) // RESULT
}
socket.on('open', () => send([1, realm, { roles: { caller: {}, callee: {} }, authmethods: ['anonymous'] }]))
socket.on('message', data => {
  const message = JSON.parse(data)
  const act = acts[message[0]]
  if (!act) { console.error(String(data)); process.exit(1) }
  act(message)
})
socket.on('error', why => { console.error(why.message); process.exit(1) })
socket.on('close', () => process.exit(1))
