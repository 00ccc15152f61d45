// SPDX-License-Identifier: Apache-2.0
// Canceling in its three modes with wampy: node features.mjs URL REALM. Prints "done".
import { createRequire } from "module";
import { Wampy } from "wampy";
import { JsonSerializer } from "wampy/JsonSerializer.js";
import { MsgpackSerializer } from "wampy/MsgpackSerializer.js";

const [url, realm] = process.argv.slice(2);
const ws = createRequire(import.meta.url)("ws");

async function join(serializer) {
  const session = new Wampy(url, { realm, autoReconnect: false, ws, serializer });
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

try {
  const callee = await join(new MsgpackSerializer()), caller = await join(new JsonSerializer());
  await callee.register("app.w.add", ({ argsList: [a, b] }) => ({ argsList: [Number(a) + Number(b)] }));
  for (const mode of ["skip", "kill", "killnowait"]) await cancel(callee, caller, mode);
  process.stdout.write("done\n");
  process.exit(0);
} catch (e) {
  process.stderr.write(`${e?.stack ?? JSON.stringify(e)}\n`);
  process.exit(1);
}
