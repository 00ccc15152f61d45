// SPDX-License-Identifier: Apache-2.0
// The other one beside `dial_ms`: a WebRTC data channel of npm's @roamhq/wrtc. wrtc.mjs MODULE-FOLDER call|answer. Signalling goes over
// standard input and output, a line of JSON a message: it costs nothing.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, role] = process.argv.slice(2);
const { RTCPeerConnection } = createRequire(folder + "/")("@roamhq/wrtc");
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const peer = new RTCPeerConnection({ iceServers: [] });
let begin;

peer.onicecandidate = ({ candidate }) => candidate && say({ candidate });
peer.ondatachannel = ({ channel }) => { channel.onmessage = ({ data }) => channel.send(data); };

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
  }
}

let last = Promise.resolve();
createInterface({ input: process.stdin }).on("line", (line) => { last = last.then(() => hear(JSON.parse(line))); }).on("close", () => process.exit(0));
say({ said: "ready" });
