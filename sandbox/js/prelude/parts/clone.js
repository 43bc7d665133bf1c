// structuredClone: the types of the language, and Blob, File and errors. Nothing is
// transferred but ArrayBuffers.
import {
  bufferDetached, bufferTransfer, bytesOf, dateValue, defineProperty, DOMException, functionText, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, includes, isArray, isBuffer, isError, isView, keys, listOf, mapForEach, mapGet, mapHas, mapSet, objectText, push,
  setAdd, setForEach, strSlice, symbolText, typedBuffer, typedByteOffset, typedLength, typedTag, unbox,
} from "../core/primordials.js";
import { use } from "../core/parts.js";

const errors = { __proto__: null, Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
const arrays = { __proto__: null };
const kinds = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array, Float16Array, Float32Array, Float64Array];
for (let i = 0; i < kinds.length; i++) arrays[kinds[i].name] = kinds[i];
const isMap = (v) => { try { mapHas(v, v); return true; } catch { return false; } };
const isSet = (v) => { try { setForEach(v, () => {}); return true; } catch { return false; } };

function refuse(value) {
  let what = typeof value;
  try {
    what = what === "symbol" ? symbolText(value) : what === "function" ? strSlice(functionText(value), 0, 60) : `#<${value?.constructor?.name ?? "Object"}>`;
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
  if (isBuffer(value)) return keep(includes(moved, value) ? bufferTransfer(value) : typedBuffer(new Uint8Array(new Uint8Array(value))));
  if (isView(value)) {
    const bytes = bytesOf(value), name = typedTag(value);
    const buffer = clone(typedBuffer(bytes), seen, moved);
    return keep(name === undefined ? new DataView(buffer, typedByteOffset(bytes), typedLength(bytes)) : new arrays[name](buffer, typedByteOffset(bytes), typedLength(value)));
  }
  if (isMap(value)) {
    const copy = keep(new Map()), list = [];
    mapForEach(value, (v, k) => push(list, [k, v]));
    for (let i = 0; i < list.length; i++) mapSet(copy, clone(list[i][0], seen, moved), clone(list[i][1], seen, moved));
    return copy;
  }
  if (isSet(value)) {
    const copy = keep(new Set()), list = [];
    setForEach(value, (v) => push(list, v));
    for (let i = 0; i < list.length; i++) setAdd(copy, clone(list[i], seen, moved));
    return copy;
  }
  if (objectText(value) === "[object DOMException]") return keep(new DOMException(value.message, value.name));
  if (isError(value)) {
    const C = errors[value.name] ?? Error;
    const real = keep(new C());
    const message = getOwnPropertyDescriptor(value, "message");
    if (message !== undefined && hasOwn(message, "value")) defineProperty(real, "message", { __proto__: null, value: `${message.value}`, writable: true, configurable: true });
    defineProperty(real, "stack", { __proto__: null, value: `${value.stack}`, writable: true, configurable: true });
    if (hasOwn(value, "cause")) defineProperty(real, "cause", { __proto__: null, value: clone(value.cause, seen, moved), writable: true, configurable: true });
    return real;
  }
  try {
    return keep(new Date(dateValue(value)));
  } catch { /* no date */ }
  if (objectText(value) === "[object RegExp]") return keep(new RegExp(value.source, value.flags));
  for (let i = 0; i < unbox.length; i++) {
    if (unbox[i][0] === "Symbol") continue;
    try {
      return keep(Object(unbox[i][1](value)));
    } catch { /* none of these */ }
  }
  const proto = getPrototypeOf(value);
  const className = proto !== null && objectText(value);
  if (className === "[object Blob]" || className === "[object File]") {
    const { Blob, blobBytes, blobType, File, fileName, fileTime } = use("blob");
    if (blobBytes(value) !== undefined) {
      const type = { __proto__: null, type: blobType(value), lastModified: fileTime(value) };
      return keep(fileName(value) === undefined ? new Blob([value], type) : new File([value], fileName(value), type));
    }
  }
  if (className === "[object Promise]" || className === "[object WeakMap]" || className === "[object WeakSet]" || className === "[object WeakRef]" || typeof className === "string" && className !== "[object Object]" && className !== "[object Arguments]" && typeof proto.constructor === "function" && hasOwn(globalThis, proto.constructor.name)) refuse(value);
  return fill(keep({}));
}

export function structuredClone(value, options) {
  if (arguments.length === 0) throw new TypeError("structuredClone takes a value");
  const moved = options?.transfer === undefined ? [] : listOf(options.transfer, "transfer is a list");
  for (let i = 0; i < moved.length; i++) if (!isBuffer(moved[i])) throw new DOMException("only an ArrayBuffer can be transferred", "DataCloneError");
  const copy = clone(value, new Map(), moved);
  for (let i = 0; i < moved.length; i++) if (!bufferDetached(moved[i])) bufferTransfer(moved[i]);
  return copy;
}
