// TextEncoder and TextDecoder. The host converts; what a stream has in hand between
// two pieces is kept here.
import { bytesOf, charCodeAt, min, str, strIncludes, strSlice, strSplit, tag, toLowerCase, toWellFormed, trim, typedLength, typedSet, typedSubarray, typedTag, Uint8Array } from "../core/primordials.js";
import { ask } from "../core/host.js";

export const encode = (text) => ask("utf8_encode", toWellFormed(str(text)));
export const decode = (bytes) => ask("utf8_decode", bytes, "");

class TextEncoder {
  get encoding() { return "utf-8"; }
  encode(text = "") { return encode(text); }
  encodeInto(source, target) {
    if (typedTag(target) !== "Uint8Array") throw new TypeError("encodeInto takes a Uint8Array");
    source = toWellFormed(`${source}`);
    const space = typedLength(target);
    const bytes = encode(strSlice(source, 0, space)); // a unit is a byte at least
    let written = min(typedLength(bytes), space);
    while (written > 0 && written < typedLength(bytes) && (bytes[written] & 0xc0) === 0x80) written--;
    typedSet(target, typedSubarray(bytes, 0, written));
    let read = 0;
    for (let i = 0; i < written; i++) {
      const b = bytes[i];
      if ((b & 0xc0) !== 0x80) read += b >= 0xf0 ? 2 : 1;
    }
    return { read, written };
  }
}
tag(TextEncoder, "TextEncoder");

const labels = { __proto__: null };
const kinds = [
  ["utf-8", "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8"],
  ["windows-1252", "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252"],
  ["utf-16le", "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le"],
  ["utf-16be", "unicodefffe utf-16be"],
];
for (let i = 0; i < kinds.length; i++) {
  const all = strSplit(kinds[i][1], " ");
  for (let j = 0; j < all.length; j++) labels[all[j]] = kinds[i][0];
}

class TextDecoder {
  #encoding; #fatal; #ignoreBOM;
  #held = new Uint8Array(0); // bytes that do not make a character yet
  #started = false; // the place of a byte order mark is past
  #streaming = false;
  constructor(label = "utf-8", options) {
    this.#encoding = labels[toLowerCase(trim(`${label}`))];
    if (this.#encoding === undefined) throw new RangeError(`the encoding ${label} is not supported: use utf-8, utf-16le, utf-16be or latin1`);
    this.#fatal = !!options?.fatal;
    this.#ignoreBOM = !!options?.ignoreBOM;
  }
  get encoding() { return this.#encoding; }
  get fatal() { return this.#fatal; }
  get ignoreBOM() { return this.#ignoreBOM; }
  decode(input, options) {
    let bytes = input === undefined ? new Uint8Array(0) : bytesOf(input);
    if (bytes === undefined) throw new TypeError("decode takes an ArrayBuffer or a view of one");
    if (!this.#streaming) {
      this.#held = new Uint8Array(0);
      this.#started = false;
    }
    this.#streaming = !!options?.stream;
    if (typedLength(this.#held) > 0) {
      const joined = new Uint8Array(typedLength(this.#held) + typedLength(bytes));
      typedSet(joined, this.#held);
      typedSet(joined, bytes, typedLength(this.#held));
      bytes = joined;
      this.#held = new Uint8Array(0);
    }
    if (this.#streaming) {
      const n = unfinished(this.#encoding, bytes);
      const end = typedLength(bytes) - n;
      this.#held = new Uint8Array(typedSubarray(bytes, end));
      bytes = typedSubarray(bytes, 0, end);
    }
    let text;
    try {
      text = ask(this.#encoding === "utf-8" ? "utf8_decode" : this.#encoding === "windows-1252" ? "latin1_decode" : "utf16_decode", bytes, this.#encoding === "utf-16be" ? "be" : this.#fatal ? "fatal" : "");
      if (this.#fatal && this.#encoding === "utf-16be" && strIncludes(text, "\ufffd")) throw new TypeError("the data is not valid utf-16be");
    } catch (error) {
      this.#streaming = false;
      throw error;
    }
    if (!this.#started && text.length > 0) {
      this.#started = true;
      if (!this.#ignoreBOM && this.#encoding !== "windows-1252" && charCodeAt(text, 0) === 0xfeff) text = strSlice(text, 1);
    }
    return text;
  }
}
tag(TextDecoder, "TextDecoder");

// unfinished counts the bytes at the end that may be the start of a character.
function unfinished(encoding, bytes) {
  const n = typedLength(bytes);
  if (encoding === "windows-1252") return 0;
  if (encoding !== "utf-8") {
    const odd = n % 2;
    if (n - odd < 2) return odd;
    const high = bytes[n - odd - (encoding === "utf-16le" ? 1 : 2)];
    return (high & 0xfc) === 0xd8 ? odd + 2 : odd;
  }
  for (let back = 1; back <= 3 && back <= n; back++) {
    const b = bytes[n - back];
    if ((b & 0xc0) === 0x80) continue;
    const size = b >= 0xf0 && b < 0xf5 ? 4 : b >= 0xe0 && b < 0xf0 ? 3 : b >= 0xc2 && b < 0xe0 ? 2 : 1;
    if (size <= back) return 0;
    // The second byte decides whether it can still become a character.
    if (back >= 2) {
      const second = bytes[n - back + 1];
      const low = b === 0xe0 ? 0xa0 : b === 0xf0 ? 0x90 : 0x80;
      const high = b === 0xed ? 0x9f : b === 0xf4 ? 0x8f : 0xbf;
      if (second < low || second > high) return 0;
    }
    return back;
  }
  return 0;
}

export { TextEncoder, TextDecoder };
