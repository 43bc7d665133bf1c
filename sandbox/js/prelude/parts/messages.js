// MessageChannel: two ports of one function, since there is one thread. A message is
// cloned when it is sent and arrives in a task of its own.
import { bare, isArray, push, shift, tag, uncurry } from "../core/primordials.js";
import { setTimeout } from "../core/timers.js";
import { attribute, Event, EventTarget } from "./events.js";
import { structuredClone } from "./clone.js";

class MessageEvent extends Event {
  #data; #origin; #id; #source; #ports;
  constructor(type, init) {
    super(type, init);
    this.#data = init?.data === undefined ? null : init.data;
    this.#origin = `${init?.origin ?? ""}`;
    this.#id = `${init?.lastEventId ?? ""}`;
    this.#source = init?.source ?? null;
    this.#ports = init?.ports ?? [];
  }
  get data() { return this.#data; }
  get origin() { return this.#origin; }
  get lastEventId() { return this.#id; }
  get source() { return this.#source; }
  get ports() { return this.#ports; }
}
tag(MessageEvent, "MessageEvent");

const dispatch = uncurry(EventTarget.prototype.dispatchEvent);
const secret = Symbol();
let join, start;

class MessagePort extends EventTarget {
  #other; #queue = bare([]); #open = false; #waiting = false;
  static {
    join = (a, b) => {
      a.#other = b;
      b.#other = a;
    };
    start = (p) => {
      p.#open = true;
      p.#deliver();
    };
  }
  constructor(key) {
    if (key !== secret) throw new TypeError("Illegal constructor: make a MessageChannel");
    super();
  }
  // One message a task, so that what a message leads to is done before the next.
  #deliver() {
    if (!this.#open || this.#waiting || this.#queue.length === 0) return;
    this.#waiting = true;
    setTimeout(() => {
      this.#waiting = false;
      if (this.#queue.length === 0) return;
      const data = shift(this.#queue);
      this.#deliver();
      dispatch(this, new MessageEvent("message", { __proto__: null, data }));
    }, 0);
  }
  postMessage(message, options) {
    if (arguments.length === 0) throw new TypeError("postMessage takes a message");
    const other = this.#other;
    const copy = structuredClone(message, isArray(options) ? { __proto__: null, transfer: options } : options);
    if (other === undefined) return;
    push(other.#queue, copy);
    other.#deliver();
  }
  start() { start(this); }
  close() {
    const other = this.#other;
    if (other === undefined) return;
    this.#other = other.#other = undefined;
    this.#queue = bare([]);
    setTimeout(() => dispatch(other, new Event("close")), 0);
  }
}
attribute(MessagePort, "message", start);
attribute(MessagePort, "messageerror");
attribute(MessagePort, "close");
tag(MessagePort, "MessagePort");

class MessageChannel {
  #one = new MessagePort(secret); #two = new MessagePort(secret);
  constructor() { join(this.#one, this.#two); }
  get port1() { return this.#one; }
  get port2() { return this.#two; }
}
tag(MessageChannel, "MessageChannel");

export { MessageChannel, MessageEvent, MessagePort };
