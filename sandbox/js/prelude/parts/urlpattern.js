// URLPattern of the WHATWG standard. A pattern of each part of a URL is tokenized,
// parsed into parts of text, groups and wildcards, and compiled to a regular
// expression; the host makes the text of the parts what it would be in a URL.
import { bare, defineProperty, includes, push, str, strIncludes, strLastIndexOf, strSlice, strSplit, strStartsWith, strEndsWith, codePointAt, fromCodePoint, tag, test, toLowerCase } from "../core/primordials.js";
import { ask } from "../core/host.js";
import { isURL } from "./url.js";

const PROTOCOL = 1, USERNAME = 2, PASSWORD = 3, HOSTNAME = 5, PORT = 6, PATHNAME = 7, SEARCH = 8, HASH = 9;
const names = ["protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"];
const special = ["http", "https", "ws", "wss", "ftp", "file"];
const defaultPorts = { __proto__: null, http: "80", https: "443", ws: "80", wss: "443", ftp: "21" };

const parseURL = (url, base) => strSplit(ask("url_parse", url, base ?? "", base === undefined ? "" : "base"), "\n");
const setURL = (url, field, value) => strSplit(ask("url_set", url, field, value), "\n");

// ---- tokens

const nameStart = /^[$_\p{ID_Start}]$/u, namePart = /^[$_\u200c\u200d\p{ID_Continue}]$/u;
const isName = (c, first) => c !== "" && test(first ? nameStart : namePart, c) !== null;
const charAt = (s, i) => (i < s.length ? fromCodePoint(codePointAt(s, i)) : "");

// tokenize returns tokens of a type, the index where they stand and a value. In a
// lenient one, what makes no sense is a token too.
function tokenize(input, lenient) {
  const tokens = bare([]);
  let i = 0;
  const add = (type, next, from = i, to = next) => {
    push(tokens, { __proto__: null, type, index: i, value: strSlice(input, from, to) });
    i = next;
  };
  const wrong = (next, why) => {
    if (!lenient) throw new TypeError(`the pattern ${strSlice(input, 0, 80)} ${why} at ${i}`);
    add("invalid", next);
  };
  while (i < input.length) {
    const c = charAt(input, i);
    if (c === "*") add("asterisk", i + 1);
    else if (c === "+" || c === "?") add("modifier", i + 1);
    else if (c === "\\") {
      if (i === input.length - 1) wrong(i + 1, "ends with an escape");
      else add("escaped", i + 1 + charAt(input, i + 1).length, i + 1);
    } else if (c === "{") add("open", i + 1);
    else if (c === "}") add("close", i + 1);
    else if (c === ":") {
      let at = i + 1;
      for (let n; (n = charAt(input, at)), isName(n, at === i + 1); ) at += n.length;
      if (at === i + 1) wrong(at, "has a group without a name");
      else add("name", at, i + 1);
    } else if (c === "(") {
      let depth = 1, at = i + 1, why;
      while (at < input.length) {
        const n = charAt(input, at);
        if (codePointAt(input, at) > 127 || at === i + 1 && n === "?") {
          why = "has a regular expression that is not allowed";
          break;
        }
        if (n === "\\") {
          if (at === input.length - 1 || codePointAt(input, at + 1) > 127) {
            why = "has a regular expression with a wrong escape";
            break;
          }
          at += 2;
          continue;
        }
        if (n === ")" && --depth === 0) {
          at++;
          break;
        }
        if (n === "(") {
          depth++;
          if (charAt(input, at + 1) !== "?") {
            why = "has a regular expression with a group of its own: write (?:...)";
            break;
          }
        }
        at++;
      }
      if (why !== undefined) wrong(i + 1, why);
      else if (depth > 0) wrong(i + 1, "has a regular expression that does not end");
      else if (at - i === 2) wrong(i + 1, "has an empty regular expression");
      else add("regexp", at, i + 1, at - 1);
    } else add("char", i + c.length);
  }
  add("end", i);
  return tokens;
}

// ---- patterns

