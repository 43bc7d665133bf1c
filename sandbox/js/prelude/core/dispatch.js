// The dispatcher: finds what a module exports, hands it the event, and turns what
// it returns into the JSON text of the result.
import { apply, bytesOf, defineProperty, DOMException, hasOwn, hidden, isError, isPromise, now, own, parse, Promise, push, rejected, resolved, stringify, then, toBase64 } from "./primordials.js";
import { ask, host } from "./host.js";
import { console } from "./console.js";
import { begin, env, serve, setEnv } from "./env.js";
import { use } from "./parts.js";

// find returns how to run a module's function, or throws an error that says what
// to export. It runs at deploy and at every call.
export function find(module) {
  if (typeof module.handler === "function") return plain(module.handler, undefined);
  const main = module.default;
  if (typeof main === "object" && main !== null || typeof main === "function" && typeof main.fetch === "function") {
    if (typeof main.fetch === "function") return fetches(main.fetch, main);
    if (typeof main.handler === "function") return plain(main.handler, main);
  }
  if (typeof main === "function") return plain(main, undefined);
  if (serve.handler !== undefined) return fetches(serve.handler, undefined);
  throw new TypeError("the module exports no function to call: write `export async function handler(event, context)`, or `export default { fetch(request, env, ctx) }`, or `Deno.serve(handler)`");
}

const plain = (handler, self) => (text) => {
  const event = parse(text);
  return result(apply(handler, self, [event, makeContext(text)]));
};

const fetches = (handler, self) => (text) => {
  const event = parse(text);
  const request = use("fetch").requestOf(event, text);
  return result(apply(handler, self, [request, env, makeContext(text)]));
};


// What a function asked to be finished before its invocation ends.
let pending = [];

function makeContext(text) {
  const { call } = host;
  return hidden({
    invocationId: call.invocation_id,
    attempt: call.attempt,
    maxAttempts: call.max_attempts,
    deadline: call.deadline_ms,
    functionName: call.function,
    functionVersion: call.version,
    trigger: call.trigger,
  }, {
    remainingTime() {
      const left = call.deadline_ms - now();
      return left > 0 ? left : 0;
    },
    waitUntil(promise) {
      push(pending, own(then(own(resolved(promise)), undefined, (error) => { console.error("waitUntil:", error); })));
    },
    env,
    get rawBody() { return rawBody(text); },
  });
}

// rawBody returns the body as it stands in the event: byte for byte what came, when
// it was JSON; a signature can be checked against it.
export function rawBody(text) {
  const raw = ask("json_member", text, "body");
  return raw[0] === '"' ? parse(raw) : raw === "null" ? "" : raw;
}

// result waits for what the handler returned and for what it asked to wait for.
function result(value) {
  return then(own(settled(value)), (value) => {
    const text = encode(value);
    return pending.length === 0 ? text : then(own(finish()), () => text);
  });
}

// settled makes a promise of a value. A promise is waited for with the then that
// the language has, whatever Promise.prototype.then is now.
function settled(value) {
  return new Promise((resolve, reject) => {
    if (isPromise(value)) {
      try {
        then(own(value), (v) => resolve({ __proto__: null, v }), reject);
        return;
      } catch { /* not a promise after all: a thenable like any other */ }
    }
    if (typeof value === "object" && value !== null || typeof value === "function") {
      const next = value.then;
      if (typeof next === "function") {
        then(own(new Promise((r, j) => apply(next, value, [r, j]))), (v) => resolve({ __proto__: null, v }), reject);
        return;
      }
    }
    resolve({ __proto__: null, v: value });
  });
}

// finish waits for all of them, also for those that come while it waits.
async function finish() {
  for (let i = 0; i < pending.length; i++) await pending[i];
}

function encode({ v: value }) {
  switch (typeof value) {
    case "undefined":
      return undefined;
    case "function": case "symbol":
      throw new TypeError(`the function returned a ${typeof value}, which JSON cannot hold: return a string, an object, a Response or nothing`);
    case "bigint":
      throw new TypeError("the function returned a bigint, which JSON cannot hold: return String(value), or Number(value) when it is small");
    case "object":
      if (value === null) return "null";
      if (value.constructor?.name === "Response" && use("fetch").isResponse(value)) return use("fetch").resultOf(value);
      if (hasOwn(value, "statusCode")) {
        const bytes = bytesOf(value.body);
        if (bytes !== undefined) value = { ...value, body: toBase64(bytes), is_base64: true };
      }
  }
  let text;
  try {
    text = stringify(value);
  } catch (error) {
    const why = error instanceof TypeError ? error.message : undefined;
    if (why === undefined) throw error;
    const message = `the function's result cannot be written as JSON (${why}): return plain data without cycles and bigints`;
    try {
      defineProperty(error, "message", { __proto__: null, value: message, configurable: true, writable: true });
    } catch { /* somebody's frozen error says enough */ }
    throw error;
  }
  return text;
}

// An error that is no Error has no stack and no message: say what it was.
function failure(thrown) {
  if (isError(thrown) || thrown instanceof DOMException) return thrown;
  let what;
  try {
    what = typeof thrown === "string" ? thrown : use("inspect").inspect(thrown);
  } catch {
    what = typeof thrown;
  }
  const error = new Error(`the function threw something that is no Error: ${what}`);
  error.stack = "";
  return error;
}

export function start() {
  host.entry(
    (module, text) => {
      try {
        begin();
        setEnv(host.env());
        pending = [];
        return then(own(find(module)(text)), undefined, (e) => { throw failure(e); });
      } catch (e) {
        return rejected(failure(e));
      }
    },
    (module) => { find(module); },
  );
}
