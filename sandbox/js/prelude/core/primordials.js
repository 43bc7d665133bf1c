// The parts of the language that the prelude itself depends on, taken before any
// code of a user ran. What a user later does to Array.prototype, JSON or Promise
// changes the user's program and not ours.
//
// Syntax can depend on them too: array literals, rest parameters and object literals
// do not, but for-of, spread and destructuring of arrays ask the iterator of arrays,
// assignment to a new index asks the prototypes for setters, and await asks a promise
// for its constructor. So the prelude loops over indexes, uses push, apply and own,
// and gives objects no prototype where a missing property is read.
const bind = Function.prototype.bind;
const call = Function.prototype.call;

// uncurry turns a method into a function that takes this first.
export const uncurry = bind.bind(call);

export const { apply, construct, ownKeys, getPrototypeOf, getOwnPropertyDescriptor } = Reflect;
export const { defineProperty, defineProperties, create, freeze, keys, entries, fromEntries, assign, setPrototypeOf } = Object;
export const hasOwn = Object.hasOwn;
export const isArray = Array.isArray;
export const { parse, stringify } = JSON;
export const { isSafeInteger } = Number;
export const { floor, min, max, trunc, abs, sqrt, round } = Math;
export const now = Date.now;
export const { fromCharCode, fromCodePoint } = String;
export const isView = ArrayBuffer.isView;

// A template literal calls concat, in this engine.
defineProperty(String.prototype, "concat", { __proto__: null, writable: false, configurable: false });

// str is what a template does with a value, and what Web IDL calls a DOMString.
export const str = (v) => (typeof v === "string" ? v : `${v}`);

const A = Array.prototype;
// push defines: setters for indexes have no say. What a list holds is dense.
const slot = { __proto__: null, value: undefined, writable: true, enumerable: true, configurable: true };
export const push = (list, value) => {
  slot.value = value;
  defineProperty(list, list.length, slot);
  slot.value = undefined;
};
export const pop = uncurry(A.pop);
export const shift = uncurry(A.shift);
// remove takes one item out, insert puts one in.
export const remove = (list, at) => {
  for (let i = at + 1; i < list.length; i++) list[i - 1] = list[i];
  list.length--;
};
export const insert = (list, at, value) => {
  push(list, value);
  for (let i = list.length - 1; i > at; i--) list[i] = list[i - 1];
  list[at] = value;
};
export const join = uncurry(A.join);
export const map = (list, f) => {
  const out = [];
  for (let i = 0; i < list.length; i++) push(out, f(list[i], i));
  return out;
};
export const filter = (list, f) => {
  const out = [];
  for (let i = 0; i < list.length; i++) if (f(list[i])) push(out, list[i]);
  return out;
};
// bare is a list without a prototype: JSON writes it without asking for a toJSON.
export const bare = (list) => setPrototypeOf(list, null);
export const includes = uncurry(A.includes);
export const indexOf = uncurry(A.indexOf);
export const sort = uncurry(A.sort);
const iteratorOf = Symbol.iterator;
// listOf reads an iterable that somebody gave us, as the standards read a sequence. A
// plain array is read by its indexes, whatever iterator arrays have now.
export function listOf(iterable, what) {
  const out = [];
  if (isArray(iterable) && getPrototypeOf(iterable) === A && !hasOwn(iterable, iteratorOf)) {
    for (let i = 0; i < iterable.length; i++) push(out, iterable[i]);
    return out;
  }
  const make = iterable?.[iteratorOf];
  if (typeof make !== "function") throw new TypeError(what);
  const iterator = apply(make, iterable, []);
  for (;;) {
    const { done, value } = iterator.next();
    if (done) return out;
    push(out, value);
  }
}

const S = String.prototype;
export const strSlice = uncurry(S.slice);
export const strIndexOf = uncurry(S.indexOf);
export const strLastIndexOf = uncurry(S.lastIndexOf);
export const strIncludes = uncurry(S.includes);
export const strSplit = uncurry(S.split);
export const strStartsWith = uncurry(S.startsWith);
export const strEndsWith = uncurry(S.endsWith);
export const strReplaceAll = uncurry(S.replaceAll);
export const charCodeAt = uncurry(S.charCodeAt);
export const codePointAt = uncurry(S.codePointAt);
export const toLowerCase = uncurry(S.toLowerCase);
export const toUpperCase = uncurry(S.toUpperCase);
export const toWellFormed = uncurry(S.toWellFormed);
export const trim = uncurry(S.trim);
export const normalize = uncurry(S.normalize);
export const repeat = uncurry(S.repeat);
export const padStart = uncurry(S.padStart);
export const padEnd = uncurry(S.padEnd);

export const test = uncurry(RegExp.prototype.exec);

export const mapGet = uncurry(Map.prototype.get);
export const mapSet = uncurry(Map.prototype.set);
export const mapHas = uncurry(Map.prototype.has);
export const mapDelete = uncurry(Map.prototype.delete);
export const mapForEach = uncurry(Map.prototype.forEach);
export const setAdd = uncurry(Set.prototype.add);
export const setForEach = uncurry(Set.prototype.forEach);
const getter = (proto, name) => uncurry(getOwnPropertyDescriptor(proto, name).get);
export const mapSize = getter(Map.prototype, "size");
export const setSize = getter(Set.prototype, "size");