const escapeWith = (specials) => (s) => {
  let out = "";
  for (let i = 0; i < s.length; i++) out += strIncludes(specials, s[i]) ? "\\" + s[i] : s[i];
  return out;
};
const escapeRegExp = escapeWith(".+*?^${}()[]|/\\");
const escapePattern = escapeWith("+*?:{}()\\");

const TEXT = 0, REGEXP = 1, SEGMENT = 2, ANY = 3;
const segmentOf = (options) => (options.delimiter === "" ? "[^]+?" : `[^${escapeRegExp(options.delimiter)}]+?`);

function parsePattern(input, options, encode) {
  const tokens = tokenize(input, false), parts = bare([]), used = { __proto__: null };
  let at = 0, text = "", numeric = 0;
  const segment = segmentOf(options);
  const take = (type) => (tokens[at].type === type ? tokens[at++] : undefined);
  const need = (type) => {
    const t = take(type);
    if (t === undefined) throw new TypeError(`the pattern ${strSlice(input, 0, 80)} has ${tokens[at].type === "end" ? "an end" : tokens[at].value} at ${tokens[at].index}, where ${type} is wanted`);
    return t;
  };
  const group = (name) => take("regexp") ?? (name === undefined ? take("asterisk") : undefined);
  const modifier = () => (take("modifier") ?? take("asterisk"))?.value ?? "";
  const words = () => {
    let s = "";
    for (let t; (t = take("char") ?? take("escaped")) !== undefined; ) s += t.value;
    return s;
  };
  const flush = () => {
    if (text !== "") push(parts, { __proto__: null, type: TEXT, value: encode(text), name: "", prefix: "", suffix: "", modifier: "" });
    text = "";
  };
  const add = (prefix, name, match, suffix, modifier) => {
    if (name === undefined && match === undefined && modifier === "") {
      text += prefix;
      return;
    }
    flush();
    if (name === undefined && match === undefined) {
      if (prefix !== "") push(parts, { __proto__: null, type: TEXT, value: encode(prefix), name: "", prefix: "", suffix: "", modifier });
      return;
    }
    let value = match === undefined ? segment : match.type === "asterisk" ? ".*" : match.value, type = REGEXP;
    if (value === segment) (type = SEGMENT), (value = "");
    else if (value === ".*") (type = ANY), (value = "");
    const label = name !== undefined ? name.value : `${numeric++}`;
    if (used[label]) throw new TypeError(`the pattern ${strSlice(input, 0, 80)} has two groups ${label}`);
    used[label] = true;
    push(parts, { __proto__: null, type, value, name: label, prefix: encode(prefix), suffix: encode(suffix), modifier });
  };
  while (at < tokens.length) {
    const char = take("char"), name = take("name"), match = group(name);
    if (name !== undefined || match !== undefined) {
      let prefix = char?.value ?? "";
      if (prefix !== "" && prefix !== options.prefix) {
        text += prefix;
        prefix = "";
      }
      flush();
      add(prefix, name, match, "", modifier());
      continue;
    }
    const fixed = char ?? take("escaped");
    if (fixed !== undefined) {
      text += fixed.value;
      continue;
    }
    if (take("open") !== undefined) {
      const prefix = words(), name = take("name"), match = group(name), suffix = words();
      need("close");
      add(prefix, name, match, suffix, modifier());
      continue;
    }
    flush();
    need("end");
  }
  return parts;
}

function regexpOf(parts, options) {
  let out = "^";
  const segment = segmentOf(options);
  for (let i = 0; i < parts.length; i++) {
    const { type, value, prefix, suffix, modifier } = parts[i];
    if (type === TEXT) {
      out += modifier === "" ? escapeRegExp(value) : `(?:${escapeRegExp(value)})${modifier}`;
      continue;
    }
    const re = type === SEGMENT ? segment : type === ANY ? ".*" : value;
    const before = escapeRegExp(prefix), after = escapeRegExp(suffix), once = modifier === "" || modifier === "?";
    if (prefix === "" && suffix === "") out += once ? `(${re})${modifier}` : `((?:${re})${modifier})`;
    else if (once) out += `(?:${before}(${re})${after})${modifier}`;
    else out += `(?:${before}((?:${re})(?:${after}${before}(?:${re}))*)${after})${modifier === "*" ? "?" : ""}`;
  }
  return out + "$";
}

