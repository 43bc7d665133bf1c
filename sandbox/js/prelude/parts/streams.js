// Streams of the WHATWG standard: readable, writable and transform streams. What is
// enqueued in a stream of bytes keeps its buffer; the buffers that BYOB readers bring
// are transferred, as the standard says.
import { apply, bare, bufferDetached, bufferTransfer, bytesOf, charCodeAt, defineProperty, includes, isPromise, isView, join, own, Promise, push, rejected, resolved, shift, strSlice, tag, then, typedBuffer, typedByteOffset, typedLength, typedSet, typedSlice, typedSubarray, typedTag, Uint8Array, uncurry } from "../core/primordials.js";
import { ask } from "../core/host.js";
import { isAborted, isSignal, newSignal, offAbort, onAbort, reasonOf, signalAbort } from "./events.js";
import { encode, TextDecoder } from "./encoding.js";

const nothing = () => {};
const { iterator: iteratorKey, asyncIterator: asyncIteratorKey } = Symbol;

function deferred() {
  const d = { __proto__: null };
  d.promise = own(new Promise((resolve, reject) => {
    d.resolve = resolve;
    d.reject = reject;
  }));
  then(d.promise, undefined, nothing); // a closed promise that nobody looks at is no unhandled rejection
  return d;
}

// promised makes a promise of ours of what somebody's function returned.
function promised(value) {
  if (isPromise(value)) return own(value);
  return own(typeof value === "object" || typeof value === "function" ? new Promise((resolve) => resolve(value)) : resolved(value));
}

// attempt calls a method of a source or sink and makes a promise of what it does.
function attempt(f, self, args) {
  if (f === undefined) return own(resolved(undefined));
  try {
    return promised(apply(f, self, args));
  } catch (error) {
    return own(rejected(error));
  }
}

// first settles as the first of two does.
const first = (a, b) => own(new Promise((resolve, reject) => {
  then(a, resolve, reject);
  then(b, resolve, reject);
}));

function method(object, name) {
  const f = object?.[name];
  if (f !== undefined && typeof f !== "function") throw new TypeError(`${name} must be a function`);
  return f;
}

function strategyOf(strategy, fallback) {
  const mark = strategy?.highWaterMark === undefined ? fallback : +strategy.highWaterMark;
  if (!(mark >= 0)) throw new RangeError("highWaterMark must be a number that is not negative");
  const size = method(strategy, "size");
  return { __proto__: null, mark, size: size === undefined ? () => 1 : (chunk) => apply(size, undefined, [chunk]) };
}

