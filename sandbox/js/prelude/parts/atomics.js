// Atomics, which the engine's build for WebAssembly leaves out. There is one thread,
// so every operation is whole as it is; waiting would be for nobody, and is refused
// as in a browser's main thread.
import { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys, trunc, typedLength, typedTag, uncurry } from "../core/primordials.js";

const validate = uncurry(getPrototypeOf(Uint8Array.prototype).keys); // throws for an array whose memory is gone
const bufferOf = uncurry(getOwnPropertyDescriptor(getPrototypeOf(Uint8Array.prototype), "buffer").get);
const sharedLength = uncurry(getOwnPropertyDescriptor(SharedArrayBuffer.prototype, "byteLength").get);
const { asIntN } = BigInt;
const { isInteger } = Number;

// cells convert a value to what an array of a kind holds.
const cells = { __proto__: null };
for (const C of [Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array]) cells[C.name] = new C(1);

const integer = (v) => trunc(+v) || 0; // no -0, no NaN
const bigint = (v) => asIntN(2 ** 53 - 1, v); // BigInt(v) would take numbers

function check(array, waits) {
  const tag = typedTag(array);
  if (cells[tag] === undefined || waits && tag !== "Int32Array" && tag !== "BigInt64Array") throw new TypeError(`Atomics takes ${waits ? "an Int32Array or a BigInt64Array" : "an array of integers"}`);
  validate(array);
  return tag;
}

function place(array, index) {
  const length = typedLength(array), i = integer(index); // which may run code of the user
  if (i < 0 || i >= length) throw new RangeError("out-of-bounds access");
  return i;
}

// modify replaces a value by what next makes of it, and returns the old one.
function modify(array, index, value, next) {
  const tag = check(array), i = place(array, index), cell = cells[tag];
  const v = tag === "BigInt64Array" || tag === "BigUint64Array" ? bigint(value) : integer(value);
  validate(array); // the conversion may have run code of the user
  place(array, i);
  cell[0] = v;
  const old = array[i];
  array[i] = next(old, cell[0]);
  return old;
}

function isShared(array) {
  try {
    sharedLength(bufferOf(array));
    return true;
  } catch {
    return false;
  }
}

const methods = {
  add(array, index, value) { return modify(array, index, value, (a, b) => a + b); },
  and(array, index, value) { return modify(array, index, value, (a, b) => a & b); },
  compareExchange(array, index, expected, replacement) {
    const tag = check(array), i = place(array, index), cell = cells[tag];
    const convert = tag === "BigInt64Array" || tag === "BigUint64Array" ? bigint : integer;
    const e = convert(expected), r = convert(replacement);
    validate(array);
    place(array, i);
    cell[0] = e;
    const old = array[i];
    if (old === cell[0]) array[i] = r;
    return old;
  },
  exchange(array, index, value) { return modify(array, index, value, (a, b) => b); },
  isLockFree(size) {
    const n = integer(size);
    return n === 1 || n === 2 || n === 4 || n === 8;
  },
  load(array, index) {
    check(array);
    const i = place(array, index);
    validate(array);
    return array[place(array, i)];
  },
  notify(array, index, count) {
    check(array, true);
    place(array, index);
    if (count !== undefined) integer(count);
    return 0; // nobody waits
  },
  or(array, index, value) { return modify(array, index, value, (a, b) => a | b); },
  pause(n = undefined) {
    if (n !== undefined && !isInteger(n)) throw new TypeError("Atomics.pause takes an integer");
  },
  store(array, index, value) {
    const tag = check(array), i = place(array, index);
    const v = tag === "BigInt64Array" || tag === "BigUint64Array" ? bigint(value) : integer(value);
    validate(array);
    array[place(array, i)] = v;
    return v;
  },
  sub(array, index, value) { return modify(array, index, value, (a, b) => a - b); },
  wait(array, index, value, timeout) {
    check(array, true);
    if (!isShared(array)) throw new TypeError("Atomics.wait takes an array on a SharedArrayBuffer");
    place(array, index);
    typedTag(array) === "Int32Array" ? integer(value) : bigint(value);
    +timeout;
    throw new TypeError("Atomics.wait cannot be used here: a function has one thread");
  },
  xor(array, index, value) { return modify(array, index, value, (a, b) => a ^ b); },
};

export const Atomics = {};
for (const name of ownKeys(methods)) defineProperty(Atomics, name, { __proto__: null, value: methods[name], writable: true, enumerable: false, configurable: true });
defineProperty(Atomics, Symbol.toStringTag, { __proto__: null, value: "Atomics", configurable: true });
