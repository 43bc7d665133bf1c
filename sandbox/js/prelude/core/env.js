// The environment of the invocation under the names that people know, and the few
// facts about the platform that libraries ask for.
import { apply, defineProperty, freeze, hasOwn, hidden, keys, now, trunc } from "./primordials.js";

export const env = {};

// setEnv fills the environment in at the start of a call. Before that it is empty:
// what is read at the top level of a module would be kept in the image.
export function setEnv(values) {
  const names = keys(values);
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    defineProperty(env, name, { __proto__: null, value: values[name], writable: true, enumerable: true, configurable: true });
  }
}

// The clock counts from the start of a call, in tenths of a millisecond: an image has
// no time of its own, and what counts finer measures other things.
const clock = performance.now.bind(performance);
let origin = 0, began = 0;
export function begin() {
  origin = now();
  began = clock();
}

const get = (name) => (hasOwn(env, `${name}`) ? env[`${name}`] : undefined);

export const serve = { __proto__: null, handler: undefined };

const version = "1.0";

hidden(globalThis, {
  env,
  self: globalThis,
  performance: {
    get timeOrigin() { return origin; },
    now: () => trunc((clock() - began) * 10) / 10,
    toJSON: () => ({ timeOrigin: origin }),
  },
  reportError(error) { globalThis.console.error("Uncaught", error); },
  process: {
    env,
    argv: [],
    platform: "runnel",
    browser: false,
    version: "",
    versions: {},
    cwd: () => "/",
    nextTick: (f, ...args) => queueMicrotask(() => apply(f, undefined, args)),
  },
  Deno: {
    env: {
      get,
      has: (name) => hasOwn(env, `${name}`),
      toObject: () => ({ ...env }),
    },
    serve(...args) {
      let handler = args[args.length - 1];
      if (typeof handler === "object" && handler !== null) handler = handler.handler ?? handler.fetch;
      if (typeof handler !== "function") throw new TypeError("Deno.serve takes a function: Deno.serve((request) => new Response('hello'))");
      if (serve.handler !== undefined) throw new TypeError("Deno.serve was called before: a function has one handler");
      serve.handler = handler;
      return { finished: new Promise(() => {}), shutdown: async () => {}, ref() {}, unref() {}, addr: { transport: "tcp", hostname: "localhost", port: 80 } };
    },
  },
  navigator: freeze({ userAgent: `Runnel/${version}`, language: "en-US", languages: freeze(["en-US"]), hardwareConcurrency: 1, onLine: true }),
});