class CountQueuingStrategy {
  #mark;
  constructor(init) { this.#mark = +init.highWaterMark; }
  get highWaterMark() { return this.#mark; }
  get size() { return count; }
}
const count = () => 1;
tag(CountQueuingStrategy, "CountQueuingStrategy");

class ByteLengthQueuingStrategy {
  #mark;
  constructor(init) { this.#mark = +init.highWaterMark; }
  get highWaterMark() { return this.#mark; }
  get size() { return byteLength; }
}
const byteLength = (chunk) => chunk.byteLength;
tag(ByteLengthQueuingStrategy, "ByteLengthQueuingStrategy");

const secret = Symbol();
const illegal = (key) => {
  if (key !== secret) throw new TypeError("Illegal constructor");
};

const kinds = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array, Float16Array, Float32Array, Float64Array];

// classOf is the class of a view, and the size of its elements.
function classOf(view) {
  const name = typedTag(view);
  for (let i = 0; i < kinds.length; i++) if (kinds[i].name === name) return kinds[i];
  return DataView;
}

// The state of a readable stream, apart from the class so that only this file has it.
// bytes says that it is one of bytes. Requests are deferred reads; one of a BYOB
// reader has its buffer in into, in the same order.
class Readable {
  state = "readable"; error; reader; disturbed = false; bytes = false; allocate;
  queue = bare([]); size = 0; requests = bare([]); into = bare([]); request = null;
  closing = false; pulling = false; again = false; started = false;
  constructor(source, strategy) {
    this.source = source;
    this.strategy = strategy;
    this.pullMethod = method(source, "pull");
    this.cancelMethod = method(source, "cancel");
  }
  desired() {
    return this.state === "errored" ? null : this.state === "closed" ? 0 : this.strategy.mark - this.size;
  }
  enqueue(chunk) {
    if (this.state !== "readable" || this.closing) throw new TypeError("the stream is closed: it takes no more chunks");
    if (this.bytes) return this.enqueueBytes(chunk);
    if (this.requests.length > 0) give(shift(this.requests), chunk, false);
    else {
      let size;
      try {
        size = +this.strategy.size(chunk);
        if (!(size >= 0 && size < Infinity)) throw new RangeError("the size of a chunk must be a finite number that is not negative");
      } catch (error) {
        this.fail(error);
        throw error;
      }
      push(this.queue, { __proto__: null, chunk, size });
      this.size += size;
    }
    this.pull();
  }
  enqueueBytes(view) {
    const chunk = isView(view) ? bytesOf(view) : undefined;
    if (chunk === undefined || typedLength(chunk) === 0) throw new TypeError("a chunk of a stream of bytes must be a view of an ArrayBuffer, and not empty");
    this.dropRequest();
    const { into } = this;
    if (this.requests.length > 0 && (into.length === 0 || into[0].own)) {
      if (into.length > 0) shift(into); // what was allocated for the source to fill
      give(shift(this.requests), chunk, false);
    } else {
      push(this.queue, { __proto__: null, chunk, size: typedLength(chunk) });
      this.size += typedLength(chunk);
      if (into.length > 0 && into[0].dead) this.bury();
      this.fillAll();
    }
    this.pull();
  }
  // bury queues what the source had written for a reader that is gone.
  bury() {
    const d = shift(this.into);
    if (d.filled > 0) this.putBack(d, d.filled);
  }
  putBack(d, from) {
    const rest = typedSlice(new Uint8Array(d.buffer, d.offset + d.filled - from, from));
    push(this.queue, { __proto__: null, chunk: rest, size: from });
    this.size += from;
  }
  // fill moves bytes from the queue to d, and tells whether that is enough of them.
  fill(d) {
    let room = d.length - d.filled;
    if (d.filled + this.size >= d.min) room = room < this.size ? room : this.size, room -= (d.filled + room) % d.element;
    else room = this.size;
    while (room > 0) {
      const head = this.queue[0];
      const n = room < head.size ? room : head.size;
      typedSet(new Uint8Array(d.buffer), typedSubarray(head.chunk, 0, n), d.offset + d.filled);
      d.filled += n;
      this.size -= n;
      room -= n;
      if (n === head.size) shift(this.queue);
      else {
        head.chunk = typedSubarray(head.chunk, n);
        head.size -= n;
      }
    }
    return d.filled >= d.min;
  }
  fillAll() {
    while (this.into.length > 0 && this.size > 0 && !this.into[0].own && this.fill(this.into[0])) this.commit(shift(this.into), false);
  }
  // commit answers the read that d belongs to.
  commit(d, done) {
    if (d.dead) return;
    give(shift(this.requests), viewOf(d), done);
  }
  dropRequest() {
    if (this.request !== null) drop(this.request);
    this.request = null;
  }
  byobRequest() {
    if (this.request === null && this.into.length > 0) {
      const d = this.into[0];
      this.request = new ReadableStreamBYOBRequest(secret, this, new Uint8Array(d.buffer, d.offset + d.filled, d.length - d.filled));
    }
    return this.request;
  }
  // respond says that n bytes were written to the first buffer.
  respond(n, view) {
    const d = this.into[0];
    if (this.state === "closed") {
      if (n !== 0) throw new TypeError("the stream is closed: respond with 0");
    } else {
      if (n === 0) throw new TypeError("respond needs the number of bytes that were written: 0 is for a stream that was closed");
      if (d.filled + n > d.length) throw new RangeError(`${n} bytes are more than the view has`);
    }
    this.dropRequest();
    d.buffer = bufferTransfer(view === undefined ? d.buffer : typedBuffer(view));
    if (this.state === "closed") {
      while (this.into.length > 0) this.commit(shift(this.into), true);
      return;
    }
    d.filled += n;
    if (d.dead) this.bury();
    else {
      if (d.filled < d.min) return this.pull();
      shift(this.into);
      const rest = d.filled % d.element;
      if (rest > 0) {
        this.putBack(d, rest);
        d.filled -= rest;
      }
      this.commit(d, false);
    }
    this.fillAll();
    this.pull();
  }
  close() {
    if (this.state !== "readable" || this.closing) throw new TypeError("the stream is closed already");
    this.closing = true;
    if (this.queue.length > 0) return;
    if (this.into.length > 0 && this.into[0].filled % this.into[0].element !== 0) {
      const error = new TypeError("the stream ended inside an element of the view that is read into");
      this.fail(error);
      throw error;
    }
    this.end();
  }
  end() {
    this.state = "closed";
    if (this.into.length === 0 || this.into[0].own) this.finish();
    this.reader?.closed.resolve();
  }
  // finish ends the reads that are open. Those into a buffer end when the source
  // gives it back.
  finish() {
    const requests = this.requests;
    this.requests = bare([]);
    for (let i = 0; i < requests.length; i++) give(requests[i], undefined, true);
  }
  fail(error) {
    if (this.state !== "readable") return;
    this.state = "errored";
    this.error = error;
    this.clear();
    const requests = this.requests;
    this.requests = bare([]);
    for (let i = 0; i < requests.length; i++) requests[i].reject(error);
    this.reader?.closed.reject(error);
  }
  clear() {
    this.queue = bare([]);
    this.size = 0;
    this.into = bare([]);
    this.dropRequest();
  }
  pull() {
    if (!this.started || this.state !== "readable" || this.closing) return;
    if (!(this.requests.length > 0 || this.desired() > 0)) return;
    if (this.pulling) {
      this.again = true;
      return;
    }
    this.pulling = true;
    then(attempt(this.pullMethod, this.source, [this.controller]), () => {
      this.pulling = false;
      if (this.again) {
        this.again = false;
        this.pull();
      }
    }, (error) => this.fail(error));
  }
  // read resolves to a result as iterators have them; one without a prototype when
  // the prelude itself reads.
  read(bare) {
    this.disturbed = true;
    if (this.state === "errored") return rejected(this.error);
    const d = deferred();
    d.bare = bare;
    if (this.queue.length > 0) {
      const { chunk, size } = shift(this.queue);
      this.size -= size;
      if (this.closing && this.queue.length === 0) this.end();
      else this.pull();
      give(d, chunk, false);
    } else if (this.state === "closed") give(d, undefined, true);
    else {
      if (this.allocate !== undefined) push(this.into, { __proto__: null, buffer: new ArrayBuffer(this.allocate), offset: 0, length: this.allocate, filled: 0, element: 1, min: 1, Class: Uint8Array, own: true, dead: false });
      push(this.requests, d);
      this.pull();
    }
    return d.promise;
  }
  readInto(view, min) {
    this.disturbed = true;
    const Class = classOf(view), bytes = bytesOf(view), element = Class === DataView ? 1 : Class.BYTES_PER_ELEMENT;
    const into = { __proto__: null, buffer: undefined, offset: typedByteOffset(bytes), length: typedLength(bytes), filled: 0, element, min: min * element, Class, own: false, dead: false };
    into.buffer = bufferTransfer(typedBuffer(bytes));
    if (this.state === "errored") return rejected(this.error);
    const d = deferred();
    if (this.state === "closed") {
      give(d, viewOf(into), true);
      return d.promise;
    }
    if (this.into.length === 0 && this.size > 0) {
      const enough = this.fill(into);
      if (this.closing && this.queue.length === 0) {
        if (!enough && into.filled % element !== 0) {
          const error = new TypeError("the stream ended inside an element of the view that is read into");
          this.fail(error);
          return rejected(error);
        }
        this.end();
        give(d, viewOf(into), into.filled === 0);
        return d.promise;
      }
      if (enough) {
        give(d, viewOf(into), false);
        this.pull();
        return d.promise;
      }
    }
    push(this.into, into);
    push(this.requests, d);
    this.pull();
    return d.promise;
  }
  cancel(reason) {
    this.disturbed = true;
    if (this.state === "closed") return resolved(undefined);
    if (this.state === "errored") return rejected(this.error);
    this.clear();
    this.end();
    return then(attempt(this.cancelMethod, this.source, [reason]), nothing);
  }
}

const give = (d, value, done) => d.resolve(d.bare ? { __proto__: null, value, done } : { value, done });
const viewOf = (d) => new d.Class(d.buffer, d.offset, d.filled / d.element);

// acquire locks a stream to a reader, release ends that.
function acquire(s) {
  if (s.reader !== undefined) throw new TypeError("the stream is locked to a reader already");
  const lock = (s.reader = { __proto__: null, closed: deferred() });
  if (s.state === "closed") lock.closed.resolve();
  if (s.state === "errored") lock.closed.reject(s.error);
  return lock;
}

function release(s) {
  const error = new TypeError("the reader was released");
  const { requests, reader } = s;
  s.requests = bare([]);
  for (let i = 0; i < requests.length; i++) requests[i].reject(error);
  for (let i = 0; i < s.into.length; i++) s.into[i].dead = true;
  reader.closed.reject(error);
  s.reader = undefined;
}

let readable; // the state of a ReadableStream

class ReadableStreamDefaultController {
  #s;
  constructor(key, s) {
    illegal(key);
    this.#s = s;
  }
  get desiredSize() { return this.#s.closing ? 0 : this.#s.desired(); }
  enqueue(chunk) { this.#s.enqueue(chunk); }
  close() { this.#s.close(); }
  error(error) { this.#s.fail(error); }
}
tag(ReadableStreamDefaultController, "ReadableStreamDefaultController");

class ReadableByteStreamController {
  #s;
  constructor(key, s) {
    illegal(key);
    this.#s = s;
  }
  get desiredSize() { return this.#s.closing ? 0 : this.#s.desired(); }
  get byobRequest() { return this.#s.byobRequest(); }
  enqueue(chunk) { this.#s.enqueue(chunk); }
  close() { this.#s.close(); }
  error(error) { this.#s.fail(error); }
}
tag(ReadableByteStreamController, "ReadableByteStreamController");

let drop;

class ReadableStreamBYOBRequest {
  #s; #view;
  static {
    drop = (r) => {
      r.#s = undefined;
      r.#view = null;
    };
  }
  constructor(key, s, view) {
    illegal(key);
    this.#s = s;
    this.#view = view;
  }
  get view() { return this.#view; }
  respond(written) {
    written = +written;
    if (!(written >= 0)) throw new TypeError("respond takes a number of bytes");
    if (this.#s === undefined) throw new TypeError("the request was answered already");
    if (bufferDetached(typedBuffer(this.#view))) throw new TypeError("the buffer of the view was transferred: use respondWithNewView");
    this.#s.respond(written);
  }
  respondWithNewView(view) {
    const bytes = isView(view) ? bytesOf(view) : undefined;
    if (bytes === undefined) throw new TypeError("respondWithNewView takes a view");
    if (this.#s === undefined) throw new TypeError("the request was answered already");
    const d = this.#s.into[0];
    if (typedByteOffset(bytes) !== d.offset + d.filled) throw new RangeError("the new view begins at another place");
    this.#s.respond(typedLength(bytes), bytes);
  }
}
tag(ReadableStreamBYOBRequest, "ReadableStreamBYOBRequest");

class ReadableStream {
  #s;
  static {
    readable = (stream) => {
      if (typeof stream !== "object" || stream === null || !(#s in stream)) throw new TypeError("this is no ReadableStream");
      return stream.#s;
    };
  }
  constructor(source = {}, strategy) {
    if (source === null || typeof source !== "object" && typeof source !== "function") throw new TypeError("the source of a ReadableStream must be an object");
    const { type } = source;
    if (type !== undefined && `${type}` !== "bytes") throw new TypeError("the type of a ReadableStream can only be \"bytes\"");
    if (type !== undefined && strategy?.size !== undefined) throw new RangeError("a stream of bytes measures by itself: leave size out");
    const s = (this.#s = new Readable(source, strategyOf(strategy, type === undefined ? 1 : 0)));
    if (type === undefined) s.controller = new ReadableStreamDefaultController(secret, s);
    else {
      s.bytes = true;
      if (source.autoAllocateChunkSize !== undefined) {
        s.allocate = +source.autoAllocateChunkSize;
        if (!(s.allocate > 0)) throw new TypeError("autoAllocateChunkSize must be over 0");
      }
      s.controller = new ReadableByteStreamController(secret, s);
    }
    const start = method(source, "start");
    const begun = start === undefined ? undefined : apply(start, source, [s.controller]);
    then(promised(begun), () => {
      s.started = true;
      s.pull();
    }, (error) => s.fail(error));
  }
  static from(iterable) {
    const make = iterable?.[asyncIteratorKey] ?? iterable?.[iteratorKey];
    if (typeof make !== "function") throw new TypeError("ReadableStream.from takes an iterable");
    const iterator = apply(make, iterable, []);
    const stream = new ReadableStream({
      __proto__: null,
      async pull() {
        const { value, done } = await promised(iterator.next());
        const s = readable(stream);
        if (done) s.close();
        else s.enqueue(await promised(value));
      },
      async cancel(reason) { await promised(iterator.return?.(reason)); },
    }, { __proto__: null, highWaterMark: 0 });
    return stream;
  }
  get locked() { return this.#s.reader !== undefined; }
  cancel(reason) {
    if (this.#s.reader !== undefined) return rejected(new TypeError("the stream is locked to a reader: cancel the reader"));
    return this.#s.cancel(reason);
  }
  getReader(options) {
    const mode = options?.mode;
    if (mode === undefined) return new ReadableStreamDefaultReader(this);
    if (`${mode}` !== "byob") throw new TypeError("the mode of a reader can only be \"byob\"");
    return new ReadableStreamBYOBReader(this);
  }
  tee() { return tee(this); }
  pipeTo(target, options) {
    try {
      return pipe(readable(this), writable(target), options ?? {});
    } catch (error) {
      return rejected(error);
    }
  }
  pipeThrough(pair, options) {
    const { readable: out, writable: into } = pair;
    then(own(pipe(readable(this), writable(into), options ?? {})), undefined, nothing);
    return out;
  }
  values(options) {
    const s = this.#s;
    acquire(s);
    let done = false;
    return {
      async next() {
        if (done) return { value: undefined, done: true };
        const r = await own(s.read(true));
        if (r.done) {
          done = true;
          release(s);
        }
        return { value: r.value, done: r.done };
      },
      async return(value) {
        if (!done) {
          done = true;
          if (!options?.preventCancel) await own(s.cancel(value));
          release(s);
        }
        return { value, done: true };
      },
      [asyncIteratorKey]() { return this; },
    };
  }
}
defineProperty(ReadableStream.prototype, asyncIteratorKey, { __proto__: null, value: ReadableStream.prototype.values, writable: true, configurable: true });
tag(ReadableStream, "ReadableStream");

export function tee(stream) {
  const s = readable(stream);
  acquire(s);
  const branches = [], cancelled = [false, false], reasons = [];
  let reading = false;
  const over = deferred();
  const pull = async () => {
    if (reading) return;
    reading = true;
    try {
      const { value, done } = await own(s.read(true));
      reading = false;
      for (let i = 0; i < 2; i++) {
        if (cancelled[i]) continue;
        const b = readable(branches[i]);
        if (done) finish(b);
        else b.enqueue(s.bytes && i === 1 ? typedSlice(value) : value);
      }
      if (done) over.resolve();
    } catch (error) {
      for (let i = 0; i < 2; i++) readable(branches[i]).fail(error);
      over.resolve();
    }
  };
  const cancel = (i) => (reason) => {
    cancelled[i] = true;
    reasons[i] = reason;
    if (cancelled[0] && cancelled[1]) then(own(s.cancel(reasons)), over.resolve, over.reject);
    return over.promise;
  };
  const type = s.bytes ? "bytes" : undefined;
  push(branches, new ReadableStream({ __proto__: null, type, pull, cancel: cancel(0) }));
  push(branches, new ReadableStream({ __proto__: null, type, pull, cancel: cancel(1) }));
  return branches;
}

async function pipe(s, w, { preventClose = false, preventAbort = false, preventCancel = false, signal }) {
  if (s.reader !== undefined || w.writer !== undefined) throw new TypeError("the stream is locked");
  if (signal !== undefined && !isSignal(signal)) throw new TypeError("signal must be an AbortSignal");
  acquire(s);
  w.writer = pipe;
  let aborted;
  const stop = deferred();
  const onStop = () => {
    aborted = { __proto__: null, error: reasonOf(signal) };
    stop.resolve(aborted);
  };
  if (signal !== undefined) onAbort(signal, onStop);
  try {
    for (;;) {
      await first(w.ready.promise, stop.promise);
      if (aborted) throw aborted.error;
      const next = await first(own(s.read(true)), stop.promise);
      if (aborted) throw aborted.error;
      if (next.done) break;
      then(own(w.write(next.value)), undefined, nothing);
    }
    if (!preventClose) await own(w.close());
  } catch (error) {
    if (s.state === "errored" || aborted) {
      if (!preventAbort) await own(then(own(w.abort(error)), nothing, nothing));
    }
    if (s.state !== "errored" && !preventCancel) await own(then(own(s.cancel(error)), nothing, nothing));
    throw error;
  } finally {
    if (signal !== undefined) offAbort(signal, onStop);
    release(s);
    w.writer = undefined;
  }
}

// finish closes a stream of ours, also for whoever waits for bytes in a buffer.
function finish(s) {
  s.close();
  if (s.state === "closed" && s.into.length > 0) s.respond(0);
}

const gone = () => rejected(new TypeError("the reader was released"));

class ReadableStreamDefaultReader {
  #s; #lock;
  constructor(stream) {
    const s = readable(stream);
    this.#lock = acquire(s);
    this.#s = s;
  }
  get closed() { return this.#lock.closed.promise; }
  read() { return this.#s === undefined ? gone() : this.#s.read(false); }
  cancel(reason) { return this.#s === undefined ? gone() : this.#s.cancel(reason); }
  releaseLock() {
    if (this.#s !== undefined) release(this.#s);
    this.#s = undefined;
  }
}
tag(ReadableStreamDefaultReader, "ReadableStreamDefaultReader");

class ReadableStreamBYOBReader {
  #s; #lock;
  constructor(stream) {
    const s = readable(stream);
    if (!s.bytes) throw new TypeError("a BYOB reader needs a stream of bytes: make it with type: \"bytes\"");
    this.#lock = acquire(s);
    this.#s = s;
  }
  get closed() { return this.#lock.closed.promise; }
  read(view, options) {
    try {
      const bytes = isView(view) ? bytesOf(view) : undefined;
      if (bytes === undefined) throw new TypeError("read takes a view of an ArrayBuffer to read into");
      if (typedLength(bytes) === 0) throw new TypeError("the view to read into is empty");
      const min = options?.min === undefined ? 1 : +options.min;
      const Class = classOf(view);
      if (!(min >= 1)) throw new TypeError("min must be 1 or more");
      if (min > typedLength(bytes) / (Class === DataView ? 1 : Class.BYTES_PER_ELEMENT)) throw new RangeError("min is more than the view holds");
      return this.#s === undefined ? gone() : this.#s.readInto(view, min);
    } catch (error) {
      return rejected(error);
    }
  }
  cancel(reason) { return this.#s === undefined ? gone() : this.#s.cancel(reason); }
  releaseLock() {
    if (this.#s !== undefined) release(this.#s);
    this.#s = undefined;
  }
}
tag(ReadableStreamBYOBReader, "ReadableStreamBYOBReader");

// Writable is the state of a writable stream.
class Writable {
  state = "writable"; error; writer; queue = bare([]); size = 0; started = false; busy = false;
  closing; ready = deferred(); closed = deferred();
  constructor(sink, strategy) {
    this.sink = sink;
    this.strategy = strategy;
    this.methods = { __proto__: null, write: method(sink, "write"), close: method(sink, "close"), abort: method(sink, "abort") };
    if (this.desired() > 0) this.ready.resolve();
  }
  desired() { return this.state === "errored" ? null : this.state === "closed" ? 0 : this.strategy.mark - this.size; }
  write(chunk) {
    if (this.state === "errored") return rejected(this.error);
    if (this.state !== "writable" || this.closing !== undefined) return rejected(new TypeError("the stream is closed"));
    let size;
    try {
      size = +this.strategy.size(chunk);
    } catch (error) {
      this.fail(error);
      return rejected(error);
    }
    const d = deferred();
    push(this.queue, { __proto__: null, chunk, size, d });
    this.size += size;
    if (this.desired() <= 0) this.ready = deferred();
    this.advance();
    return d.promise;
  }
  advance() {
    if (this.busy || !this.started || this.state !== "writable") return;
    const item = this.queue[0];
    if (item === undefined) {
      if (this.closing !== undefined) {
        this.busy = true;
        then(attempt(this.methods.close, this.sink, []), () => {
          this.state = "closed";
          this.busy = false;
          this.closing.resolve();
          this.closed.resolve();
          this.ready.resolve();
        }, (error) => {
          this.closing.reject(error);
          this.busy = false;
          this.fail(error);
        });
      }
      return;
    }
    this.busy = true;
    then(attempt(this.methods.write, this.sink, [item.chunk, this.controller]), () => {
      this.busy = false;
      shift(this.queue);
      this.size -= item.size;
      item.d.resolve();
      if (this.desired() > 0) this.ready.resolve();
      this.advance();
    }, (error) => {
      this.busy = false;
      this.fail(error);
    });
  }
  close() {
    if (this.state === "errored") return rejected(this.error);
    if (this.state !== "writable" || this.closing !== undefined) return rejected(new TypeError("the stream is closed already"));
    this.closing = deferred();
    this.advance();
    return this.closing.promise;
  }
  fail(error) {
    if (this.state !== "writable") return;
    this.state = "errored";
    this.error = error;
    const queue = this.queue;
    this.queue = bare([]);
    this.size = 0;
    for (let i = 0; i < queue.length; i++) queue[i].d.reject(error);
    this.closing?.reject(error);
    this.closed.reject(error);
    this.ready.reject(error);
    this.ready = deferred();
    this.ready.reject(error);
    this.onFail?.(error);
  }
  abort(reason) {
    if (this.state !== "writable") return resolved(undefined);
    this.fail(reason);
    return then(attempt(this.methods.abort, this.sink, [reason]), nothing);
  }
}

let writable;

class WritableStreamDefaultController {
  #s;
  #signal = newSignal();
  constructor(key, s) {
    illegal(key);
    this.#s = s;
    s.onFail = (error) => signalAbort(this.#signal, error);
  }
  get signal() { return this.#signal; }
  error(error) { this.#s.fail(error); }
}
tag(WritableStreamDefaultController, "WritableStreamDefaultController");

class WritableStream {
  #s;
  static {
    writable = (stream) => {
      if (typeof stream !== "object" || stream === null || !(#s in stream)) throw new TypeError("this is no WritableStream");
      return stream.#s;
    };
  }
  constructor(sink = {}, strategy) {
    if (sink?.type !== undefined) throw new RangeError("a WritableStream has no type");
    const s = (this.#s = new Writable(sink, strategyOf(strategy, 1)));
    s.controller = new WritableStreamDefaultController(secret, s);
    const start = method(sink, "start");
    const begun = start === undefined ? undefined : apply(start, sink, [s.controller]);
    then(promised(begun), () => {
      s.started = true;
      s.advance();
    }, (error) => s.fail(error));
  }
  get locked() { return this.#s.writer !== undefined; }
  abort(reason) { return this.#s.writer !== undefined ? rejected(new TypeError("the stream is locked to a writer")) : this.#s.abort(reason); }
  close() { return this.#s.writer !== undefined ? rejected(new TypeError("the stream is locked to a writer")) : this.#s.close(); }
  getWriter() { return new WritableStreamDefaultWriter(this); }
}
tag(WritableStream, "WritableStream");

class WritableStreamDefaultWriter {
  #s;
  constructor(stream) {
    const s = writable(stream);
    if (s.writer !== undefined) throw new TypeError("the stream is locked to a writer already");
    this.#s = s;
    s.writer = this;
  }
  #get() {
    if (this.#s === undefined) throw new TypeError("the writer was released");
    return this.#s;
  }
  get closed() { return this.#get().closed.promise; }
  get ready() { return this.#get().ready.promise; }
  get desiredSize() { return this.#get().desired(); }
  write(chunk) { return this.#s === undefined ? rejected(new TypeError("the writer was released")) : this.#s.write(chunk); }
  close() { return this.#s === undefined ? rejected(new TypeError("the writer was released")) : this.#s.close(); }
  abort(reason) { return this.#s === undefined ? rejected(new TypeError("the writer was released")) : this.#s.abort(reason); }
  releaseLock() {
    if (this.#s === undefined) return;
    this.#s.writer = undefined;
    this.#s = undefined;
  }
}
tag(WritableStreamDefaultWriter, "WritableStreamDefaultWriter");

class TransformStreamDefaultController {
  #t;
  constructor(key, t) {
    illegal(key);
    this.#t = t;
  }
  get desiredSize() { return readable(this.#t.readable).desired(); }
  enqueue(chunk) { readable(this.#t.readable).enqueue(chunk); }
  error(error) {
    readable(this.#t.readable).fail(error);
    writable(this.#t.writable).fail(error);
  }
  terminate() {
    const r = readable(this.#t.readable);
    if (r.state === "readable" && !r.closing) r.close();
    writable(this.#t.writable).fail(new TypeError("the transform was terminated"));
  }
}
tag(TransformStreamDefaultController, "TransformStreamDefaultController");

let readableOf;

class TransformStream {
  #readable; #writable;
  static { readableOf = (t) => t.#readable; }
  constructor(transformer = {}, writableStrategy, readableStrategy) {
    const transform = method(transformer, "transform"), flush = method(transformer, "flush"), start = method(transformer, "start"), cancel = method(transformer, "cancel");
    const t = { __proto__: null };
    const controller = new TransformStreamDefaultController(secret, t);
    let begin;
    const begun = own(new Promise((resolve) => { begin = resolve; }));
    let wanted = deferred(); // the reader wants more
    t.readable = this.#readable = new ReadableStream({
      __proto__: null,
      pull() {
        const w = wanted;
        wanted = deferred();
        w.resolve();
      },
      cancel(reason) {
        writable(t.writable).fail(reason);
        wanted.resolve();
        if (cancel !== undefined) return apply(cancel, transformer, [reason]);
      },
    }, readableStrategy ?? { __proto__: null, highWaterMark: 0 });
    const both = (error) => {
      readable(t.readable).fail(error);
      throw error;
    };
    t.writable = this.#writable = new WritableStream({
      __proto__: null,
      start: () => begun,
      async write(chunk) {
        const r = readable(t.readable);
        if (!(r.desired() > 0 || r.requests.length > 0) && r.state === "readable") await wanted.promise;
        if (r.state === "errored") throw r.error;
        if (transform === undefined) r.enqueue(chunk);
        else {
          try {
            await promised(apply(transform, transformer, [chunk, controller]));
          } catch (error) {
            both(error);
          }
        }
      },
      async close() {
        try {
          if (flush !== undefined) await promised(apply(flush, transformer, [controller]));
        } catch (error) {
          both(error);
        }
        const r = readable(t.readable);
        if (r.state === "errored") throw r.error;
        if (r.state === "readable" && !r.closing) r.close();
      },
      abort(reason) { readable(t.readable).fail(reason); },
    }, writableStrategy);
    begin(start === undefined ? undefined : apply(start, transformer, [controller]));
  }
  get readable() { return this.#readable; }
  get writable() { return this.#writable; }
}
tag(TransformStream, "TransformStream");

class TextEncoderStream {
  #t;
  constructor() {
    let high = ""; // half of a character that a chunk ended with
    const t = (this.#t = new TransformStream({
      __proto__: null,
      transform(chunk) {
        let text = high + `${chunk}`;
        high = "";
        const last = text.length === 0 ? 0 : charCodeAt(text, text.length - 1);
        if (last >= 0xd800 && last < 0xdc00) {
          high = text[text.length - 1];
          text = strSlice(text, 0, -1);
        }
        if (text !== "") readable(readableOf(t)).enqueue(encode(text));
      },
      flush() { if (high !== "") readable(readableOf(t)).enqueue(encode(high)); },
    }));
  }
  get encoding() { return "utf-8"; }
  get readable() { return this.#t.readable; }
  get writable() { return this.#t.writable; }
}
tag(TextEncoderStream, "TextEncoderStream");

const decodeText = uncurry(TextDecoder.prototype.decode), streaming = { __proto__: null, stream: true };

class TextDecoderStream {
  #t; #d;
  constructor(label, options) {
    const decoder = (this.#d = new TextDecoder(label, options));
    const t = (this.#t = new TransformStream({
      __proto__: null,
      transform(chunk) {
        const text = decodeText(decoder, chunk, streaming);
        if (text !== "") readable(readableOf(t)).enqueue(text);
      },
      flush() {
        const text = decodeText(decoder);
        if (text !== "") readable(readableOf(t)).enqueue(text);
      },
    }));
  }
  get encoding() { return this.#d.encoding; }
  get fatal() { return this.#d.fatal; }
  get ignoreBOM() { return this.#d.ignoreBOM; }
  get readable() { return this.#t.readable; }
  get writable() { return this.#t.writable; }
}
tag(TextDecoderStream, "TextDecoderStream");

// compression makes a transform of a whole: the host takes all that was written at
// once, when it was closed.
function compression(op, formats) {
  return (format) => {
    if (!includes(formats, `${format}`)) throw new TypeError(`the format ${format} is not supported: use ${join(formats, ", ")}`);
    const chunks = [];
    let total = 0;
    const t = new TransformStream({
      __proto__: null,
      transform(chunk) {
        const bytes = bytesOf(chunk);
        if (bytes === undefined) throw new TypeError("a chunk must be an ArrayBuffer or a view of one");
        push(chunks, typedSlice(bytes));
        total += typedLength(bytes);
      },
      flush() {
        const all = new Uint8Array(total);
        for (let i = 0, at = 0; i < chunks.length; i++) {
          typedSet(all, chunks[i], at);
          at += typedLength(chunks[i]);
        }
        const out = ask(op, `${format}`, all);
        if (typedLength(out) > 0) readable(readableOf(t)).enqueue(out);
      },
    });
    return t;
  };
}
const formats = ["gzip", "deflate", "deflate-raw"];
const compress = compression("compress", formats), decompress = compression("decompress", formats);

class CompressionStream {
  #t;
  constructor(format) { this.#t = compress(format); }
  get readable() { return this.#t.readable; }
  get writable() { return this.#t.writable; }
}
tag(CompressionStream, "CompressionStream");

class DecompressionStream {
  #t;
  constructor(format) { this.#t = decompress(format); }
  get readable() { return this.#t.readable; }
  get writable() { return this.#t.writable; }
}
tag(DecompressionStream, "DecompressionStream");

// For bodies: whether a stream can be read, and all of its bytes.
export const isStream = (v) => {
  try {
    readable(v);
    return true;
  } catch {
    return false;
  }
};
// streamOf is a stream of bytes, in pieces, that are there when it is first read.
export function streamOf(make) {
  let bytes, at = 0;
  const stream = new ReadableStream({
    __proto__: null,
    type: "bytes",
    pull() {
      const s = readable(stream);
      bytes ??= make();
      const n = typedLength(bytes);
      if (at < n) s.enqueue(typedSlice(bytes, at, (at += 65536)));
      if (at >= n) finish(s);
    },
  });
  return stream;
}
export const isDisturbed = (stream) => readable(stream).disturbed;
export const isLocked = (stream) => readable(stream).reader !== undefined;

// collect reads a stream of bytes to its end, and gives up when it is too long.
export async function collect(stream, most) {
  const s = readable(stream);
  acquire(s);
  const chunks = [];
  let total = 0;
  for (;;) {
    const { value, done } = await own(s.read(true));
    if (done) break;
    const bytes = typeof value === "object" ? bytesOf(value) : undefined;
    if (bytes === undefined) throw new TypeError("a chunk of a body must be a Uint8Array");
    push(chunks, bytes);
    total += typedLength(bytes);
    if (total > most) {
      const error = new TypeError(`the stream of a body has more than ${most >> 20} MB`);
      then(own(s.cancel(error)), undefined, nothing);
      throw error;
    }
  }
  release(s);
  return { __proto__: null, chunks, total };
}

export {
  ReadableByteStreamController, ReadableStream, ReadableStreamBYOBReader, ReadableStreamBYOBRequest, ReadableStreamDefaultReader, ReadableStreamDefaultController, WritableStream, WritableStreamDefaultWriter, WritableStreamDefaultController,
  TransformStream, TransformStreamDefaultController, CountQueuingStrategy, ByteLengthQueuingStrategy, TextEncoderStream, TextDecoderStream, CompressionStream, DecompressionStream,
};