function patternOf(parts, options) {
  let out = "";
  const digit = (s) => s !== "" && s[0] >= "0" && s[0] <= "9";
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i], { type, value, name, prefix, suffix, modifier } = part;
    if (type === TEXT) {
      out += modifier === "" ? escapePattern(value) : `{${escapePattern(value)}}${modifier}`;
      continue;
    }
    const last = i > 0 ? parts[i - 1] : undefined, next = i + 1 < parts.length ? parts[i + 1] : undefined;
    const named = !digit(name);
    let grouped = suffix !== "" || prefix !== "" && prefix !== options.prefix;
    if (!grouped && named && type === SEGMENT && modifier === "" && next !== undefined && next.prefix === "" && next.suffix === "") {
      grouped = next.type === TEXT ? isName(charAt(next.value, 0), false) : digit(next.name);
    }
    if (!grouped && prefix === "" && last !== undefined && last.type === TEXT && options.prefix !== "" && strEndsWith(last.value, options.prefix)) grouped = true;
    if (grouped) out += "{";
    out += escapePattern(prefix);
    if (named) out += `:${name}`;
    if (type === REGEXP) out += `(${value})`;
    else if (type === SEGMENT && !named) out += `(${segmentOf(options)})`;
    else if (type === ANY) out += !named && (last === undefined || last.type === TEXT || last.modifier !== "" || grouped || prefix !== "") ? "*" : "(.*)";
    if (type === SEGMENT && named && suffix !== "" && isName(charAt(suffix, 0), false)) out += "\\";
    out += escapePattern(suffix);
    if (grouped) out += "}";
    out += modifier;
  }
  return out;
}

function compile(input, options, encode, ignoreCase) {
  const parts = parsePattern(input, options, encode);
  let regexp;
  try {
    regexp = new RegExp(regexpOf(parts, options), ignoreCase ? "ui" : "u");
  } catch {
    throw new TypeError(`the pattern ${strSlice(input, 0, 80)} has a regular expression that is not valid`);
  }
  const groups = bare([]);
  let custom = false;
  for (let i = 0; i < parts.length; i++) {
    if (parts[i].type === TEXT) continue;
    push(groups, parts[i].name);
    custom ||= parts[i].type === REGEXP;
  }
  return { __proto__: null, regexp, groups, custom, pattern: patternOf(parts, options) };
}

// ---- what a part of a URL becomes in it

const wrong = (what, value) => new TypeError(`${strSlice(value, 0, 80)} is no ${what} of a URL`);

