// SPDX-License-Identifier: Apache-2.0
// One stock client: node client.mjs LIBRARY SERIALIZER URL REALM METHOD ROLE NAME...
// ROLE is serve (NAME: its own), ask (NAMEs: whom), or join. Secrets come in the environment.
import { createRequire } from "module";
import { readFileSync } from "fs";

const require = createRequire(import.meta.url);
const Plain = require("ws");
// The network's own root, and the name that its certificate has, whatever address it is reached by.
globalThis.WebSocket = class extends Plain {
  constructor(url, protocols) {
    super(url, protocols, process.env.INTEROP_CA
      ? { ca: readFileSync(process.env.INTEROP_CA), servername: process.env.INTEROP_NAME } : {});
  }
};

const [library, serializer, url, realm, method, role, ...names] = process.argv.slice(2);
const { INTEROP_AUTHID: authid, INTEROP_SECRET: secret, INTEROP_PUBLIC: pubkey } = process.env;

function say(what) {
  process.stdout.write(what + "\n");
}

function die(why) {
  process.stderr.write(`${library} ${serializer}: ${why instanceof Error ? why.stack : JSON.stringify(why)}\n`);
  process.exit(1);
}

function same(got, wanted, what) {
  const plain = (value) => JSON.stringify(value, (_, v) => (typeof v === "bigint" ? Number(v) : v));
  if (plain(got) !== plain(wanted)) throw new Error(`${what}: got ${plain(got)}, wanted ${plain(wanted)}`);
}

// The router signs what the client asked, with the key that the client knows.
const asked = "5a".repeat(32);
function proveRouter(extra) {
  const signature = Buffer.from(extra.signature, "hex"), wanted = Buffer.from(asked, "hex");
  same(extra.pubkey, process.env.INTEROP_ROUTER, "the router's key");
  same(signature.subarray(64).toString("hex"), asked, "what it signed");
  const good = require("tweetnacl").sign.detached.verify(wanted, signature.subarray(0, 64), Buffer.from(extra.pubkey, "hex"));
  if (!good) throw new Error("the router's signature is not good");
  say("router proved");
}

// Both libraries as one: handlers take and give (args, kwargs).
async function joinAutobahn() {
  const autobahn = require("autobahn");
  const key = () => require("tweetnacl").sign.keyPair.fromSeed(Buffer.from(secret, "hex"));
  const answers = {
    ticket: () => secret,
    wampcra: (extra) => autobahn.auth_cra.sign(
      extra.salt ? autobahn.auth_cra.derive_key(secret, extra.salt, extra.iterations, extra.keylen) : secret, extra.challenge),
    cryptosign: (extra) => {
      if (process.env.INTEROP_ROUTER) proveRouter(extra);
      return autobahn.auth_cryptosign.sign_challenge(key(), extra);
    },
  };
  const connection = new autobahn.Connection({
    realm, authid, authmethods: [method], max_retries: 0, retry_if_unreachable: false,
    authextra: pubkey ? { pubkey, trustroot: null, challenge: process.env.INTEROP_ROUTER ? asked : null, channel_binding: null } : undefined,
    transports: [{ type: "websocket", url, protocols: [`wamp.2.${serializer}`] }],
    serializers: [serializer === "json" ? new autobahn.serializer.JSONSerializer() : new autobahn.serializer.MsgpackSerializer()],
    onchallenge: (session, name, extra) => answers[name](extra),
  });
  const session = await new Promise((opened, closed) => {
    connection.onopen = opened;
    connection.onclose = (reason, details) => closed(new Error(`${reason} ${details.reason}`));
    connection.open();
  });
  connection.onclose = () => true;
  return {
    details: { authid: session.info?.authid ?? connection.session._authid, id: session.id },
    register: (uri, handle) => session.register(uri, async (args, kwargs) => {
      try {
        const result = await handle(args ?? [], kwargs ?? {});
        return new autobahn.Result(result.args, result.kwargs);
      } catch (e) {
        throw e.uri ? new autobahn.Error(e.uri, e.args, e.kwargs) : e;
      }
    }),
    call: async (uri, args, kwargs) => {
      const result = await session.call(uri, args, kwargs);
      return result instanceof autobahn.Result ? { args: result.args, kwargs: result.kwargs } : { args: result === null ? [] : [result], kwargs: {} };
    },
    reason: (e) => ({ uri: e.error, args: e.args }),
    subscribe: (uri, handle) => session.subscribe(uri, (args) => handle(args ?? [])),
    publish: (uri, args) => session.publish(uri, args, {}, { acknowledge: true }),
    leave: () => connection.close(),
  };
}

