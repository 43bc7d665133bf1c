// Blob, File and FormData, and FormData as multipart/form-data.
import { apply, bytesOf, min, now, parse, push, strReplaceAll, tag, test, toLowerCase, toWellFormed, typedLength, typedSet, typedSlice, typedSubarray, Uint8Array } from "../core/primordials.js";
import { ask, chance } from "../core/host.js";
import { use } from "../core/parts.js";
import { decode, encode } from "./encoding.js";

export function concat(chunks, total) {
  const out = new Uint8Array(total);
  for (let i = 0, at = 0; i < chunks.length; i++) {
    typedSet(out, chunks[i], at);
    at += typedLength(chunks[i]);
  }
  return out;
}

let blobBytes;

class Blob {
  #bytes; #type;
  static { blobBytes = (b) => (typeof b === "object" && b !== null && #bytes in b ? b.#bytes : undefined); }
  constructor(pieces = [], options) {
    if (typeof pieces !== "object" || pieces === null || typeof pieces[Symbol.iterator] !== "function") throw new TypeError("Blob takes an array of pieces");
    const chunks = [];
    let total = 0;
    for (const piece of pieces) {
      let bytes = blobBytes(piece) ?? bytesOf(piece);
      if (bytes === undefined) {
        const text = `${piece}`;
        bytes = encode(options?.endings === "native" ? strReplaceAll(text, "\r\n", "\n") : text);
      }
      push(chunks, bytes);
      total += typedLength(bytes);
    }
    this.#bytes = concat(chunks, total);
    const type = options?.type === undefined ? "" : `${options.type}`;
    this.#type = test(/[^\x20-\x7e]/, type) === null ? toLowerCase(type) : "";
  }
  get size() { return typedLength(this.#bytes); }
  get type() { return this.#type; }
  slice(start = 0, end = this.size, type = "") {
    const b = new Blob([], { type });
    b.#bytes = typedSlice(this.#bytes, start, end);
    return b;
  }
  async arrayBuffer() { return typedSlice(this.#bytes).buffer; }
  async bytes() { return typedSlice(this.#bytes); }
  async text() { return decode(this.#bytes); }
  stream() {
    const bytes = this.#bytes;
    let at = 0;
    return new (use("streams").ReadableStream)({
      type: "bytes",
      pull(c) {
        const end = min(at + 65536, typedLength(bytes));
        if (end > at) c.enqueue(typedSlice(bytes, at, end));
        at = end;
        if (at >= typedLength(bytes)) c.close();
      },
    });
  }
}
tag(Blob, "Blob");

class File extends Blob {
  #name; #modified;
  constructor(pieces, name, options) {
    if (arguments.length < 2) throw new TypeError("File takes an array of pieces and a name");
    super(pieces, options);
    this.#name = toWellFormed(`${name}`);
    this.#modified = options?.lastModified === undefined ? now() : Math.trunc(+options.lastModified) || 0;
  }
  get name() { return this.#name; }
  get lastModified() { return this.#modified; }
  get webkitRelativePath() { return ""; }
}
tag(File, "File");

let formEntries;

class FormData {
  #list = []; // of [name, string or File]
  static { formEntries = (f) => (typeof f === "object" && f !== null && #list in f ? f.#list : undefined); }
  constructor(form) {
    if (form !== undefined) throw new TypeError("FormData takes nothing here: there are no HTML forms");
  }
  append(name, value, filename) { push(this.#list, entry(name, value, filename, arguments.length)); }
  set(name, value, filename) {
    const e = entry(name, value, filename, arguments.length);
    const kept = [];
    let done = false;
    for (const old of this.#list) {
      if (old[0] !== e[0]) push(kept, old);
      else if (!done) {
        done = true;
        push(kept, e);
      }
    }
    if (!done) push(kept, e);
    this.#list = kept;
  }
  delete(name) {
    const kept = [];
    for (const e of this.#list) if (e[0] !== `${name}`) push(kept, e);
    this.#list = kept;
  }
  get(name) {
    for (const e of this.#list) if (e[0] === `${name}`) return e[1];
    return null;
  }
  getAll(name) {
    const found = [];
    for (const e of this.#list) if (e[0] === `${name}`) push(found, e[1]);
    return found;
  }
  has(name) {
    for (const e of this.#list) if (e[0] === `${name}`) return true;
    return false;
  }
  forEach(callback, self) { for (const [name, value] of this) apply(callback, self, [value, name, this]); }
  *entries() { for (let i = 0; i < this.#list.length; i++) yield [this.#list[i][0], this.#list[i][1]]; }
  *keys() { for (let i = 0; i < this.#list.length; i++) yield this.#list[i][0]; }
  *values() { for (let i = 0; i < this.#list.length; i++) yield this.#list[i][1]; }
}
Object.defineProperty(FormData.prototype, Symbol.iterator, { value: FormData.prototype.entries, writable: true, configurable: true });
tag(FormData, "FormData");

function entry(name, value, filename, given) {
  if (given < 2) throw new TypeError(`2 arguments required, but only ${given} present`);
  name = toWellFormed(`${name}`);
  if (blobBytes(value) === undefined) {
    if (given > 2) throw new TypeError("only a Blob or a File has a file name");
    return [name, toWellFormed(`${value}`)];
  }
  if (!(value instanceof File) || filename !== undefined) {
    value = new File([value], filename === undefined ? (value instanceof File ? value.name : "blob") : filename, { type: value.type, lastModified: value.lastModified });
  }
  return [name, value];
}

const quoted = (name) => strReplaceAll(strReplaceAll(strReplaceAll(name, "\n", "%0A"), "\r", "%0D"), '"', "%22");
const lines = (text) => strReplaceAll(strReplaceAll(strReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n", "\r\n");

// encodeForm returns the bytes and the content type of a FormData. The boundary
// must not occur in what it separates.
export function encodeForm(form) {
  const boundary = "----RunnelFormBoundary" + chance("random_text", "22");
  const chunks = [];
  let total = 0;
  const add = (bytes) => {
    push(chunks, bytes);
    total += typedLength(bytes);
  };
  const list = formEntries(form);
  for (let i = 0; i < list.length; i++) {
    const [name, value] = list[i];
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(lines(name))}"`;
    if (typeof value === "string") add(encode(`${head}\r\n\r\n${lines(value)}\r\n`));
    else {
      add(encode(`${head}; filename="${quoted(value.name)}"\r\nContent-Type: ${value.type === "" ? "application/octet-stream" : value.type}\r\n\r\n`));
      add(blobBytes(value));
      add(encode("\r\n"));
    }
  }
  add(encode(`--${boundary}--\r\n`));
  return [concat(chunks, total), `multipart/form-data; boundary=${boundary}`];
}

// decodeForm reads a body as its content type says.
export function decodeForm(bytes, type) {
  const form = new FormData();
  const kind = toLowerCase(type);
  if (kind.startsWith("application/x-www-form-urlencoded")) {
    const pairs = parse(ask("form_decode", decode(bytes)));
    for (let i = 0; i < pairs.length; i++) form.append(pairs[i][0], pairs[i][1]);
    return form;
  }
  if (!kind.startsWith("multipart/form-data")) throw new TypeError(`a body of type ${type === "" ? "nothing" : type} is no form: send multipart/form-data or application/x-www-form-urlencoded`);
  const answer = ask("multipart_decode", bytes, type);
  const head = answer[0] | answer[1] << 8 | answer[2] << 16 | answer[3] << 24;
  const parts = parse(decode(typedSubarray(answer, 4, 4 + head)));
  for (let i = 0, at = 4 + head; i < parts.length; i++) {
    const p = parts[i];
    const data = typedSubarray(answer, at, (at += p.size));
    if (p.file) form.append(p.name, new File([data], p.filename, { type: p.type }));
    else form.append(p.name, decode(data));
  }
  return form;
}

export { Blob, File, FormData, blobBytes, formEntries };
