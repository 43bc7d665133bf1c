// Blob, File and FormData, and FormData as multipart/form-data.
import { apply, bytesOf, defineProperty, listOf, min, now, parse, push, str, strReplaceAll, strStartsWith, tag, test, toLowerCase, toWellFormed, trunc, typedBuffer, typedLength, typedSet, typedSlice, typedSubarray, Uint8Array } from "../core/primordials.js";
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

let blobBytes, blobType, fileName, fileTime;

class Blob {
  #bytes; #type;
  static { blobBytes = (b) => (typeof b === "object" && b !== null && #bytes in b ? b.#bytes : undefined); blobType = (b) => b.#type; }
  constructor(pieces = [], options) {
    if (typeof pieces !== "object" || pieces === null) throw new TypeError("Blob takes an array of pieces");
    pieces = listOf(pieces, "Blob takes an array of pieces");
    const chunks = [];
    let total = 0;
    for (let i = 0; i < pieces.length; i++) {
      const piece = pieces[i];
      let bytes = blobBytes(piece) ?? bytesOf(piece);
      if (bytes === undefined) {
        const text = str(piece);
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
  slice(start = 0, end = typedLength(this.#bytes), type = "") {
    const b = new Blob([], { type });
    b.#bytes = typedSlice(this.#bytes, start, end);
    return b;
  }
  async arrayBuffer() { return typedBuffer(typedSlice(this.#bytes)); }
  async bytes() { return typedSlice(this.#bytes); }
  async text() { return decode(this.#bytes); }
  stream() {
    return use("streams").streamOf(() => this.#bytes);
  }
}
tag(Blob, "Blob");

class File extends Blob {
  #name; #modified;
  static { fileName = (b) => (#name in b ? b.#name : undefined); fileTime = (b) => b.#modified; }
  constructor(pieces, name, options) {
    if (arguments.length < 2) throw new TypeError("File takes an array of pieces and a name");
    super(pieces, options);
    this.#name = toWellFormed(`${name}`);
    this.#modified = options?.lastModified === undefined ? now() : trunc(+options.lastModified) || 0;
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
    for (let i = 0; i < this.#list.length; i++) {
      const old = this.#list[i];
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
    name = str(name);
    const kept = [];
    for (let i = 0; i < this.#list.length; i++) if (this.#list[i][0] !== name) push(kept, this.#list[i]);
    this.#list = kept;
  }
  get(name) {
    name = str(name);
    for (let i = 0; i < this.#list.length; i++) if (this.#list[i][0] === name) return this.#list[i][1];
    return null;
  }
  getAll(name) {
    name = str(name);
    const found = [];
    for (let i = 0; i < this.#list.length; i++) if (this.#list[i][0] === name) push(found, this.#list[i][1]);
    return found;
  }
  has(name) {
    name = str(name);
    for (let i = 0; i < this.#list.length; i++) if (this.#list[i][0] === name) return true;
    return false;
  }
  forEach(callback, self) { for (let i = 0; i < this.#list.length; i++) apply(callback, self, [this.#list[i][1], this.#list[i][0], this]); }
  *entries() { for (let i = 0; i < this.#list.length; i++) yield [this.#list[i][0], this.#list[i][1]]; }
  *keys() { for (let i = 0; i < this.#list.length; i++) yield this.#list[i][0]; }
  *values() { for (let i = 0; i < this.#list.length; i++) yield this.#list[i][1]; }
}
defineProperty(FormData.prototype, Symbol.iterator, { __proto__: null, value: FormData.prototype.entries, writable: true, configurable: true });
tag(FormData, "FormData");

function entry(name, value, filename, given) {
  if (given < 2) throw new TypeError(`2 arguments required, but only ${given} present`);
  name = toWellFormed(`${name}`);
  if (blobBytes(value) === undefined) {
    if (given > 2) throw new TypeError("only a Blob or a File has a file name");
    return [name, toWellFormed(`${value}`)];
  }
  const file = fileName(value);
  if (file === undefined || filename !== undefined) {
    value = new File([value], filename === undefined ? file ?? "blob" : filename, { __proto__: null, type: blobType(value), lastModified: file === undefined ? undefined : fileTime(value) });
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
    const name = list[i][0], value = list[i][1];
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(lines(name))}"`;
    if (typeof value === "string") add(encode(`${head}\r\n\r\n${lines(value)}\r\n`));
    else {
      add(encode(`${head}; filename="${quoted(fileName(value))}"\r\nContent-Type: ${blobType(value) === "" ? "application/octet-stream" : blobType(value)}\r\n\r\n`));
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
  if (strStartsWith(kind, "application/x-www-form-urlencoded")) {
    const pairs = parse(ask("form_decode", decode(bytes)));
    for (let i = 0; i < pairs.length; i++) push(formEntries(form), [pairs[i][0], pairs[i][1]]);
    return form;
  }
  if (!strStartsWith(kind, "multipart/form-data")) throw new TypeError(`a body of type ${type === "" ? "nothing" : type} is no form: send multipart/form-data or application/x-www-form-urlencoded`);
  const answer = ask("multipart_decode", bytes, type);
  const head = answer[0] | answer[1] << 8 | answer[2] << 16 | answer[3] << 24;
  const parts = parse(decode(typedSubarray(answer, 4, 4 + head)));
  for (let i = 0, at = 4 + head; i < parts.length; i++) {
    const p = parts[i];
    const data = typedSubarray(answer, at, (at += p.size));
    if (p.file) push(formEntries(form), [p.name, new File([data], p.filename, { __proto__: null, type: p.type })]);
    else push(formEntries(form), [p.name, decode(data)]);
  }
  return form;
}

export { Blob, File, FormData, blobBytes, blobType, fileName, fileTime, formEntries };