function protocol(value) {
  if (value === "") return "";
  if (test(/^[a-z][a-z0-9+.-]*$/i, value) === null) throw wrong("protocol", value);
  return toLowerCase(value);
}
const username = (value) => (value === "" ? "" : setURL("https://dummy.invalid/", "username", value)[USERNAME]);
const password = (value) => (value === "" ? "" : setURL("https://dummy.invalid/", "password", value)[PASSWORD]);
function hostname(value) {
  if (value === "") return "";
  if (test(/[:@]/, value) !== null && value[0] !== "[") throw wrong("host", value);
  const end = test(/[/?#\\]/, value);
  return parseURL(`https://${end === null ? value : strSlice(value, 0, end.index)}/`)[HOSTNAME];
}
function address(value) {
  if (test(/^[0-9a-f:[\].]*$/i, value) === null) throw wrong("host", value);
  return toLowerCase(value);
}
function port(value, scheme) {
  if (value === "") return "";
  const digits = test(/^[0-9]+/, value);
  if (digits === null || +digits[0] > 65535) throw wrong("port", value);
  const number = `${+digits[0]}`;
  return defaultPorts[scheme] === number ? "" : number;
}
function pathname(value) {
  if (value === "") return "";
  const slash = value[0] === "/";
  const path = setURL("https://dummy.invalid/", "pathname", slash ? value : `/-${value}`)[PATHNAME];
  return slash ? path : strSlice(path, 2);
}
const opaque = (value) => (value === "" ? "" : parseURL(`data:${value}`)[PATHNAME]);
const search = (value) => (value === "" ? "" : strSlice(setURL("https://dummy.invalid/", "search", value)[SEARCH], 1));
const hash = (value) => (value === "" ? "" : strSlice(setURL("https://dummy.invalid/", "hash", value)[HASH], 1));

const without = (s, mark) => (strStartsWith(s, mark) ? strSlice(s, mark.length) : s);

// process makes the parts of an init, with those of its baseURL where it has none.
function process(init, isPattern) {
  const out = { __proto__: null }, given = { __proto__: null };
  for (let i = 0; i < names.length; i++) if (init[names[i]] !== undefined) given[names[i]] = str(init[names[i]]);
  const none = (list) => {
    for (let i = 0; i < list.length; i++) if (given[list[i]] !== undefined) return false;
    return true;
  };
  let base;
  if (init.baseURL !== undefined) {
    base = parseURL(str(init.baseURL));
    const from = (value) => (isPattern ? escapePattern(value) : value);
    if (none(["protocol"])) out.protocol = from(strSlice(base[PROTOCOL], 0, -1));
    if (!isPattern && none(["protocol", "hostname", "port", "username"])) out.username = base[USERNAME];
    if (!isPattern && none(["protocol", "hostname", "port", "username", "password"])) out.password = base[PASSWORD];
    if (none(["protocol", "hostname"])) out.hostname = from(base[HOSTNAME]);
    if (none(["protocol", "hostname", "port"])) out.port = from(base[PORT]);
    if (none(["protocol", "hostname", "port", "pathname"])) out.pathname = from(base[PATHNAME]);
    if (none(["protocol", "hostname", "port", "pathname", "search"])) out.search = from(without(base[SEARCH], "?"));
    if (none(["protocol", "hostname", "port", "pathname", "search", "hash"])) out.hash = from(without(base[HASH], "#"));
  }
  if (given.protocol !== undefined) {
    const value = strEndsWith(given.protocol, ":") ? strSlice(given.protocol, 0, -1) : given.protocol;
    out.protocol = isPattern ? value : protocol(value);
  }
  if (given.username !== undefined) out.username = isPattern ? given.username : username(given.username);
  if (given.password !== undefined) out.password = isPattern ? given.password : password(given.password);
  if (given.hostname !== undefined) out.hostname = isPattern ? given.hostname : hostname(given.hostname);
  if (given.port !== undefined) out.port = isPattern ? given.port : port(given.port, out.protocol);
  if (given.pathname !== undefined) {
    let value = given.pathname;
    const absolute = value[0] === "/" || isPattern && (strStartsWith(value, "\\/") || strStartsWith(value, "{/"));
    if (base !== undefined && base[PATHNAME][0] === "/" && !absolute) {
      const folder = strSlice(base[PATHNAME], 0, strLastIndexOf(base[PATHNAME], "/") + 1);
      value = (isPattern ? escapePattern(folder) : folder) + value;
    }
    if (!isPattern) value = out.protocol === undefined || out.protocol === "" || includes(special, out.protocol) ? pathname(value) : opaque(value);
    out.pathname = value;
  }
  if (given.search !== undefined) out.search = isPattern ? without(given.search, "?") : search(without(given.search, "?"));
  if (given.hash !== undefined) out.hash = isPattern ? without(given.hash, "#") : hash(without(given.hash, "#"));
  return out;
}

// ---- a whole URL as one pattern

function parseConstructor(input) {
  const tokens = tokenize(input, true), init = { __proto__: null };
  let start = 0, at = 0, step = 1, braces = 0, brackets = 0, state = "init", isSpecial = false;
  const is = (i, value) => {
    const t = tokens[i];
    return t.value === value && (t.type === "char" || t.type === "escaped" || t.type === "invalid");
  };
  const isProtocolEnd = () => is(at, ":");
  const isAuthority = () => at + 2 < tokens.length && is(at + 1, "/") && is(at + 2, "/");
  const isSearch = () => {
    if (is(at, "?")) return true;
    if (tokens[at].value !== "?" || tokens[at].type !== "modifier") return false;
    if (at === 0) return true;
    const { type } = tokens[at - 1];
    return !(type === "name" || type === "regexp" || type === "close" || type === "asterisk");
  };
  const text = () => strSlice(input, tokens[start].index, tokens[at].index);
  const change = (next, skip) => {
    if (state !== "init" && state !== "authority" && state !== "done") init[state] = text();
    if (state !== "init" && next !== "done") {
      if (includes(["protocol", "authority", "username", "password"], state) && includes(["port", "pathname", "search", "hash"], next)) init.hostname ??= "";
      if (includes(["protocol", "authority", "username", "password", "hostname", "port"], state) && (next === "search" || next === "hash")) init.pathname ??= isSpecial ? "/" : "";
      if (includes(["protocol", "authority", "username", "password", "hostname", "port", "pathname"], state) && next === "hash") init.search ??= "";
    }
    state = next;
    at += skip;
    start = at;
    step = 0;
  };
  const rewind = () => {
    at = start;
    step = 0;
  };
  for (; at < tokens.length; at += step) {
    step = 1;
    const { type } = tokens[at];
    if (type === "end") {
      if (state === "init") {
        rewind();
        if (is(at, "#")) change("hash", 1);
        else if (isSearch()) change("search", 1);
        else change("pathname", 0);
        continue;
      }
      if (state === "authority") {
        rewind();
        state = "hostname";
        continue;
      }
      change("done", 0);
      break;
    }
    if (type === "open") {
      braces++;
      continue;
    }
    if (braces > 0) {
      if (type !== "close") continue;
      braces--;
    }
    switch (state) {
      case "init":
        if (isProtocolEnd()) {
          rewind();
          state = "protocol";
        }
        break;
      case "protocol":
        if (isProtocolEnd()) {
          const { regexp } = compile(text(), plain, protocol, false);
          for (let i = 0; i < special.length; i++) if (test(regexp, special[i]) !== null) isSpecial = true;
          if (isAuthority()) change("authority", 3);
          else change(isSpecial ? "authority" : "pathname", 1);
        }
        break;
      case "authority":
        if (is(at, "@")) {
          rewind();
          state = "username";
        } else if (is(at, "/") || isSearch() || is(at, "#")) {
          rewind();
          state = "hostname";
        }
        break;
      case "username":
        if (is(at, ":")) change("password", 1);
        else if (is(at, "@")) change("hostname", 1);
        break;
      case "password":
        if (is(at, "@")) change("hostname", 1);
        break;
      case "hostname":
        if (is(at, "[")) brackets++;
        else if (is(at, "]")) brackets--;
        else if (is(at, ":") && brackets === 0) change("port", 1);
        else if (is(at, "/")) change("pathname", 0);
        else if (isSearch()) change("search", 1);
        else if (is(at, "#")) change("hash", 1);
        break;
      case "port":
        if (is(at, "/")) change("pathname", 0);
        else if (isSearch()) change("search", 1);
        else if (is(at, "#")) change("hash", 1);
        break;
      case "pathname":
        if (isSearch()) change("search", 1);
        else if (is(at, "#")) change("hash", 1);
        break;
      case "search":
        if (is(at, "#")) change("hash", 1);
    }
  }
  if (init.hostname !== undefined && init.port === undefined) init.port = "";
  return init;
}

const plain = { __proto__: null, delimiter: "", prefix: "" };
const ofHost = { __proto__: null, delimiter: ".", prefix: "" };
const ofPath = { __proto__: null, delimiter: "/", prefix: "/" };

class URLPattern {
  #parts = { __proto__: null };
  constructor(input = {}, base, options) {
    if (typeof base === "object" && base !== null) {
      options = base;
      base = undefined;
    }
    let init;
    if (typeof input === "object" && input !== null) {
      if (base !== undefined) throw new TypeError("a base URL goes with a pattern that is a string: put baseURL into the object");
      init = input;
    } else {
      init = parseConstructor(str(input));
      if (base === undefined && init.protocol === undefined) throw new TypeError(`the pattern ${strSlice(str(input), 0, 80)} is relative: give it a base URL`);
      if (base !== undefined) init.baseURL = str(base);
    }
    const p = process(init, true);
    for (let i = 0; i < names.length; i++) p[names[i]] ??= "*";
    if (defaultPorts[p.protocol] !== undefined && p.port === defaultPorts[p.protocol]) p.port = "";
    const parts = this.#parts, ignoreCase = !!options?.ignoreCase;
    parts.protocol = compile(p.protocol, plain, protocol, false);
    parts.username = compile(p.username, plain, username, false);
    parts.password = compile(p.password, plain, password, false);
    parts.hostname = compile(p.hostname, ofHost, test(/^(\[|\{\[|\\\[)/, p.hostname) !== null ? address : hostname, false);
    parts.port = compile(p.port, plain, port, false);
    let isSpecial = false;
    for (let i = 0; i < special.length; i++) if (test(parts.protocol.regexp, special[i]) !== null) isSpecial = true;
    parts.pathname = isSpecial ? compile(p.pathname, ofPath, pathname, ignoreCase) : compile(p.pathname, plain, opaque, ignoreCase);
    parts.search = compile(p.search, plain, search, ignoreCase);
    parts.hash = compile(p.hash, plain, hash, ignoreCase);
  }
  // #values are the parts of what a pattern is compared with, or nothing.
  #values(input, base) {
    try {
      if (typeof input === "object" && input !== null && !isURL(input)) {
        if (base !== undefined) throw new TypeError("a base URL goes with a string: put baseURL into the object");
        const p = process(input, false);
        for (let i = 0; i < names.length; i++) p[names[i]] ??= "";
        return p;
      }
    } catch (error) {
      if (base !== undefined) throw error;
      return undefined;
    }
    try {
      const u = parseURL(str(input), base === undefined ? undefined : str(base));
      return {
        __proto__: null, protocol: strSlice(u[PROTOCOL], 0, -1), username: u[USERNAME], password: u[PASSWORD], hostname: u[HOSTNAME], port: u[PORT], pathname: u[PATHNAME],
        search: without(u[SEARCH], "?"), hash: without(u[HASH], "#"),
      };
    } catch {
      return undefined;
    }
  }
  test(input = {}, base = undefined) {
    const values = this.#values(input, base);
    if (values === undefined) return false;
    for (let i = 0; i < names.length; i++) if (test(this.#parts[names[i]].regexp, values[names[i]]) === null) return false;
    return true;
  }
  exec(input = {}, base = undefined) {
    const values = this.#values(input, base);
    if (values === undefined) return null;
    const out = { inputs: base === undefined ? [input] : [input, base] };
    for (let i = 0; i < names.length; i++) {
      const name = names[i], { regexp, groups } = this.#parts[name], match = test(regexp, values[name]);
      if (match === null) return null;
      const found = {};
      for (let j = 0; j < groups.length; j++) defineProperty(found, groups[j], { __proto__: null, value: match[j + 1], writable: true, enumerable: true, configurable: true });
      defineProperty(out, name, { __proto__: null, value: { input: values[name], groups: found }, writable: true, enumerable: true, configurable: true });
    }
    return out;
  }
  get protocol() { return this.#parts.protocol.pattern; }
  get username() { return this.#parts.username.pattern; }
  get password() { return this.#parts.password.pattern; }
  get hostname() { return this.#parts.hostname.pattern; }
  get port() { return this.#parts.port.pattern; }
  get pathname() { return this.#parts.pathname.pattern; }
  get search() { return this.#parts.search.pattern; }
  get hash() { return this.#parts.hash.pattern; }
  get hasRegExpGroups() {
    for (let i = 0; i < names.length; i++) if (this.#parts[names[i]].custom) return true;
    return false;
  }
  [Symbol.for("nodejs.util.inspect.custom")](depth, options, inspect) {
    const { protocol, username, password, hostname, port, pathname, search, hash } = this;
    return "URLPattern " + inspect({ protocol, username, password, hostname, port, pathname, search, hash });
  }
}
tag(URLPattern, "URLPattern");

export { URLPattern };