const Typed = getPrototypeOf(Uint8Array.prototype);
export const typedTag = getter(Typed, Symbol.toStringTag); // undefined for what is no typed array
export const typedLength = getter(Typed, "length");
export const typedBuffer = getter(Typed, "buffer");
export const typedByteOffset = getter(Typed, "byteOffset");
const typedByteLength = getter(Typed, "byteLength");
const viewBuffer = getter(DataView.prototype, "buffer");
const viewByteOffset = getter(DataView.prototype, "byteOffset");
const viewByteLength = getter(DataView.prototype, "byteLength");
export const bufferByteLength = getter(ArrayBuffer.prototype, "byteLength");
export const bufferTransfer = uncurry(ArrayBuffer.prototype.transfer);
export const bufferDetached = getter(ArrayBuffer.prototype, "detached");
export const typedSet = uncurry(Typed.set);
export const toBase64 = uncurry(Uint8Array.prototype.toBase64);
export const toHex = uncurry(Uint8Array.prototype.toHex);
export const fromBase64 = Uint8Array.fromBase64.bind(Uint8Array);
const U8 = Uint8Array;
export { U8 as Uint8Array, bind };

// typedSubarray and typedSlice are the language's, of Uint8Arrays, and ask for no
// species.
export function typedSubarray(bytes, start = 0, end = undefined) {
  const n = typedLength(bytes);
  const at = (v) => {
    v = trunc(+v) || 0;
    return v < 0 ? max(n + v, 0) : min(v, n);
  };
  const from = at(start), to = end === undefined ? n : at(end);
  return new U8(typedBuffer(bytes), typedByteOffset(bytes) + from, max(to - from, 0));
}
export const typedSlice = (bytes, start, end) => new U8(typedSubarray(bytes, start, end));

export function isBuffer(v) {
  if (typeof v !== "object" || v === null) return false;
  try {
    bufferByteLength(v);
    return true;
  } catch {
    return false;
  }
}

// bytesOf returns the bytes of a BufferSource without copying them, or undefined.
export function bytesOf(v) {
  if (typeof v !== "object" || v === null) return undefined;
  if (isView(v)) {
    return typedTag(v) === undefined
      ? new U8(viewBuffer(v), viewByteOffset(v), viewByteLength(v))
      : new U8(typedBuffer(v), typedByteOffset(v), typedByteLength(v));
  }
  return isBuffer(v) ? new U8(v) : undefined;
}

// The parts that are loaded late take from here what they need of the language.
export const dateValue = uncurry(Date.prototype.getTime);
export const dateISO = uncurry(Date.prototype.toISOString);
export const symbolText = uncurry(Symbol.prototype.toString);
export const regexpText = uncurry(RegExp.prototype.toString);
export const functionText = uncurry(Function.prototype.toString);
export const objectText = uncurry(Object.prototype.toString);
export const weakGet = uncurry(WeakMap.prototype.get);
export const weakSet = uncurry(WeakMap.prototype.set);
export const weakHas = uncurry(WeakMap.prototype.has);
export const weakSetHas = uncurry(WeakSet.prototype.has);
export const isWellFormed = uncurry(S.isWellFormed);
export const numberText = uncurry(Number.prototype.toString);
export const unbox = [
  ["Number", uncurry(Number.prototype.valueOf)], ["String", uncurry(S.valueOf)], ["Boolean", uncurry(Boolean.prototype.valueOf)],
  ["Symbol", uncurry(Symbol.prototype.valueOf)], ["BigInt", uncurry(BigInt.prototype.valueOf)],
];

const P = Promise, PromisePrototype = Promise.prototype;
// isPromise tells the language's own promises. A subclass that changes then is a
// thenable like any other.
export const isPromise = (v) => typeof v === "object" && v !== null && getPrototypeOf(v) === PromisePrototype;
export { P as Promise };
export const then = uncurry(Promise.prototype.then);
export const resolved = Promise.resolve.bind(Promise);
export const rejected = Promise.reject.bind(Promise);

// then looks at the species of a promise, and there is no way around it.
defineProperty(Promise, Symbol.species, { __proto__: null, configurable: false });

// own makes a promise of ours safe to await: await looks at its constructor, and
// calls its then when that is not Promise; an own property answers first.
const itself = { __proto__: null, value: Promise, configurable: true, writable: true };
export const own = (promise) => defineProperty(promise, "constructor", itself);

export const captureStack = Error.captureStackTrace;
export const isError = Error.isError;
const Exception = DOMException;
export { Exception as DOMException };

// hidden defines properties that do not show when the object is listed.
export function hidden(target, properties) {
  const names = ownKeys(properties);
  for (let i = 0; i < names.length; i++) {
    const d = setPrototypeOf(getOwnPropertyDescriptor(properties, names[i]), null);
    d.enumerable = false;
    defineProperty(target, names[i], d);
  }
  return target;
}

// tag gives a class the name it has in the standard, and makes its members enumerable,
// as Web IDL wants them.
export function tag(Class, name) {
  const names = ownKeys(Class.prototype);
  for (let i = 0; i < names.length; i++) {
    const key = names[i];
    if (key === "constructor" || typeof key === "symbol") continue;
    defineProperty(Class.prototype, key, { __proto__: null, enumerable: true });
  }
  defineProperty(Class.prototype, Symbol.toStringTag, { __proto__: null, value: name, configurable: true });
  defineProperty(Class, "name", { __proto__: null, value: name, configurable: true });
  return Class;
}
