// SPDX-License-Identifier: Apache-2.0
// The other one beside `dial_ms` and the rates of a link: a WebRTC data channel of npm's @roamhq/wrtc. wrtc.mjs MODULE-FOLDER call|answer. Signalling
// goes over standard input and output, a line of JSON a message: it costs nothing. {"call": true} sends a byte there and back; {"bulk": true}
// as much as goes, for as long as it goes, and the other end says how much that was.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, role] = process.argv.slice(2);
const { RTCPeerConnection } = createRequire(folder + "/")("@roamhq/wrtc");
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const peer = new RTCPeerConnection({ iceServers: [] });
let begin;

peer.onicecandidate = ({ candidate }) => candidate && say({ candidate });
peer.ondatachannel = ({ channel }) => {
  channel.binaryType = "arraybuffer";
  channel.onmessage = channel.label === "bulk" ? ({ data }) => count(data.byteLength) : ({ data }) => channel.send(data);
};

const WARM = 2000, COUNTED = 4000; // milliseconds
let first, bytes = 0;
function count(size) {
  const now = performance.now();
  first ??= now;
  if (now - first < WARM || bytes < 0) return;
  bytes += size;
  if (now - first < WARM + COUNTED) return;
  say({ said: "bulk", mbit: bytes * 8 / (now - first - WARM) / 1000 });
  bytes = -Infinity;
}

async function fill() {
  const channel = peer.createDataChannel("bulk"), block = new Uint8Array(65536), enough = 4 << 20;
  // By the clock: where the buffer runs empty while it is filled, `bufferedamountlow` is never told.
  const more = () => { while (channel.readyState === "open" && channel.bufferedAmount < enough) channel.send(block); };
  channel.onopen = () => { more(); setInterval(more, 1); };
  await peer.setLocalDescription(await peer.createOffer());
  say({ description: peer.localDescription });
}

async function call() {
  begin = performance.now();
  const channel = peer.createDataChannel("x");
  channel.onopen = () => channel.send("x");
  channel.onmessage = () => say({ said: "first_byte", ms: performance.now() - begin });
  await peer.setLocalDescription(await peer.createOffer());
  say({ description: peer.localDescription });
}

async function hear(message) {
  if (message.description) {
    await peer.setRemoteDescription(message.description);
    if (role === "answer") {
      await peer.setLocalDescription(await peer.createAnswer());
      say({ description: peer.localDescription });
    }
  } else if (message.candidate) {
    await peer.addIceCandidate(message.candidate);
  } else if (message.call) {
    await call();
  } else if (message.bulk) {
    await fill();
  }
}

let last = Promise.resolve();
createInterface({ input: process.stdin }).on("line", (line) => { last = last.then(() => hear(JSON.parse(line))); }).on("close", () => process.exit(0));
say({ said: "ready" });
