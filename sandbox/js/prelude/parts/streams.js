// Streams of the WHATWG standard: readable, writable and transform streams with
// default controllers. A stream of bytes ({type: "bytes"}) works, without BYOB
// readers; see docs/JAVASCRIPT.md.
import { apply, bytesOf, own, Promise, push, rejected, resolved, shift, tag, then, typedLength, typedSet, typedSlice, Uint8Array } from "../core/primordials.js";
import { ask } from "../core/host.js";
import { AbortController, isSignal, offAbort, onAbort } from "./events.js";
import { TextDecoder, TextEncoder } from "./encoding.js";

const nothing = () => {};

function deferred() {
  const d = { __proto__: null };
  d.promise = own(new Promise((resolve, reject) => {
    d.resolve = resolve;
    d.reject = reject;
  }));
  then(d.promise, undefined, nothing); // a closed promise that nobody looks at is no unhandled rejection
  return d;
}

// attempt calls a method of a source or sink and makes a promise of what it does.
function attempt(f, self, args) {
  if (f === undefined) return own(resolved(undefined));
  try {
    return own(new Promise((resolve) => resolve(apply(f, self, args))));
  } catch (error) {
    return own(rejected(error));
  }
}

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

// The state of a readable stream, apart from the class so that only this file has it.
class Readable {
  state = "readable"; error; reader; disturbed = false;
  queue = []; size = 0; requests = [];
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
    if (this.requests.length > 0) shift(this.requests).resolve({ value: chunk, done: false });
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
  close() {
    if (this.state !== "readable" || this.closing) throw new TypeError("the stream is closed already");
    this.closing = true;
    if (this.queue.length === 0) this.end();
  }
  end() {
    this.state = "closed";
    const requests = this.requests;
    this.requests = [];
    for (let i = 0; i < requests.length; i++) requests[i].resolve({ value: undefined, done: true });
    this.reader?.closed.resolve();
  }
  fail(error) {
    if (this.state !== "readable") return;
    this.state = "errored";
    this.error = error;
    this.queue = [];
    this.size = 0;
    const requests = this.requests;
    this.requests = [];
    for (let i = 0; i < requests.length; i++) requests[i].reject(error);
    this.reader?.closed.reject(error);
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
  read() {
    this.disturbed = true;
    if (this.state === "errored") return rejected(this.error);
    if (this.queue.length > 0) {
      const { chunk, size } = shift(this.queue);
      this.size -= size;
      if (this.closing && this.queue.length === 0) this.end();
      else this.pull();
      return resolved({ value: chunk, done: false });
    }
    if (this.state === "closed") return resolved({ value: undefined, done: true });
    const d = deferred();
    push(this.requests, d);
    this.pull();
    return d.promise;
  }
  cancel(reason) {
    this.disturbed = true;
    if (this.state === "closed") return resolved(undefined);
    if (this.state === "errored") return rejected(this.error);
    this.queue = [];
    this.size = 0;
    this.end();
    return then(attempt(this.cancelMethod, this.source, [reason]), nothing);
  }
}

let readable; // the state of a ReadableStream

class ReadableStreamDefaultController {
  #s;
  constructor(key, s) {
    illegal(key);
    this.#s = s;
  }
  get desiredSize() { return this.#s.closing ? 0 : this.#s.desired(); }
  get byobRequest() { return null; }
  enqueue(chunk) { this.#s.enqueue(chunk); }
  close() { this.#s.close(); }
  error(error) { this.#s.fail(error); }
}
tag(ReadableStreamDefaultController, "ReadableStreamDefaultController");

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
    const s = (this.#s = new Readable(source, strategyOf(strategy, type === undefined ? 1 : 0)));
    s.controller = new ReadableStreamDefaultController(secret, s);
    const start = method(source, "start");
    const begun = start === undefined ? undefined : apply(start, source, [s.controller]);
    then(own(resolved(begun)), () => {
      s.started = true;
      s.pull();
    }, (error) => s.fail(error));
  }
  static from(iterable) {
    const make = iterable?.[Symbol.asyncIterator] ?? iterable?.[Symbol.iterator];
    if (typeof make !== "function") throw new TypeError("ReadableStream.from takes an iterable");
    const iterator = apply(make, iterable, []);
    return new ReadableStream({
      async pull(c) {
        const { value, done } = await iterator.next();
        if (done) c.close();
        else c.enqueue(await value);
      },
      async cancel(reason) { await iterator.return?.(reason); },
    }, { highWaterMark: 0 });
  }
  get locked() { return this.#s.reader !== undefined; }
  cancel(reason) {
    if (this.locked) return rejected(new TypeError("the stream is locked to a reader: cancel the reader"));
    return this.#s.cancel(reason);
  }
  getReader(options) {
    if (options?.mode !== undefined) throw new TypeError("BYOB readers are not supported: call getReader() without a mode");
    return new ReadableStreamDefaultReader(this);
  }
  tee() {
    const reader = this.getReader();
    const branches = [];
    let reading = false;
    const cancelled = [false, false];
    const reasons = [];
    const over = deferred();
    const pull = async () => {
      if (reading) return;
      reading = true;
      try {
        const { value, done } = await own(reader.read());
        reading = false;
        for (let i = 0; i < 2; i++) {
          if (cancelled[i]) continue;
          const b = readable(branches[i]);
          if (done) b.close();
          else b.enqueue(value);
        }
        if (done) over.resolve();
      } catch (error) {
        for (const b of branches) readable(b).fail(error);
        over.resolve();
      }
    };
    const cancel = (i) => (reason) => {
      cancelled[i] = true;
      reasons[i] = reason;
      if (cancelled[0] && cancelled[1]) then(own(reader.cancel(reasons)), over.resolve, over.reject);
      return over.promise;
    };
    push(branches, new ReadableStream({ pull, cancel: cancel(0) }), new ReadableStream({ pull, cancel: cancel(1) }));
    return branches;
  }
  async pipeTo(target, options) {
    const { preventClose = false, preventAbort = false, preventCancel = false, signal } = options ?? {};
    if (this.locked || target.locked) throw new TypeError("the stream is locked");
    const reader = this.getReader();
    const writer = target.getWriter();
    let aborted;
    const stop = deferred();
    const onStop = () => {
      aborted = { error: signal.reason };
      stop.resolve(aborted);
    };
    if (signal !== undefined) {
      if (!isSignal(signal)) throw new TypeError("signal must be an AbortSignal");
      onAbort(signal, onStop);
    }
    try {
      for (;;) {
        await own(Promise.race([writer.ready, stop.promise]));
        if (aborted) throw aborted.error;
        const next = await own(Promise.race([reader.read(), stop.promise]));
        if (aborted) throw aborted.error;
        if (next.done) break;
        then(own(writer.write(next.value)), undefined, nothing);
      }
      if (!preventClose) await own(writer.close());
    } catch (error) {
      const source = readable(this);
      if (source.state === "errored" || aborted) {
        if (!preventAbort) await own(then(own(writer.abort(error)), nothing, nothing));
      }
      if (source.state !== "errored" && !preventCancel) await own(then(own(reader.cancel(error)), nothing, nothing));
      throw error;
    } finally {
      if (signal !== undefined) offAbort(signal, onStop);
      reader.releaseLock();
      writer.releaseLock();
    }
  }
  pipeThrough(pair, options) {
    const { readable, writable } = pair;
    then(own(this.pipeTo(writable, options)), undefined, nothing);
    return readable;
  }
  values(options) {
    const reader = this.getReader();
    let done = false;
    return {
      async next() {
        if (done) return { value: undefined, done: true };
        const r = await own(reader.read());
        if (r.done) {
          done = true;
          reader.releaseLock();
        }
        return r;
      },
      async return(value) {
        if (!done) {
          done = true;
          if (!options?.preventCancel) await own(reader.cancel(value));
          reader.releaseLock();
        }
        return { value, done: true };
      },
      [Symbol.asyncIterator]() { return this; },
    };
  }
}
Object.defineProperty(ReadableStream.prototype, Symbol.asyncIterator, { value: ReadableStream.prototype.values, writable: true, configurable: true });
tag(ReadableStream, "ReadableStream");

class ReadableStreamDefaultReader {
  #s;
  #lock = { __proto__: null, closed: deferred() };
  constructor(stream) {
    const s = readable(stream);
    if (s.reader !== undefined) throw new TypeError("the stream is locked to a reader already");
    this.#s = s;
    s.reader = this.#lock;
    if (s.state === "closed") this.#lock.closed.resolve();
    if (s.state === "errored") this.#lock.closed.reject(s.error);
  }
  get closed() { return this.#lock.closed.promise; }
  read() { return this.#s === undefined ? rejected(new TypeError("the reader was released")) : this.#s.read(); }
  cancel(reason) { return this.#s === undefined ? rejected(new TypeError("the reader was released")) : this.#s.cancel(reason); }
  releaseLock() {
    const s = this.#s;
    if (s === undefined) return;
    const error = new TypeError("the reader was released");
    const requests = s.requests;
    s.requests = [];
    for (let i = 0; i < requests.length; i++) requests[i].reject(error);
    this.#lock.closed.reject(error);
    s.reader = undefined;
    this.#s = undefined;
  }
}
tag(ReadableStreamDefaultReader, "ReadableStreamDefaultReader");

// Writable is the state of a writable stream.
class Writable {
  state = "writable"; error; writer; queue = []; size = 0; started = false; busy = false;
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
    this.queue = [];
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
  #abort = new AbortController();
  constructor(key, s) {
    illegal(key);
    this.#s = s;
    s.onFail = (error) => this.#abort.abort(error);
  }
  get signal() { return this.#abort.signal; }
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
    then(own(resolved(begun)), () => {
      s.started = true;
      s.advance();
    }, (error) => s.fail(error));
  }
  get locked() { return this.#s.writer !== undefined; }
  abort(reason) { return this.locked ? rejected(new TypeError("the stream is locked to a writer")) : this.#s.abort(reason); }
  close() { return this.locked ? rejected(new TypeError("the stream is locked to a writer")) : this.#s.close(); }
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

class TransformStream {
  #readable; #writable;
  constructor(transformer = {}, writableStrategy, readableStrategy) {
    const transform = method(transformer, "transform"), flush = method(transformer, "flush"), start = method(transformer, "start"), cancel = method(transformer, "cancel");
    const t = { __proto__: null };
    const controller = new TransformStreamDefaultController(secret, t);
    let begin;
    const begun = own(new Promise((resolve) => { begin = resolve; }));
    let wanted = deferred(); // the reader wants more
    t.readable = this.#readable = new ReadableStream({
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
    }, readableStrategy ?? { highWaterMark: 0 });
    const both = (error) => {
      readable(t.readable).fail(error);
      throw error;
    };
    t.writable = this.#writable = new WritableStream({
      start: () => begun,
      async write(chunk) {
        const r = readable(t.readable);
        if (!(r.desired() > 0 || r.requests.length > 0) && r.state === "readable") await wanted.promise;
        if (r.state === "errored") throw r.error;
        if (transform === undefined) r.enqueue(chunk);
        else {
          try {
            await apply(transform, transformer, [chunk, controller]);
          } catch (error) {
            both(error);
          }
        }
      },
      async close() {
        try {
          if (flush !== undefined) await apply(flush, transformer, [controller]);
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
    const encoder = new TextEncoder();
    let high = ""; // half of a character that a chunk ended with
    this.#t = new TransformStream({
      transform(chunk, c) {
        let text = high + `${chunk}`;
        high = "";
        const last = text.charCodeAt(text.length - 1);
        if (last >= 0xd800 && last < 0xdc00) {
          high = text[text.length - 1];
          text = text.slice(0, -1);
        }
        if (text !== "") c.enqueue(encoder.encode(text));
      },
      flush(c) { if (high !== "") c.enqueue(encoder.encode(high)); },
    });
  }
  get encoding() { return "utf-8"; }
  get readable() { return this.#t.readable; }
  get writable() { return this.#t.writable; }
}
tag(TextEncoderStream, "TextEncoderStream");

class TextDecoderStream {
  #t; #d;
  constructor(label, options) {
    const decoder = (this.#d = new TextDecoder(label, options));
    this.#t = new TransformStream({
      transform(chunk, c) {
        const text = decoder.decode(chunk, { stream: true });
        if (text !== "") c.enqueue(text);
      },
      flush(c) {
        const text = decoder.decode();
        if (text !== "") c.enqueue(text);
      },
    });
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
    if (!formats.includes(`${format}`)) throw new TypeError(`the format ${format} is not supported: use ${formats.join(", ")}`);
    const chunks = [];
    let total = 0;
    return new TransformStream({
      transform(chunk) {
        const bytes = bytesOf(chunk);
        if (bytes === undefined) throw new TypeError("a chunk must be an ArrayBuffer or a view of one");
        push(chunks, typedSlice(bytes));
        total += typedLength(bytes);
      },
      flush(c) {
        const all = new Uint8Array(total);
        for (let i = 0, at = 0; i < chunks.length; i++) {
          typedSet(all, chunks[i], at);
          at += typedLength(chunks[i]);
        }
        const out = ask(op, `${format}`, all);
        if (typedLength(out) > 0) c.enqueue(out);
      },
    });
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
export const isDisturbed = (stream) => readable(stream).disturbed;

export async function collect(stream) {
  const reader = stream.getReader();
  const chunks = [];
  let total = 0;
  for (;;) {
    const { value, done } = await own(reader.read());
    if (done) break;
    const bytes = typeof value === "object" ? bytesOf(value) : undefined;
    if (bytes === undefined) throw new TypeError("a chunk of a body must be a Uint8Array");
    push(chunks, bytes);
    total += bytes.byteLength;
  }
  reader.releaseLock();
  return [chunks, total];
}

export {
  ReadableStream, ReadableStreamDefaultReader, ReadableStreamDefaultController, WritableStream, WritableStreamDefaultWriter, WritableStreamDefaultController,
  TransformStream, TransformStreamDefaultController, CountQueuingStrategy, ByteLengthQueuingStrategy, TextEncoderStream, TextDecoderStream, CompressionStream, DecompressionStream,
};
