// SPDX-License-Identifier: Apache-2.0
// Canceling in its three modes, calls in parts and packed payloads with wampy: node features.mjs URL REALM. Prints "done".
import { createRequire } from "module";
import { Wampy } from "wampy";
import { JsonSerializer } from "wampy/JsonSerializer.js";
import { MsgpackSerializer } from "wampy/MsgpackSerializer.js";

const [url, realm] = process.argv.slice(2);
const ws = createRequire(import.meta.url)("ws");

// What wampy does and does not announce by itself: it makes calls in parts, and can be made to take them.
const features = (...names) => ({ features: Object.fromEntries(names.map((name) => [name, true])) });
const roles = {
  caller: features("progressive_call_results", "progressive_call_invocations", "call_canceling", "payload_passthru_mode"),
  callee: features("progressive_call_results", "progressive_call_invocations", "call_canceling", "payload_passthru_mode"),
  publisher: features("payload_passthru_mode"), subscriber: features("payload_passthru_mode"),
};

async function join(serializer, more = {}, isAble = false) {
  const session = new Wampy(url, { realm, autoReconnect: false, ws, serializer, ...more });
  if (isAble) for (const [role, what] of Object.entries(roles)) Object.assign(session._wamp_features.roles[role].features, what.features);
  await session.connect();
  return session;
}

function check(good, what) {
  if (!good) throw new Error(what);
}

async function cancel(callee, caller, mode) {
  let asked;
  const begun = new Promise((take) => { asked = take; });
  const procedure = `app.w.slow.${mode}`;
  await callee.register(procedure, () => { asked(); return new Promise((take) => setTimeout(take, 700, "late")); });
  const call = caller.call(procedure, []).then(() => "result", (e) => e.errorUri ?? e.error);
  const request = caller.getOpStatus().reqId;
  await begun;
  caller.cancel(request, { mode });
  const how = await call;
  // wampy's callee knows no INTERRUPT, and does not say that it does: kill waits for its answer then.
  check(how === "wamp.error.canceled" || (mode === "kill" && how === "result"), `${mode}: ${how}`);
  const next = await caller.call("app.w.add", [2, 3]);
  check(Number(next.argsList[0]) === 5, `${mode}: what comes after`);
}

async function parts(callee, caller) {
  const heard = [];
  await callee.register("app.w.sum", ({ argsList: [n], details }) => {
    heard.push([Number(n), details.progress === true]);
    return details.progress ? new Promise(() => {}) : { argsList: [heard.reduce((sum, [x]) => sum + x, 0)] };
  });
  const call = caller.progressiveCall("app.w.sum", [1]);
  call.sendData([2]);
  call.sendData([3], { progress: false });
  const result = await call.result;
  check(Number(result.argsList[0]) === 6, `parts: ${result.argsList}`);
  check(JSON.stringify(heard) === "[[1,true],[2,true],[3,false]]", `parts: ${JSON.stringify(heard)}`);
}

async function packed(callee, caller) {
  const words = { ppt_scheme: "x_interop", ppt_serializer: "msgpack" }, seen = [];
  await callee.register("app.w.packed", ({ argsList, details }) => {
    seen.push(details.ppt_scheme, details.ppt_serializer);
    return { argsList: [...argsList, "back"], options: words };
  });
  const result = await caller.call("app.w.packed", { argsList: ["there"] }, words);
  check(JSON.stringify(result.argsList) === '["there","back"]', `packed: ${JSON.stringify(result)}`);
  check(result.details.ppt_scheme === "x_interop", `packed: ${JSON.stringify(result.details)}`);
  const event = new Promise((take) => { callee.subscribe("app.w.news", take).then(() =>
    caller.publish("app.w.news", { argsList: ["wrapped"] }, words)); });
  const { argsList, details } = await event;
  check(argsList[0] === "wrapped" && details.ppt_scheme === "x_interop", `packed event: ${JSON.stringify(details)}`);
  check(seen.join() === "x_interop,msgpack", `packed: ${seen}`);
}

try {
  const callee = await join(new MsgpackSerializer()), caller = await join(new JsonSerializer());
  await callee.register("app.w.add", ({ argsList: [a, b] }) => ({ argsList: [Number(a) + Number(b)] }));
  for (const mode of ["skip", "kill", "killnowait"]) await cancel(callee, caller, mode);
  const serializers = () => ({ payloadSerializers: { msgpack: new MsgpackSerializer() } });
  const one = await join(new MsgpackSerializer(), serializers(), true), other = await join(new MsgpackSerializer(), serializers(), true);
  await parts(one, other);
  await packed(one, other);
  process.stdout.write("done\n");
  process.exit(0);
} catch (e) {
  process.stderr.write(`${e?.stack ?? JSON.stringify(e)}\n`);
  process.exit(1);
}