async function joinWampy() {
  const { Wampy } = await import("wampy");
  const { JsonSerializer } = await import("wampy/JsonSerializer.js");
  const { MsgpackSerializer } = await import("wampy/MsgpackSerializer.js");
  const signers = {
    wampcra: async () => (await import("wampy/wampcra.js")).sign(secret),
    cryptosign: async () => (await import("wampy/cryptosign.js")).sign(secret),
    ticket: async () => () => secret,
  };
  const proof = method === "anonymous" ? {}
    : { authid, authmethods: [method], authextra: pubkey ? { pubkey } : {}, onChallenge: await signers[method]() };
  const session = new Wampy(url, {
    realm, autoReconnect: false, ws: globalThis.WebSocket, ...proof,
    serializer: serializer === "json" ? new JsonSerializer() : new MsgpackSerializer(),
  });
  const details = await session.connect();
  const pack = (args, kwargs) => ({ argsList: args, argsDict: kwargs ?? {} });
  return {
    details,
    register: (uri, handle) => session.register(uri, async (asked) => {
      try {
        const result = await handle(asked.argsList ?? [], asked.argsDict ?? {});
        return pack(result.args, result.kwargs);
      } catch (e) {
        throw e.uri ? Object.assign(new Error(e.uri), { error: e.uri, argsList: e.args, argsDict: e.kwargs }) : e;
      }
    }),
    call: async (uri, args, kwargs) => {
      const result = await session.call(uri, pack(args, kwargs));
      return { args: result.argsList ?? [], kwargs: result.argsDict ?? {} };
    },
    reason: (e) => ({ uri: e.errorUri ?? e.error, args: e.argsList }),
    subscribe: (uri, handle) => session.subscribe(uri, (event) => handle(event.argsList ?? [])),
    publish: (uri, args) => session.publish(uri, pack(args)),
    leave: () => session.disconnect(),
  };
}

async function serve(session, name) {
  await session.register(`app.${name}.add`, ([a, b]) => ({ args: [Number(a) + Number(b)], kwargs: {} }));
  await session.register(`app.${name}.echo`, (args, kwargs) => ({ args, kwargs }));
  await session.register(`app.${name}.fail`, (args) => {
    throw { uri: "app.error.refused", args: [args[0], 7], kwargs: { why: "because" } };
  });
  await session.register(`app.${name}.tell`, async ([topic, what]) => {
    await session.publish(topic, [what, name]);
    return { args: ["told"], kwargs: {} };
  });
  // Somebody's procedure is called, whatever comes of it.
  await session.register(`app.${name}.poke`, async ([procedure]) => {
    const how = await session.call(procedure, []).then(() => "result", () => "error");
    return { args: [how], kwargs: {} };
  });
  await session.subscribe(`app.${name}.news`, () => {});
  say("ready");
}

async function ask(session, own, others) {
  for (const name of others) {
    same((await session.call(`app.${name}.add`, [2, 3])).args, [5], `${name}: add`);
    const echoed = await session.call(`app.${name}.echo`, ["grüße \u{1f600}", [1, 2.5, true, null], { deep: { er: [] } }], { k: "v" });
    same(echoed.args, ["grüße \u{1f600}", [1, 2.5, true, null], { deep: { er: [] } }], `${name}: echo`);
    same(echoed.kwargs, { k: "v" }, `${name}: echo of keywords`);
    const why = await session.call(`app.${name}.fail`, ["x"]).then(() => { throw new Error("no error"); }, (e) => session.reason(e));
    same(why.uri, "app.error.refused", `${name}: error`);
    same(why.args, ["x", 7], `${name}: the error's arguments`);
    let heard;
    const event = new Promise((take) => { heard = take; });
    await session.subscribe(`app.news.${own}.${name}`, heard);
    same((await session.call(`app.${name}.tell`, [`app.news.${own}.${name}`, "it rains"])).args, ["told"], `${name}: tell`);
    same(await event, ["it rains", name], `${name}: event`);
    say(`asked ${name}`);
  }
  const nobody = await session.call("app.nobody.there", []).then(() => { throw new Error("no error"); }, (e) => session.reason(e));
  same(nobody.uri, "wamp.error.no_such_procedure", "a call of what nobody serves");
}

try {
  const session = await (library === "autobahn" ? joinAutobahn() : joinWampy());
  if (role === "serve") {
    await serve(session, names[0]);
  } else {
    if (role === "ask") await ask(session, names[0], names.slice(1));
    say("done");
    setTimeout(() => process.exit(0), 200);
    session.leave();
  }
} catch (e) {
  die(e);
}
