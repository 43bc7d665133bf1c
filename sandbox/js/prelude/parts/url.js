// URL and URLSearchParams. The host parses and serialises; a URL here is what it
// answered.
import { apply, parse, push, sort, strSlice, strSplit, stringify, tag, toWellFormed } from "../core/primordials.js";
import { ask } from "../core/host.js";

const usv = (v) => toWellFormed(`${v}`);

// The fields of the host's answer, a line each.
const HREF = 0, PROTOCOL = 1, USERNAME = 2, PASSWORD = 3, HOST = 4, HOSTNAME = 5, PORT = 6, PATHNAME = 7, SEARCH = 8, HASH = 9, ORIGIN = 10;

const ask_parse = (url, base) => strSplit(ask("url_parse", usv(url), base === undefined ? "" : usv(base), base === undefined ? "" : "base"), "\n");

class URL {
  #f; #params;
  constructor(url, base) {
    if (arguments.length === 0) throw new TypeError("URL takes a URL");
    this.#f = ask_parse(url, base);
  }
  static canParse(url, base) {
    try {
      ask_parse(url, base);
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
    this.#f = ask_parse(v);
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
  [Symbol.for("nodejs.util.inspect.custom")](depth, options, inspect) {
    const { href, origin, protocol, username, password, host, hostname, port, pathname, search, searchParams, hash } = this;
    return "URL " + inspect({ href, origin, protocol, username, password, host, hostname, port, pathname, search, searchParams, hash });
  }
}
tag(URL, "URL");

const decodeForm = (text) => (text === "" ? [] : parse(ask("form_decode", text[0] === "?" ? strSlice(text, 1) : text)));

let setList, onChange;

class URLSearchParams {
  #list = []; // of [name, value]
  #changed;
  static {
    setList = (p, list) => { p.#list = list; };
    onChange = (p, f) => { p.#changed = f; };
  }
  constructor(init = "") {
    if (init === null || typeof init !== "object" && typeof init !== "function") {
      this.#list = decodeForm(usv(init));
    } else if (typeof init[Symbol.iterator] === "function") {
      for (const pair of init) {
        const [...two] = pair;
        if (two.length !== 2) throw new TypeError("each pair of URLSearchParams must be a name and a value");
        push(this.#list, [usv(two[0]), usv(two[1])]);
      }
    } else {
      for (const key of Reflect.ownKeys(init)) {
        if (typeof key === "symbol" || !Object.getOwnPropertyDescriptor(init, key)?.enumerable) continue;
        push(this.#list, [usv(key), usv(init[key])]);
      }
    }
  }
  #change() { this.#changed?.(this.toString()); }
  get size() { return this.#list.length; }
  append(name, value) {
    need(arguments, 2);
    push(this.#list, [usv(name), usv(value)]);
    this.#change();
  }
  delete(name, value) {
    need(arguments, 1);
    name = usv(name);
    if (value !== undefined) value = usv(value);
    const kept = [];
    for (const pair of this.#list) if (!(pair[0] === name && (value === undefined || pair[1] === value))) push(kept, pair);
    this.#list = kept;
    this.#change();
  }
  get(name) {
    need(arguments, 1);
    name = usv(name);
    for (const pair of this.#list) if (pair[0] === name) return pair[1];
    return null;
  }
  getAll(name) {
    need(arguments, 1);
    name = usv(name);
    const found = [];
    for (const pair of this.#list) if (pair[0] === name) push(found, pair[1]);
    return found;
  }
  has(name, value) {
    need(arguments, 1);
    name = usv(name);
    if (value !== undefined) value = usv(value);
    for (const pair of this.#list) if (pair[0] === name && (value === undefined || pair[1] === value)) return true;
    return false;
  }
  set(name, value) {
    need(arguments, 2);
    name = usv(name);
    value = usv(value);
    const kept = [];
    let done = false;
    for (const pair of this.#list) {
      if (pair[0] !== name) push(kept, pair);
      else if (!done) {
        done = true;
        push(kept, [name, value]);
      }
    }
    if (!done) push(kept, [name, value]);
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
  toString() { return this.#list.length === 0 ? "" : ask("form_encode", stringify(this.#list)); }
  [Symbol.for("nodejs.util.inspect.custom")](depth, options, inspect) {
    if (this.#list.length === 0) return "URLSearchParams {}";
    return "URLSearchParams { " + this.#list.map(([k, v]) => `${inspect(k)} => ${inspect(v)}`).join(", ") + " }";
  }
}
function need(args, n) {
  if (args.length < n) throw new TypeError(`${n} argument${n > 1 ? "s" : ""} required, but only ${args.length} present`);
}
Object.defineProperty(URLSearchParams.prototype, Symbol.iterator, { value: URLSearchParams.prototype.entries, writable: true, configurable: true });
tag(URLSearchParams, "URLSearchParams");

export { URL, URLSearchParams };
