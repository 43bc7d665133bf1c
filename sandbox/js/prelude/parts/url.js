// URL and URLSearchParams. The host parses and serialises; a URL here is what it
// answered.
import { apply, bare, defineProperty, getOwnPropertyDescriptor, join, listOf, map, ownKeys, parse, push, sort, str, strSlice, strSplit, stringify, tag, toWellFormed } from "../core/primordials.js";
import { ask } from "../core/host.js";

const usv = (v) => toWellFormed(str(v));
const pairOf = (name, value) => bare([name, value]);
const inspected = Symbol.for("nodejs.util.inspect.custom");

// The fields of the host's answer, a line each.
const HREF = 0, PROTOCOL = 1, USERNAME = 2, PASSWORD = 3, HOST = 4, HOSTNAME = 5, PORT = 6, PATHNAME = 7, SEARCH = 8, HASH = 9, ORIGIN = 10;

export const parseURL = (url, base) => strSplit(ask("url_parse", usv(url), base === undefined ? "" : usv(base), base === undefined ? "" : "base"), "\n");

export let isURL;

class URL {
  #f; #params;
  static { isURL = (v) => typeof v === "object" && v !== null && #f in v; }
  constructor(url, base) {
    if (arguments.length === 0) throw new TypeError("URL takes a URL");
    this.#f = parseURL(url, base);
  }
  static canParse(url, base) {
    try {
      parseURL(url, base);
      return true;
    } catch {
      return false;
    }
  }
  static parse(url, base) {
    try {
      return new URL(url, base);
    } catch {
      return null;
    }
  }
  #set(field, value) {
    this.#f = strSplit(ask("url_set", this.#f[HREF], field, usv(value)), "\n");
    if (field === "search" && this.#params !== undefined) setList(this.#params, decodeForm(this.#f[SEARCH]));
  }
  get href() { return this.#f[HREF]; }
  set href(v) {
    this.#f = parseURL(v);
    if (this.#params !== undefined) setList(this.#params, decodeForm(this.#f[SEARCH]));
  }
  get origin() { return this.#f[ORIGIN]; }
  get protocol() { return this.#f[PROTOCOL]; }
  set protocol(v) { this.#set("protocol", v); }
  get username() { return this.#f[USERNAME]; }
  set username(v) { this.#set("username", v); }
  get password() { return this.#f[PASSWORD]; }
  set password(v) { this.#set("password", v); }
  get host() { return this.#f[HOST]; }
  set host(v) { this.#set("host", v); }
  get hostname() { return this.#f[HOSTNAME]; }
  set hostname(v) { this.#set("hostname", v); }
  get port() { return this.#f[PORT]; }
  set port(v) { this.#set("port", v); }
  get pathname() { return this.#f[PATHNAME]; }
  set pathname(v) { this.#set("pathname", v); }
  get search() { return this.#f[SEARCH]; }
  set search(v) { this.#set("search", v); }
  get hash() { return this.#f[HASH]; }
  set hash(v) { this.#set("hash", v); }
  get searchParams() {
    if (this.#params === undefined) {
      this.#params = new URLSearchParams(this.#f[SEARCH]);
      onChange(this.#params, (text) => { this.#f = strSplit(ask("url_set", this.#f[HREF], "search", text), "\n"); });
    }
    return this.#params;
  }
  toString() { return this.#f[HREF]; }
  toJSON() { return this.#f[HREF]; }
  [inspected](depth, options, inspect) {
    const { href, origin, protocol, username, password, host, hostname, port, pathname, search, searchParams, hash } = this;
    return "URL " + inspect({ href, origin, protocol, username, password, host, hostname, port, pathname, search, searchParams, hash });
  }
}
tag(URL, "URL");

function decodeForm(text) {
  const list = bare(text === "" ? [] : parse(ask("form_decode", text[0] === "?" ? strSlice(text, 1) : text)));
  for (let i = 0; i < list.length; i++) bare(list[i]);
  return list;
}

const pairError = "each pair of URLSearchParams must be a name and a value";

let setList, onChange, formText;


class URLSearchParams {
  #list = bare([]); // of [name, value]
  #changed;
  static {
    setList = (p, list) => { p.#list = list; };
    onChange = (p, f) => { p.#changed = f; };
    formText = (p) => (#list in p ? p.#text() : undefined);
  }
  constructor(init = "") {
    if (init === null || typeof init !== "object" && typeof init !== "function") {
      this.#list = decodeForm(usv(init));
    } else if (typeof init[Symbol.iterator] === "function") {
      const pairs = listOf(init);
      for (let i = 0; i < pairs.length; i++) {
        const two = listOf(pairs[i], pairError);
        if (two.length !== 2) throw new TypeError(pairError);
        push(this.#list, pairOf(usv(two[0]), usv(two[1])));
      }
    } else {
      const names = ownKeys(init);
      for (let i = 0; i < names.length; i++) {
        const key = names[i];
        if (typeof key === "symbol" || !getOwnPropertyDescriptor(init, key)?.enumerable) continue;
        push(this.#list, pairOf(usv(key), usv(init[key])));
      }
    }
  }
  #change() { this.#changed?.(this.#text()); }
  #text() { return this.#list.length === 0 ? "" : ask("form_encode", stringify(this.#list)); }
  get size() { return this.#list.length; }
  append(name, value) {
    need(arguments, 2);
    push(this.#list, pairOf(usv(name), usv(value)));
    this.#change();
  }
  delete(name, value) {
    need(arguments, 1);
    name = usv(name);
    if (value !== undefined) value = usv(value);
    const kept = bare([]);
    for (let i = 0; i < this.#list.length; i++) {
      const pair = this.#list[i];
      if (!(pair[0] === name && (value === undefined || pair[1] === value))) push(kept, pair);
    }
    this.#list = kept;
    this.#change();
  }
  get(name) {
    need(arguments, 1);
    name = usv(name);
    for (let i = 0; i < this.#list.length; i++) if (this.#list[i][0] === name) return this.#list[i][1];
    return null;
  }
  getAll(name) {
    need(arguments, 1);
    name = usv(name);
    const found = [];
    for (let i = 0; i < this.#list.length; i++) if (this.#list[i][0] === name) push(found, this.#list[i][1]);
    return found;
  }
  has(name, value) {
    need(arguments, 1);
    name = usv(name);
    if (value !== undefined) value = usv(value);
    for (let i = 0; i < this.#list.length; i++) if (this.#list[i][0] === name && (value === undefined || this.#list[i][1] === value)) return true;
    return false;
  }
  set(name, value) {
    need(arguments, 2);
    name = usv(name);
    value = usv(value);
    const kept = bare([]);
    let done = false;
    for (let i = 0; i < this.#list.length; i++) {
      const pair = this.#list[i];
      if (pair[0] !== name) push(kept, pair);
      else if (!done) {
        done = true;
        push(kept, pairOf(name, value));
      }
    }
    if (!done) push(kept, pairOf(name, value));
    this.#list = kept;
    this.#change();
  }
  sort() {
    sort(this.#list, (a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    this.#change();
  }
  forEach(callback, self) {
    if (typeof callback !== "function") throw new TypeError("forEach takes a function");
    for (let i = 0; i < this.#list.length; i++) apply(callback, self, [this.#list[i][1], this.#list[i][0], this]);
  }
  *entries() { for (let i = 0; i < this.#list.length; i++) yield [this.#list[i][0], this.#list[i][1]]; }
  *keys() { for (let i = 0; i < this.#list.length; i++) yield this.#list[i][0]; }
  *values() { for (let i = 0; i < this.#list.length; i++) yield this.#list[i][1]; }
  toString() { return this.#text(); }
  [inspected](depth, options, inspect) {
    if (this.#list.length === 0) return "URLSearchParams {}";
    return "URLSearchParams { " + join(map(this.#list, (pair) => `${inspect(pair[0])} => ${inspect(pair[1])}`), ", ") + " }";
  }
}
function need(args, n) {
  if (args.length < n) throw new TypeError(`${n} argument${n > 1 ? "s" : ""} required, but only ${args.length} present`);
}
defineProperty(URLSearchParams.prototype, Symbol.iterator, { __proto__: null, value: URLSearchParams.prototype.entries, writable: true, configurable: true });
tag(URLSearchParams, "URLSearchParams");

export { URL, URLSearchParams, formText };
