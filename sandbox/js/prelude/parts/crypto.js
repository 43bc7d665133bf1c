// crypto: random values and SubtleCrypto. The host computes; a key is bytes here
// (DER for pairs, raw for secrets), which user code gets only by exportKey.
import { bytesOf, DOMException, fromBase64, includes, isArray, isView, listOf, map, parse, push, str, stringify, strSlice, tag, toBase64, toHex, toUpperCase, typedBuffer, typedLength, typedSet, typedTag, Uint8Array } from "../core/primordials.js";
import { ask, chance } from "../core/host.js";

const fail = (name, message) => { throw new DOMException(message, name); };

function data(v, what) {
  const bytes = bytesOf(v);
  if (bytes === undefined) throw new TypeError(`${what} must be an ArrayBuffer or a view of one`);
  return bytes;
}
const buffer = (bytes) => typedBuffer(bytes);

// What each algorithm can do, and which of a key's usages its public half keeps.
const algorithms = {
  __proto__: null,
  "HMAC": { usages: ["sign", "verify"], secret: true, hash: true },
  "AES-GCM": { usages: ["encrypt", "decrypt", "wrapKey", "unwrapKey"], secret: true },
  "AES-CBC": { usages: ["encrypt", "decrypt", "wrapKey", "unwrapKey"], secret: true },
  "AES-CTR": { usages: ["encrypt", "decrypt", "wrapKey", "unwrapKey"], secret: true },
  "ECDSA": { usages: ["sign", "verify"], curve: true },
  "ECDH": { usages: ["deriveKey", "deriveBits"], curve: true },
  "Ed25519": { usages: ["sign", "verify"] },
  "X25519": { usages: ["deriveKey", "deriveBits"] },
  "RSASSA-PKCS1-v1_5": { usages: ["sign", "verify"], rsa: true, hash: true },
  "RSA-PSS": { usages: ["sign", "verify"], rsa: true, hash: true },
  "RSA-OAEP": { usages: ["encrypt", "decrypt", "wrapKey", "unwrapKey"], rsa: true, hash: true },
  "PBKDF2": { usages: ["deriveKey", "deriveBits"], secret: true, derive: true },
  "HKDF": { usages: ["deriveKey", "deriveBits"], secret: true, derive: true },
};
const publicUsages = ["verify", "encrypt", "wrapKey"];
const hashes = ["SHA-1", "SHA-256", "SHA-384", "SHA-512"];
const curves = ["P-256", "P-384", "P-521"];

// algorithm returns the normal form of an AlgorithmIdentifier.
function algorithm(a, known = algorithms) {
  const object = typeof a === "string" ? { name: a } : a;
  if (typeof object !== "object" || object === null || object.name === undefined) throw new TypeError("an algorithm is a name or an object with a name");
  const name = toUpperCase(`${object.name}`);
  for (const k in known) if (toUpperCase(k) === name) return [k, object];
  return fail("NotSupportedError", `the algorithm ${strSlice(`${object.name}`, 0, 40)} is not supported`);
}

function hashOf(h) {
  const name = toUpperCase(`${typeof h === "object" && h !== null ? h.name : h}`);
  if (!includes(hashes, name)) fail("NotSupportedError", `the hash ${strSlice(name, 0, 40)} is not supported: use SHA-256, SHA-384, SHA-512 or SHA-1`);
  return name;
}

let keyOf, makeKey;
const secret = Symbol();

