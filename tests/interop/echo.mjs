// SPDX-License-Identifier: Apache-2.0
// The sub-protocol echo with npm's ws: node echo.mjs URL. Prints "done".
import { createRequire } from "module";

const WebSocket = createRequire(import.meta.url)("ws");
const socket = new WebSocket(process.argv[2], "echo");
const sent = ["", "gr\u00fc\u00dfe", "x".repeat(70000), Buffer.alloc(0), Buffer.from([0, 255, 254]), Buffer.alloc(200000, 7)];

function die(why) {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}

socket.on("error", (e) => die(e.stack));
socket.on("open", () => {
  if (socket.protocol !== "echo") die(`sub-protocol ${socket.protocol}`);
  socket.ping("still there?");
});
let n = 0;
socket.on("pong", (data) => {
  if (String(data) !== "still there?") die(`pong ${data}`);
  for (const message of sent) socket.send(message);
});
socket.on("message", (data, isBinary) => {
  const wanted = sent[n++];
  if (isBinary !== Buffer.isBuffer(wanted) || Buffer.compare(data, Buffer.from(wanted)) !== 0) die(`message ${n} came back as another`);
  if (n === sent.length) socket.close(1000, "enough");
});
socket.on("close", (code) => {
  if (n !== sent.length || code !== 1000) die(`closed with ${code} after ${n}`);
  process.stdout.write("done\n");
});
