// The boot script: a function of the four native functions of the engine. It makes
// the host object, gives it to the prelude, and returns the four functions that the
// engine calls: step, check, track and waiting.
//
// Everything it needs later it takes now. A function's own code can change every
// global and every prototype, and must change nothing here by it.
(function (number, text, bytes, load) {
  "use strict";
  const { parse, stringify } = JSON;
  const { apply, getOwnPropertyDescriptor } = Reflect;
  const { create, freeze, defineProperty } = Object;
  const ErrorClass = Error, TypeErrorClass = TypeError, PromiseClass = Promise, StringOf = String;
  const then = Promise.prototype.then, resolveOf = Promise.resolve;
  const ExceptionClass = DOMException; // which QuickJS does not count among the errors
  const errorOf = ErrorClass.isError;
  const isError = (v) => errorOf(v) || v instanceof ExceptionClass;
  const bind = Function.prototype.bind;
  const weakAdd = WeakSet.prototype.add, weakHas = WeakSet.prototype.has;
  const slice = String.prototype.slice;
  const errors = { __proto__: null, Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError };
  const failures = new WeakSet(); // errors of host operations
  const pending = create(null); // of sends, by id
  let rejected = create(null), rejections = 0; // promises that nobody handles yet
  let lastID = 0, dispatch, examine, namespace, invocation, building = false, started = false;

  // set defines an own property, whatever setters a prototype has got.
  const set = (object, key, value) =>
    defineProperty(object, key, { __proto__: null, value, writable: true, enumerable: false, configurable: true });

  function hostError(e) {
    const error = new ErrorClass(e.message);
    for (const key of ["code", "sqlstate", "detail", "hint", "position", "schema", "table", "column", "constraint", "statement"]) {
      if (e[key] !== undefined) set(error, key, e[key]);
    }
    apply(weakAdd, failures, [error]);
    return error;
  }

  // show is the text of anything that was thrown, as a log has it.
  function show(e) {
    try {
      if (typeof e === "object" && e !== null && isError(e)) {
        let head = StringOf(e), stack = e.stack;
        stack = typeof stack === "string" ? stack : "";
        if (head === "[object Object]") head = "Error";
        let s = stack === "" ? head : head + "\n" + stack;
        if (e.cause !== undefined && s.length < 65536) s += "\ncaused by: " + show(e.cause);
        return s.length > 65536 ? apply(slice, s, [0, 65536]) : s;
      }
      let s;
      if (typeof e === "object" && e !== null) {
        try { s = stringify(e); } catch {}
      }
      s = s === undefined ? StringOf(e) : s;
      return "thrown: " + (s.length > 65536 ? apply(slice, s, [0, 65536]) : s);
    } catch {
      return "an error that cannot be shown";
    }
  }

  const ask = apply(bind, number, [undefined, "ask"]);

  const host = freeze({
    __proto__: null,
    // send asks for what takes time. stack is where in the function it was asked for,
    // which is told when the function is stopped before the answer is there.
    send(op, value, stack) {
      if (building) number("refuse", `${op}`, new ErrorClass().stack);
      return new PromiseClass((resolve, reject) => {
        const id = ++lastID;
        pending[id] = { __proto__: null, resolve, reject, op, stack };
        number("send", `${id}`, `${op}`, stringify(value) ?? "null");
      });
    },
    ask(...args) {
      for (let i = 0; i < args.length; i++) {
        const a = args[i];
        if (typeof a === "number" || typeof a === "boolean") args[i] = `${a}`;
        else if (typeof a !== "string" && typeof a !== "object") throw new TypeErrorClass("host.ask takes strings, numbers and Uint8Arrays");
      }
      switch (apply(ask, undefined, args)) {
        case 0: return text("take");
        case 1: return bytes("take");
        default: {
          const e = parse(text("take"));
          const error = new (errors[e.name] ?? ErrorClass)(e.message);
          if (error.name !== e.name) set(error, "name", e.name);
          throw error;
        }
      }
    },
    log(level, message) { number("log", `${level}`, `${message}`); },
    env: () => parse(text("env")),
    get call() { return (invocation ??= freeze(parse(text("call")))); },
    get building() { return building; },
    // entry sets what runs an invocation, and what says at deploy that a module has
    // nothing to run.
    entry(callback, check) { dispatch = callback; examine = check; },
  });

  const done = (result) => { result === undefined ? number("done") : number("done", `${result}`); };
  // outlook is what an error says of another attempt: none, or not before so many seconds.
  function outlook(e) {
    try {
      const after = e.retryAfter ?? e.retry_after;
      return { __proto__: null, final: e.retryable === false || e.name === "NonRetryableError", after: typeof after === "number" ? after : undefined };
    } catch {
      return undefined; // no object, or one with getters that throw
    }
  }
  const fail = (e) => {
    number("fail", stringify({ __proto__: null, text: show(e), retry: outlook(e), host: typeof e === "object" && e !== null && apply(weakHas, failures, [e]) }));
  };

  function boot() {
    building = number("building") === 1;
    const source = text("source");
    ("PRELUDE")(host, source);
    const module = load(source); // not destructured: that asks the iterator of arrays
    namespace = module[1];
    const loaded = apply(then, module[0], [() => { examine?.(namespace); done(); }]);
    // A second then: it also gets what examine throws.
    apply(then, loaded, [undefined, fail]);
  }

  function step(event) {
    if (event === undefined) {
      if (!started) {
        started = true;
        try { boot(); } catch (e) { fail(e); }
        return;
      }
      for (let id; (id = number("next")) !== 0; ) {
        const p = pending[id], answer = text("take");
        delete pending[id];
        if (p === undefined) continue;
        const value = answer === "" ? undefined : parse(answer);
        if (typeof value === "object" && value !== null && getOwnPropertyDescriptor(value, "error") !== undefined) p.reject(hostError(value.error));
        else p.resolve(value);
      }
      return;
    }
    building = false;
    let promise;
    try {
      promise = dispatch(namespace, event);
      promise = apply(resolveOf, PromiseClass, [promise]);
    } catch (e) {
      return fail(e);
    }
    apply(then, promise, [done, fail]);
  }

  // check is called when no job is ready: what nobody handles by now, nobody will.
  // With an argument, it is what a job threw.
  function check(thrown) {
    if (thrown !== undefined) return fail(thrown);
    if (rejections === 0) return;
    const all = rejected;
    rejected = create(null);
    rejections = 0;
    for (const key in all) fail(all[key].reason);
  }

  let nextRejection = 0;
  function track(promise, reason, handled) {
    if (handled) {
      for (const key in rejected) {
        if (rejected[key].promise === promise) { delete rejected[key]; rejections--; return; }
      }
      return;
    }
    rejected[nextRejection++] = { __proto__: null, promise, reason };
    rejections++;
  }

  // waiting says what the function waits for: the first few things.
  function waiting() {
    let s = "", n = 0;
    for (const id in pending) {
      const { op, stack } = pending[id];
      if (++n > 4) return s + "waiting for more";
      s += `waiting for ${op === "sleep" ? "a timer" : op}\n`;
      if (typeof stack === "string") s += stack;
    }
    return s;
  }

  return [step, check, track, waiting];
});
