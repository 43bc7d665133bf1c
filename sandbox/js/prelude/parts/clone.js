// structuredClone: the types of the language, and Blob, File and errors. Nothing is
// transferred but ArrayBuffers.
import { bufferByteLength, bufferSlice, defineProperty, DOMException, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, isArray, isBuffer, isError, isView, keys, mapForEach, mapGet, mapHas, mapSet, setAdd, setForEach, typedTag, uncurry } from "../core/primordials.js";
import { use } from "../core/parts.js";

const dateValue = uncurry(Date.prototype.getTime);
const transfer = uncurry(ArrayBuffer.prototype.transfer);
const unbox = [[Number, uncurry(Number.prototype.valueOf)], [String, uncurry(String.prototype.valueOf)], [Boolean, uncurry(Boolean.prototype.valueOf)], [BigInt, uncurry(BigInt.prototype.valueOf)]];
const errors = { __proto__: null, Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
const arrays = { __proto__: null };
for (const C of [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array, Float16Array, Float32Array, Float64Array]) arrays[C.name] = C;
const isMap = (v) => { try { mapHas(v, v); return true; } catch { return false; } };
const isSet = (v) => { try { setForEach(v, () => {}); return true; } catch { return false; } };

function refuse(value) {
  let what = typeof value;
  try {
    what = what === "symbol" ? value.toString() : what === "function" ? `${value}`.slice(0, 60) : `#<${value?.constructor?.name ?? "Object"}>`;
  } catch { /* a trap */ }
  throw new DOMException(`${what} could not be cloned.`, "DataCloneError");
}

function clone(value, seen, moved) {
  if (typeof value === "function" || typeof value === "symbol") refuse(value);
  if (typeof value !== "object" || value === null) return value;
  if (mapHas(seen, value)) return mapGet(seen, value);
  const keep = (copy) => {
    mapSet(seen, value, copy);
    return copy;
  };
  const fill = (copy) => {
    const names = keys(value);
    for (let i = 0; i < names.length; i++) {
      if (hasOwn(value, names[i])) defineProperty(copy, names[i], { __proto__: null, value: clone(value[names[i]], seen, moved), writable: true, enumerable: true, configurable: true });
    }
    return copy;
  };
  if (isArray(value)) {
    const copy = keep([]);
    copy.length = value.length;
    return fill(copy);
  }
  if (isBuffer(value)) return keep(moved.includes(value) ? transfer(value) : bufferSlice(value, 0, bufferByteLength(value)));
  if (isView(value)) {
    const buffer = clone(value.buffer, seen, moved);
    const name = typedTag(value);
    return keep(name === undefined ? new DataView(buffer, value.byteOffset, value.byteLength) : new arrays[name](buffer, value.byteOffset, value.length));
  }
  if (isMap(value)) {
    const copy = keep(new Map()), list = [];
    mapForEach(value, (v, k) => list.push([k, v]));
    for (const [k, v] of list) mapSet(copy, clone(k, seen, moved), clone(v, seen, moved));
    return copy;
  }
  if (isSet(value)) {
    const copy = keep(new Set()), list = [];
    setForEach(value, (v) => list.push(v));
    for (const v of list) setAdd(copy, clone(v, seen, moved));
    return copy;
  }
  if (value instanceof DOMException) return keep(new DOMException(value.message, value.name));
  if (isError(value)) {
    const C = errors[value.name] ?? Error;
    const copy = keep(Object.create(C.prototype));
    const real = new C();
    const message = getOwnPropertyDescriptor(value, "message");
    if (message !== undefined && hasOwn(message, "value")) defineProperty(real, "message", { __proto__: null, value: `${message.value}`, writable: true, configurable: true });
    defineProperty(real, "stack", { __proto__: null, value: `${value.stack}`, writable: true, configurable: true });
    mapSet(seen, value, real);
    if (hasOwn(value, "cause")) defineProperty(real, "cause", { __proto__: null, value: clone(value.cause, seen, moved), writable: true, configurable: true });
    return real;
  }
  try {
    return keep(new Date(dateValue(value)));
  } catch { /* no date */ }
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
  for (const [Box, get] of unbox) {
    try {
      return keep(Object(get(value)));
    } catch { /* none of these */ }
  }
  const proto = getPrototypeOf(value);
  const className = proto !== null && Object.prototype.toString.call(value);
  if (className === "[object Blob]" || className === "[object File]") {
    const { Blob, File } = use("blob");
    if (value instanceof File) return keep(new File([value], value.name, value));
    if (value instanceof Blob) return keep(new Blob([value], value));
  }
  if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef || typeof className === "string" && className !== "[object Object]" && className !== "[object Arguments]" && typeof proto.constructor === "function" && hasOwn(globalThis, proto.constructor.name)) refuse(value);
  return fill(keep({}));
}

export function structuredClone(value, options) {
  if (arguments.length === 0) throw new TypeError("structuredClone takes a value");
  const moved = options?.transfer === undefined ? [] : [...options.transfer];
  for (const m of moved) if (!isBuffer(m)) throw new DOMException("only an ArrayBuffer can be transferred", "DataCloneError");
  const copy = clone(value, new Map(), moved);
  for (const m of moved) if (!m.detached) transfer(m);
  return copy;
}
