// Event, EventTarget and AbortSignal of the DOM standard, without a tree: an event
// has one target and no path.
import { apply, defineProperty, DOMException, listOf, now, push, remove, tag, weakGet, weakSet } from "../core/primordials.js";
import { setTimeout } from "../core/timers.js";
import { console } from "../core/console.js";

// constants numbers names on a class and its instances.
function constants(Class, names) {
  for (let i = 0; i < names.length; i++) {
    defineProperty(Class, names[i], { __proto__: null, value: i, enumerable: true });
    defineProperty(Class.prototype, names[i], { __proto__: null, value: i, enumerable: true });
  }
}

let isEvent, typeOf;

class Event {
  #type; #bubbles; #cancelable; #composed;
  #prevented = false; #stopped = false; #stopNow = false; #passive = false;
  #target = null; #current = null; #phase = 0;
  #time = now();
  constructor(type, init) {
    if (arguments.length === 0) throw new TypeError("Event takes a type");
    this.#type = `${type}`;
    this.#bubbles = !!init?.bubbles;
    this.#cancelable = !!init?.cancelable;
    this.#composed = !!init?.composed;
  }
  get type() { return this.#type; }
  get target() { return this.#target; }
  get srcElement() { return this.#target; }
  get currentTarget() { return this.#current; }
  get eventPhase() { return this.#phase; }
  get bubbles() { return this.#bubbles; }
  get cancelable() { return this.#cancelable; }
  get composed() { return this.#composed; }
  get defaultPrevented() { return this.#prevented; }
  get returnValue() { return !this.#prevented; }
  get cancelBubble() { return this.#stopped; }
  set cancelBubble(v) { if (v) this.#stopped = true; }
  get timeStamp() { return this.#time; }
  get isTrusted() { return false; }
  composedPath() { return this.#current === null ? [] : [this.#current]; }
  preventDefault() { if (this.#cancelable && !this.#passive) this.#prevented = true; }
  stopPropagation() { this.#stopped = true; }
  stopImmediatePropagation() { this.#stopped = this.#stopNow = true; }

  static { isEvent = (v) => typeof v === "object" && v !== null && #type in v; typeOf = (e) => e.#type; }
  static dispatch(target, event, listeners) {
    if (event.#phase !== 0) throw new DOMException("the event is being dispatched already", "InvalidStateError");
    event.#target = event.#current = target;
    event.#phase = 2;
    for (let i = 0; i < listeners.length && !event.#stopNow; i++) {
      const l = listeners[i];
      if (l.removed) continue;
      if (l.once) l.remove();
      event.#passive = l.passive;
      try {
        if (typeof l.callback === "function") apply(l.callback, target, [event]);
        else l.callback.handleEvent(event);
      } catch (error) {
        report(error);
      }
      event.#passive = false;
    }
    event.#current = null;
    event.#phase = 0;
    event.#stopped = event.#stopNow = false;
    return !event.#prevented;
  }
}
const dispatch = Event.dispatch;
delete Event.dispatch;
tag(Event, "Event");
constants(Event, ["NONE", "CAPTURING_PHASE", "AT_TARGET", "BUBBLING_PHASE"]);

// report does with an exception of a listener what a browser does: it shows it, and
// the others run.
function report(error) {
  console.error("Uncaught", error);
}

class CustomEvent extends Event {
  #detail;
  constructor(type, init) {
    super(type, init);
    this.#detail = init?.detail ?? null;
  }
  get detail() { return this.#detail; }
}
tag(CustomEvent, "CustomEvent");

class ErrorEvent extends Event {
  #init;
  constructor(type, init) {
    super(type, init);
    this.#init = { ...init };
  }
  get message() { return this.#init.message ?? ""; }
  get filename() { return this.#init.filename ?? ""; }
  get lineno() { return this.#init.lineno ?? 0; }
  get colno() { return this.#init.colno ?? 0; }
  get error() { return this.#init.error; }
}
tag(ErrorEvent, "ErrorEvent");

class EventTarget {
  #listeners = [];
  addEventListener(type, callback, options) {
    if (callback === null || callback === undefined) return;
    if (typeof callback !== "function" && typeof callback !== "object") throw new TypeError("an event listener must be a function or an object with handleEvent");
    const capture = typeof options === "boolean" ? options : !!options?.capture;
    const signal = typeof options === "object" && options !== null ? options.signal : undefined;
    if (signal !== undefined && !isSignal(signal)) throw new TypeError("signal must be an AbortSignal");
    if (signal !== undefined && isAborted(signal)) return;
    type = `${type}`;
    const listeners = this.#listeners;
    for (let i = 0; i < listeners.length; i++) {
      const l = listeners[i];
      if (l.type === type && l.callback === callback && l.capture === capture) return;
    }
    const l = {
      __proto__: null, type, callback, capture, once: !!options?.once, passive: !!options?.passive, removed: false,
      remove() {
        l.removed = true;
        for (let i = 0; i < listeners.length; i++) if (listeners[i] === l) return remove(listeners, i);
      },
    };
    push(listeners, l);
    if (signal !== undefined) onAbort(signal, l.remove);
  }
  removeEventListener(type, callback, options) {
    const capture = typeof options === "boolean" ? options : !!options?.capture;
    for (let i = 0; i < this.#listeners.length; i++) {
      const l = this.#listeners[i];
      if (l.type === `${type}` && l.callback === callback && l.capture === capture) return l.remove();
    }
  }
  dispatchEvent(event) {
    if (!isEvent(event)) throw new TypeError("dispatchEvent takes an Event");
    const type = typeOf(event);
    const found = [];
    for (let i = 0; i < this.#listeners.length; i++) if (this.#listeners[i].type === type) push(found, this.#listeners[i]);
    return dispatch(this, event, found);
  }
}
const fire = EventTarget.prototype.dispatchEvent;
tag(EventTarget, "EventTarget");

// attribute defines on<type>, which is a listener that can be replaced. set is called
// with an object that gets one.
function attribute(Class, type, set) {
  const handlers = new WeakMap();
  const add = EventTarget.prototype.addEventListener;
  defineProperty(Class.prototype, "on" + type, {
    __proto__: null,
    enumerable: true,
    configurable: true,
    get() { return weakGet(handlers, this)?.callback ?? null; },
    set(callback) {
      let h = weakGet(handlers, this);
      if (h === undefined) {
        h = { __proto__: null, callback: null };
        weakSet(handlers, this, h);
        apply(add, this, [type, (event) => (typeof h.callback === "function" ? apply(h.callback, this, [event]) : undefined)]);
      }
      h.callback = typeof callback === "function" || typeof callback === "object" ? callback : null;
      set?.(this);
    },
  });
}

const key = Symbol(); // only the prelude makes signals

class AbortSignal extends EventTarget {
  #aborted = false; #reason; #steps = [];
  constructor(k) {
    if (k !== key) throw new TypeError("Illegal constructor: use new AbortController().signal, AbortSignal.timeout(ms) or AbortSignal.any(signals)");
    super();
  }
  get aborted() { return this.#aborted; }
  get reason() { return this.#reason; }
  throwIfAborted() { if (this.#aborted) throw this.#reason; }

  static abort(reason) {
    const s = new AbortSignal(key);
    signalAbort(s, reason);
    return s;
  }
  static timeout(ms) {
    ms = +ms;
    if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) throw new TypeError("AbortSignal.timeout takes milliseconds");
    const s = new AbortSignal(key);
    setTimeout(() => signalAbort(s, new DOMException("The operation timed out", "TimeoutError")), ms);
    return s;
  }
  static any(signals) {
    const s = new AbortSignal(key);
    const all = listOf(signals, "AbortSignal.any takes signals");
    for (let i = 0; i < all.length; i++) if (!isSignal(all[i])) throw new TypeError("AbortSignal.any takes signals");
    for (let i = 0; i < all.length; i++) {
      const one = all[i];
      if (one.#aborted) {
        signalAbort(s, one.#reason);
        return s;
      }
    }
    for (let i = 0; i < all.length; i++) onAbort(all[i], () => signalAbort(s, all[i].#reason));
    return s;
  }

  static internals = {
    abort(s, reason) {
      if (s.#aborted) return;
      s.#aborted = true;
      s.#reason = reason === undefined ? new DOMException("This operation was aborted", "AbortError") : reason;
      const steps = s.#steps;
      s.#steps = [];
      for (let i = 0; i < steps.length; i++) steps[i]();
      apply(fire, s, [new Event("abort")]);
    },
    make: () => new AbortSignal(key),
    on(s, step) {
      if (s.#aborted) step();
      else push(s.#steps, step);
    },
    off(s, step) {
      for (let i = 0; i < s.#steps.length; i++) if (s.#steps[i] === step) return remove(s.#steps, i);
    },
    signal: (s) => typeof s === "object" && s !== null && #aborted in s,
    aborted: (s) => s.#aborted,
    reason: (s) => s.#reason,
  };
}
const { make: newSignal, abort: signalAbort, on: onAbort, off: offAbort, signal: isSignal, aborted: isAborted, reason: reasonOf } = AbortSignal.internals;
delete AbortSignal.internals;
tag(AbortSignal, "AbortSignal");
attribute(AbortSignal, "abort");

class AbortController {
  #signal = new AbortSignal(key);
  get signal() { return this.#signal; }
  abort(reason) { signalAbort(this.#signal, reason); }
}
tag(AbortController, "AbortController");

// WebSocket is there for libraries that look for it and may never open one.
class WebSocket extends EventTarget {
  constructor() {
    super();
    throw new DOMException("a function has no sockets: use fetch, or listen for changes with a database trigger", "NotSupportedError");
  }
}
tag(WebSocket, "WebSocket");
constants(WebSocket, ["CONNECTING", "OPEN", "CLOSING", "CLOSED"]);

export { attribute, isAborted, newSignal, signalAbort, reasonOf, WebSocket, Event, CustomEvent, ErrorEvent, EventTarget, AbortSignal, AbortController, onAbort, offAbort, isSignal };
