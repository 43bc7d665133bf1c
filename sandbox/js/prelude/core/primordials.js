// The parts of the language that the prelude itself depends on, taken before any
// code of a user ran. What a user later does to Array.prototype, JSON or Promise
// changes the user's program and not ours.
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
export const fromCharCode = String.fromCharCode;
export const isView = ArrayBuffer.isView;

const A = Array.prototype;
export const push = uncurry(A.push);
export const pop = uncurry(A.pop);
export const shift = uncurry(A.shift);
export const splice = uncurry(A.splice);
export const slice = uncurry(A.slice);
export const join = uncurry(A.join);
export const map = uncurry(A.map);
export const filter = uncurry(A.filter);
export const includes = uncurry(A.includes);
export const indexOf = uncurry(A.indexOf);
export const sort = uncurry(A.sort);
export const values = uncurry(A.values);

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
const typedBuffer = getter(Typed, "buffer");
const typedByteOffset = getter(Typed, "byteOffset");
const typedByteLength = getter(Typed, "byteLength");
const viewBuffer = getter(DataView.prototype, "buffer");
const viewByteOffset = getter(DataView.prototype, "byteOffset");
const viewByteLength = getter(DataView.prototype, "byteLength");
export const bufferByteLength = getter(ArrayBuffer.prototype, "byteLength");
export const bufferSlice = uncurry(ArrayBuffer.prototype.slice);
export const typedSet = uncurry(Typed.set);
export const typedSubarray = uncurry(Typed.subarray);
export const typedSlice = uncurry(Typed.slice);
export const toBase64 = uncurry(Uint8Array.prototype.toBase64);
export const toHex = uncurry(Uint8Array.prototype.toHex);
export const fromBase64 = Uint8Array.fromBase64.bind(Uint8Array);
const U8 = Uint8Array;
export { U8 as Uint8Array, bind };

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

const P = Promise;
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
  for (const key of ownKeys(Class.prototype)) {
    if (key === "constructor" || typeof key === "symbol") continue;
    defineProperty(Class.prototype, key, { __proto__: null, enumerable: true });
  }
  defineProperty(Class.prototype, Symbol.toStringTag, { __proto__: null, value: name, configurable: true });
  defineProperty(Class, "name", { __proto__: null, value: name, configurable: true });
  return Class;
}