class CryptoKey {
  #k;
  static {
    keyOf = (v) => {
      if (typeof v !== "object" || v === null || !(#k in v)) throw new TypeError("this is no CryptoKey");
      return v.#k;
    };
    makeKey = (k) => new CryptoKey(secret, k);
  }
  constructor(s, k) {
    if (s !== secret) throw new TypeError("Illegal constructor");
    this.#k = k;
  }
  get type() { return this.#k.type; }
  get extractable() { return this.#k.extractable; }
  get algorithm() { return this.#k.algorithm; }
  get usages() { return map(this.#k.usages, (u) => u); }
}
tag(CryptoKey, "CryptoKey");

// describe is the algorithm of a key, from what was asked for and what the host found.
function describe(name, object, found) {
  const spec = algorithms[name];
  return {
    name,
    ...(spec.curve && { namedCurve: object.namedCurve }),
    ...(spec.rsa && { modulusLength: found.bits, publicExponent: fromBase64(found.exponent) }),
    ...(spec.hash && { hash: { name: hashOf(object.hash) } }),
    ...(spec.secret && !spec.derive && { length: found.bits }),
  };
}

// brief is what the host needs to know of an algorithm.
function brief(name, object) {
  const spec = algorithms[name];
  const b = { __proto__: null, name };
  if (spec.curve) {
    if (!includes(curves, object.namedCurve)) fail("NotSupportedError", `the curve ${object.namedCurve} is not supported: use P-256, P-384 or P-521`);
    b.curve = object.namedCurve;
  }
  if (spec.hash) b.hash = hashOf(object.hash);
  return b;
}

function checkUsages(name, usages) {
  const list = [], given = listOf(usages, "the usages of a key are a list");
  for (let i = 0; i < given.length; i++) {
    const u = given[i];
    if (!includes(algorithms[name].usages, u)) fail("SyntaxError", `a key for ${name} cannot have the usage ${u}`);
    if (!includes(list, u)) push(list, u);
  }
  return list;
}

function use(key, usage, name) {
  const k = keyOf(key);
  if (k.algorithm.name !== name) fail("InvalidAccessError", `the key is for ${k.algorithm.name}, not for ${name}`);
  if (!includes(k.usages, usage)) fail("InvalidAccessError", `the key does not allow ${usage}`);
  return k;
}

function operation(key, usage, a) {
  const { 0: name, 1: object } = algorithm(a);
  const k = use(key, usage, name);
  const p = { __proto__: null, name };
  const spec = algorithms[name];
  if (spec.curve) p.curve = k.algorithm.namedCurve;
  if (spec.hash) p.hash = k.algorithm.hash.name;
  if (name === "ECDSA") p.hash = hashOf(object.hash);
  if (name === "RSA-PSS") p.salt = +object.saltLength;
  if (name === "RSA-OAEP" && object.label !== undefined) p.label = toBase64(data(object.label, "label"));
  if (name === "AES-GCM" || name === "AES-CBC") {
    p.iv = toBase64(data(object.iv, "iv"));
    if (object.additionalData !== undefined) p.aad = toBase64(data(object.additionalData, "additionalData"));
    p.tag = object.tagLength === undefined ? 128 : +object.tagLength;
  }
  if (name === "AES-CTR") {
    p.iv = toBase64(data(object.counter, "counter"));
    p.counter = +object.length;
  }
  return [k, p];
}

const secretLength = (object, name) => {
  if (name !== "HMAC") return +object.length;
  return object.length === undefined ? (hashOf(object.hash) === "SHA-384" || hashOf(object.hash) === "SHA-512" ? 1024 : 512) : +object.length;
};

const randomized = ["ECDSA", "RSA-PSS", "RSA-OAEP"];

class SubtleCrypto {
  constructor(s) { if (s !== secret) throw new TypeError("Illegal constructor"); }

  async digest(a, input) {
    const name = hashOf(a);
    return buffer(ask("digest", name, data(input, "data")));
  }

  async generateKey(a, extractable, usages) {
    const { 0: name, 1: object } = algorithm(a);
    const list = checkUsages(name, usages);
    const b = brief(name, object);
    const spec = algorithms[name];
    if (spec.derive || spec.rsa) fail("NotSupportedError", spec.rsa ? "RSA keys are not generated here, it takes too long: import one, or use ECDSA" : `${name} has no keys to generate: import one`);
    if (spec.secret) b.bits = secretLength(object, name);
    const made = parse(chance("key_generate", stringify(b)));
    extractable = !!extractable;
    if (spec.secret) {
      if (list.length === 0) fail("SyntaxError", "a key needs a usage");
      return makeKey({ type: "secret", extractable, usages: list, algorithm: describe(name, object, made), bytes: fromBase64(made.secret) });
    }
    const pub = [], priv = [];
    for (let i = 0; i < list.length; i++) push(includes(publicUsages, list[i]) ? pub : priv, list[i]);
    if (priv.length === 0) fail("SyntaxError", "a private key needs a usage");
    return {
      publicKey: makeKey({ type: "public", extractable: true, usages: pub, algorithm: describe(name, object, made), bytes: fromBase64(made.public) }),
      privateKey: makeKey({ type: "private", extractable, usages: priv, algorithm: describe(name, object, made), bytes: fromBase64(made.private) }),
    };
  }

  async importKey(format, input, a, extractable, usages) { return importKey(format, input, a, extractable, usages); }

  async exportKey(format, key) { return exportKey(format, key); }

  async sign(a, key, input) {
    const { 0: k, 1: p } = operation(key, "sign", a);
    if (k.type === "public") fail("InvalidAccessError", "a public key cannot sign");
    return buffer((includes(randomized, p.name) ? chance : ask)("sign", stringify(p), k.bytes, data(input, "data")));
  }

  async verify(a, key, signature, input) {
    const { 0: k, 1: p } = operation(key, "verify", a);
    return ask("verify", stringify(p), k.bytes, data(signature, "signature"), data(input, "data"))[0] === 1;
  }

  async encrypt(a, key, input) { return encrypt(a, key, data(input, "data"), "encrypt"); }
  async decrypt(a, key, input) { return decrypt(a, key, data(input, "data"), "decrypt"); }

  async deriveBits(a, key, length) { return deriveBits(a, key, length, "deriveBits"); }

  async deriveKey(a, key, derived, extractable, usages) {
    const { 0: name, 1: object } = algorithm(derived);
    const bits = algorithms[name].derive ? null : secretLength(object, name);
    const raw = deriveBits(a, key, bits, "deriveKey");
    return importKey("raw", raw, derived, extractable, usages);
  }

  async wrapKey(format, key, wrapping, a) {
    const exported = exportKey(format, key);
    const bytes = format === "jwk" ? ask("utf8_encode", stringify(exported)) : new Uint8Array(exported);
    return encrypt(a, wrapping, bytes, "wrapKey");
  }

  async unwrapKey(format, wrapped, unwrapping, a, keyAlgorithm, extractable, usages) {
    const raw = decrypt(a, unwrapping, data(wrapped, "wrappedKey"), "unwrapKey");
    return importKey(format, format === "jwk" ? parse(ask("utf8_decode", new Uint8Array(raw), "fatal")) : raw, keyAlgorithm, extractable, usages);
  }
}
tag(SubtleCrypto, "SubtleCrypto");

const fields = ["kty", "crv", "k", "x", "y", "d", "n", "e", "p", "q"];

function importKey(format, input, a, extractable, usages) {
  const { 0: name, 1: object } = algorithm(a);
  const list = checkUsages(name, usages);
  const b = brief(name, object);
  if (algorithms[name].derive && format !== "raw") fail("NotSupportedError", `a key for ${name} is imported as raw`);
  let bytes;
  if (format === "jwk") {
    if (typeof input !== "object" || input === null || bytesOf(input) !== undefined) throw new TypeError("a JWK is an object");
    const jwk = { __proto__: null };
    for (let i = 0; i < fields.length; i++) if (input[fields[i]] !== undefined) jwk[fields[i]] = str(input[fields[i]]);
    if (input.ext === false && extractable) fail("DataError", "the JWK says that the key cannot be extracted");
    if (isArray(input.key_ops)) for (let i = 0; i < list.length; i++) if (!includes(input.key_ops, list[i])) fail("DataError", `the JWK does not allow ${list[i]}`);
    bytes = ask("utf8_encode", stringify(jwk));
  } else if (format === "raw" || format === "pkcs8" || format === "spki") bytes = data(input, "the key");
  else throw new TypeError(`a key has no format ${format}: use raw, jwk, pkcs8 or spki`);
  const found = parse(ask("key_import", format, stringify(b), bytes));
  if (found.type !== "public" && list.length === 0) fail("SyntaxError", "a key needs a usage");
  if (found.type !== "secret") {
    for (let i = 0; i < list.length; i++) {
      const u = list[i];
      if (includes(publicUsages, u) !== (found.type === "public") || found.type === "public" && !includes(publicUsages, u)) fail("SyntaxError", `a ${found.type} key cannot have the usage ${u}`);
    }
  }
  return makeKey({ type: found.type, extractable: !!extractable, usages: list, algorithm: describe(name, object, found), bytes: fromBase64(found.key) });
}

function exportKey(format, key) {
  const k = keyOf(key);
  if (!k.extractable) fail("InvalidAccessError", "the key cannot be extracted");
  const b = brief(k.algorithm.name, { namedCurve: k.algorithm.namedCurve, hash: k.algorithm.hash });
  const bytes = ask("key_export", `${format}`, stringify({ __proto__: null, ...b, type: k.type }), k.bytes);
  if (format !== "jwk") return buffer(bytes);
  return { key_ops: map(k.usages, (u) => u), ext: true, ...parse(ask("utf8_decode", bytes, "fatal")) };
}

function encrypt(a, key, bytes, usage) {
  const { 0: k, 1: p } = operation(key, usage, a);
  return buffer((includes(randomized, p.name) ? chance : ask)("encrypt", stringify(p), k.bytes, bytes));
}

function decrypt(a, key, bytes, usage) {
  const { 0: k, 1: p } = operation(key, usage, a);
  return buffer(ask("decrypt", stringify(p), k.bytes, bytes));
}

function deriveBits(a, key, length, usage) {
  const { 0: name, 1: object } = algorithm(a);
  const k = use(key, usage, name);
  const p = { __proto__: null, name, bits: length === null || length === undefined ? 0 : +length };
  let other = new Uint8Array(0);
  if (name === "PBKDF2" || name === "HKDF") {
    p.hash = hashOf(object.hash);
    p.salt = toBase64(data(object.salt, "salt"));
    if (name === "PBKDF2") p.iterations = +object.iterations;
    else p.info = toBase64(data(object.info, "info"));
  } else {
    const pub = keyOf(object.public);
    if (pub.algorithm.name !== name || pub.algorithm.namedCurve !== k.algorithm.namedCurve) fail("InvalidAccessError", "the public key is of another kind");
    other = pub.bytes;
    p.curve = k.algorithm.namedCurve;
  }
  return buffer(ask("derive", stringify(p), k.bytes, other));
}

const integers = ["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array", "BigInt64Array", "BigUint64Array"];

class Crypto {
  #subtle = new SubtleCrypto(secret);
  constructor(s) { if (s !== secret) throw new TypeError("Illegal constructor"); }
  get subtle() { return this.#subtle; }
  getRandomValues(array) {
    if (!isView(array) || !includes(integers, typedTag(array))) throw new DOMException("getRandomValues takes a typed array of integers", "TypeMismatchError");
    const bytes = bytesOf(array);
    const n = typedLength(bytes);
    if (n > 65536) fail("QuotaExceededError", "getRandomValues makes at most 65536 bytes at a time");
    typedSet(bytes, chance("random", `${n}`));
    return array;
  }
  randomUUID() {
    const b = chance("random", "16");
    b[6] = b[6] & 15 | 64;
    b[8] = b[8] & 63 | 128;
    const h = toHex(b);
    return `${strSlice(h, 0, 8)}-${strSlice(h, 8, 12)}-${strSlice(h, 12, 16)}-${strSlice(h, 16, 20)}-${strSlice(h, 20)}`;
  }
}
tag(Crypto, "Crypto");

export const crypto = new Crypto(secret);
export { Crypto, CryptoKey, SubtleCrypto };
