// Headers, Request, Response and fetch. A body is text or bytes as long as nobody
// asks for it as a stream.
import {
  apply, bare, bytesOf, captureStack, charCodeAt, defineProperty, DOMException, fromBase64, hasOwn, includes, isArray, keys, listOf, map, own, ownKeys, getOwnPropertyDescriptor, parse, Promise, push, rejected, resolved,
  setPrototypeOf, sort, str, stringify, strIncludes, strIndexOf, strSlice, strSplit, strStartsWith, tag, test, then, toBase64, toLowerCase, toUpperCase, toWellFormed, trim, typedBuffer, typedLength, typedSlice, Uint8Array,
} from "../core/primordials.js";
import { ask, host } from "../core/host.js";
import { use } from "../core/parts.js";
import { rawBody } from "../core/dispatch.js";

const decode = (bytes) => use("encoding").decode(bytes);
const encode = (text) => use("encoding").encode(text);
const stripBOM = (text) => (charCodeAt(text, 0) === 0xfeff ? strSlice(text, 1) : text);

// ---- Headers

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const badValue = /[\0\r\n]|[^\0-\xff]/;
const blank = (c) => c === 32 || c === 9 || c === 10 || c === 13;
const inspected = Symbol.for("nodejs.util.inspect.custom");
const pairOf = (name, value) => bare([name, value]);

function headerName(name) {
  name = str(name);
  if (test(token, name) === null) throw new TypeError(`"${strSlice(name, 0, 40)}" is not a valid header name`);
  return toLowerCase(name);
}
function headerValue(value) {
  value = str(value);
  let start = 0, end = value.length;
  while (start < end && blank(charCodeAt(value, start))) start++;
  while (end > start && blank(charCodeAt(value, end - 1))) end--;
  value = strSlice(value, start, end);
  if (test(badValue, value) !== null) throw new TypeError("a header value must not hold line breaks, NUL, or characters above U+00FF");
  return value;
}

let listOfHeaders, lock;

// The values of a name, joined, as get has them.
function valueOf(list, name) {
  let value = null;
  for (let i = 0; i < list.length; i++) if (list[i][0] === name) value = value === null ? list[i][1] : value + ", " + list[i][1];
  return value;
}

function append(list, name, value) {
  name = headerName(name);
  push(list, pairOf(name, headerValue(value)));
}

function cookiesOf(list) {
  const found = [];
  for (let i = 0; i < list.length; i++) if (list[i][0] === "set-cookie") push(found, list[i][1]);
  return found;
}

// sorted joins the values of a name, all but those of set-cookie.
function sorted(list) {
  const out = [], names = [];
  for (let i = 0; i < list.length; i++) if (!includes(names, list[i][0])) push(names, list[i][0]);
  sort(names);
  for (let i = 0; i < names.length; i++) {
    if (names[i] !== "set-cookie") push(out, [names[i], valueOf(list, names[i])]);
    else {
      const all = cookiesOf(list);
      for (let j = 0; j < all.length; j++) push(out, [names[i], all[j]]);
    }
  }
  return out;
}

const pairError = "each pair of Headers must be a name and a value";

class Headers {
  #list = []; // of [lower-case name, value]
  #immutable = false;
  static {
    listOfHeaders = (h) => h.#list;
    lock = (h) => {
      h.#immutable = true;
      return h;
    };
  }
  constructor(init) {
    if (init === undefined) return;
    if (init === null || typeof init !== "object" && typeof init !== "function") throw new TypeError("Headers takes an object, an array of pairs or Headers");
    if (#list in init) {
      for (let i = 0; i < init.#list.length; i++) push(this.#list, pairOf(init.#list[i][0], init.#list[i][1]));
    } else if (typeof init[Symbol.iterator] === "function") {
      const pairs = listOf(init);
      for (let i = 0; i < pairs.length; i++) {
        const two = listOf(pairs[i], pairError);
        if (two.length !== 2) throw new TypeError(pairError);
        append(this.#list, two[0], two[1]);
      }
    } else {
      const names = ownKeys(init);
      for (let i = 0; i < names.length; i++) {
        if (getOwnPropertyDescriptor(init, names[i])?.enumerable) append(this.#list, names[i], init[names[i]]);
      }
    }
  }
  #write() {
    if (this.#immutable) throw new TypeError("these headers cannot be changed: make a new Response or Request with new Headers(old)");
  }
  append(name, value) {
    name = headerName(name);
    value = headerValue(value);
    this.#write();
    push(this.#list, pairOf(name, value));
  }
  set(name, value) {
    name = headerName(name);
    value = headerValue(value);
    this.#write();
    const kept = [];
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
  }
  delete(name) {
    name = headerName(name);
    this.#write();
    const kept = [];
    for (let i = 0; i < this.#list.length; i++) if (this.#list[i][0] !== name) push(kept, this.#list[i]);
    this.#list = kept;
  }
  get(name) { return valueOf(this.#list, headerName(name)); }
  has(name) {
    name = headerName(name);
    for (let i = 0; i < this.#list.length; i++) if (this.#list[i][0] === name) return true;
    return false;
  }
  getSetCookie() { return cookiesOf(this.#list); }
  forEach(callback, self) {
    const list = sorted(this.#list);
    for (let i = 0; i < list.length; i++) apply(callback, self, [list[i][1], list[i][0], this]);
  }
  *entries() { for (let i = 0, l; (l = sorted(this.#list)), i < l.length; i++) yield l[i]; }
  *keys() { for (let i = 0, l; (l = sorted(this.#list)), i < l.length; i++) yield l[i][0]; }
  *values() { for (let i = 0, l; (l = sorted(this.#list)), i < l.length; i++) yield l[i][1]; }
  [inspected](depth, options, inspect) {
    const o = {};
    const list = sorted(this.#list);
    for (let i = 0; i < list.length; i++) {
      const name = list[i][0];
      defineProperty(o, name, { __proto__: null, value: name === "set-cookie" ? cookiesOf(this.#list) : list[i][1], enumerable: true, configurable: true, writable: true });
    }
    return "Headers " + inspect(o);
  }
}
defineProperty(Headers.prototype, Symbol.iterator, { __proto__: null, value: Headers.prototype.entries, writable: true, configurable: true });
tag(Headers, "Headers");

// ---- bodies

// extract returns a body and the content type that goes with it. Its fields: text,
// bytes or stream, whichever it is; lazy makes the text when it is needed.
function extract(value) {
  if (value === null || value === undefined) return [null, null];
  if (typeof value === "object") {
    const bytes = bytesOf(value);
    if (bytes !== undefined) return [body({ bytes: typedSlice(bytes) }), null];
    const blobs = use("blob");
    const data = blobs.blobBytes(value);
    if (data !== undefined) return [body({ bytes: data }), blobs.blobType(value) === "" ? null : blobs.blobType(value)];
    if (blobs.formEntries(value) !== undefined) {
      const form = blobs.encodeForm(value);
      return [body({ bytes: form[0] }), form[1]];
    }
    const params = use("url").formText(value);
    if (params !== undefined) return [body({ text: params }), "application/x-www-form-urlencoded;charset=UTF-8"];
    const streams = use("streams");
    if (streams.isStream(value)) {
      if (streams.isLocked(value) || streams.isDisturbed(value)) throw new TypeError("the stream of the body was read already");
      return [body({ stream: value }), null];
    }
    if (typeof value[Symbol.asyncIterator] === "function") return [body({ stream: streams.ReadableStream.from(value) }), null];
  }
  return [body({ text: toWellFormed(`${value}`) }), "text/plain;charset=UTF-8"];
}

const body = (source) => ({ __proto__: null, text: undefined, bytes: undefined, stream: undefined, lazy: undefined, ...source, used: false });

function textOf(b) {
  if (b.lazy !== undefined) {
    b.text = b.lazy();
    b.lazy = undefined;
  }
  return b.text;
}

// take marks a body as used.
function take(b) {
  if (b.used || b.stream !== undefined && (use("streams").isLocked(b.stream) || use("streams").isDisturbed(b.stream))) throw new TypeError("the body was read already: read a clone() of it, or keep what was read");
  b.used = true;
}

// mostSent bounds what a stream may make of a body that goes to the host.
const mostSent = 6 << 20;

async function bytesOfBody(b, most = Infinity) {
  if (b === null) return new Uint8Array(0);
  take(b);
  const text = textOf(b);
  if (text !== undefined) return encode(text);
  if (b.stream !== undefined) {
    const { chunks, total } = await own(use("streams").collect(b.stream, most));
    return use("blob").concat(chunks, total);
  }
  return typedSlice(b.bytes);
}

async function textOfBody(b) {
  if (b === null) return "";
  const text = textOf(b);
  if (text !== undefined) {
    take(b);
    return stripBOM(text);
  }
  return stripBOM(decode(await own(bytesOfBody(b))));
}

let bodyOf, headersOf;
const typeOf = (headers) => valueOf(listOfHeaders(headers), "content-type") ?? "";

class Body {
  #body; #headers;
  constructor(b, headers) {
    this.#body = b;
    this.#headers = headers;
  }
  static { bodyOf = (o) => o.#body; headersOf = (o) => o.#headers; }
  get headers() { return this.#headers; }
  get body() {
    const b = this.#body;
    if (b === null) return null;
    if (b.stream === undefined) {
      const { streamOf } = use("streams");
      const { used, bytes } = b;
      const text = textOf(b);
      b.text = b.bytes = undefined; // from here on the stream is the body
      b.stream = streamOf(() => (used ? new Uint8Array(0) : text !== undefined ? encode(text) : bytes));
    }
    return b.stream;
  }
  get bodyUsed() {
    const b = this.#body;
    return b !== null && (b.used || b.stream !== undefined && use("streams").isDisturbed(b.stream));
  }
  text() { return textOfBody(this.#body); }
  async json() { return parse(await own(textOfBody(this.#body))); }
  bytes() { return bytesOfBody(this.#body); }
  async arrayBuffer() { return typedBuffer(await own(bytesOfBody(this.#body))); }
  async blob() { return new (use("blob").Blob)([await own(bytesOfBody(this.#body))], { __proto__: null, type: typeOf(this.#headers) }); }
  async formData() {
    const type = typeOf(this.#headers);
    return use("blob").decodeForm(await own(bytesOfBody(this.#body)), type);
  }
}
tag(Body, "Body");

function cloneBody(b) {
  if (b === null) return null;
  if (b.used || b.stream !== undefined && (use("streams").isLocked(b.stream) || use("streams").isDisturbed(b.stream))) throw new TypeError("the body was read already: clone before reading");
  if (b.stream !== undefined) {
    const two = use("streams").tee(b.stream);
    b.stream = two[0];
    return body({ stream: two[1] });
  }
  return body({ text: textOf(b), bytes: b.bytes });
}

// ---- Request

const normalized = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];
const forbidden = ["CONNECT", "TRACE", "TRACK"];
const fromEvent = Symbol();

class Request extends Body {
  #method; #url; #signal; #redirect;
  constructor(input, init) {
    if (init?.[fromEvent] === true) {
      super(input.body, input.headers);
      this.#method = input.method;
      this.#url = input.url; // a function, until somebody asks
      this.#redirect = "follow";
      return;
    }
    if (arguments.length === 0) throw new TypeError("Request takes a URL or a Request");
    init ??= {};
    const from = typeof input === "object" && input !== null && #method in input ? input : undefined;
    let url;
    if (from === undefined) {
      const u = use("url").parseURL(input); // href, protocol, username, password, ...
      if (u[2] !== "" || u[3] !== "") throw new TypeError("a Request takes no user name and password in its URL: use an authorization header");
      url = u[0];
    } else url = from.url;
    let method = init.method === undefined ? from?.method ?? "GET" : `${init.method}`;
    if (test(token, method) === null) throw new TypeError(`"${strSlice(method, 0, 40)}" is not a valid method`);
    if (includes(normalized, toUpperCase(method))) method = toUpperCase(method);
    if (includes(forbidden, toUpperCase(method))) throw new TypeError(`the method ${method} is not allowed`);
    const redirect = init.redirect === undefined ? from?.redirect ?? "follow" : `${init.redirect}`;
    if (redirect !== "follow" && redirect !== "manual" && redirect !== "error") throw new TypeError(`redirect is ${redirect}: use follow, manual or error`);
    const signal = init.signal === undefined ? from?.signal : init.signal === null ? undefined : init.signal;
    if (signal !== undefined && !use("events").isSignal(signal)) throw new TypeError("signal must be an AbortSignal");
    const headers = new Headers(init.headers ?? from?.headers);
    let b = null;
    if (init.body !== undefined && init.body !== null) {
      if (method === "GET" || method === "HEAD") throw new TypeError(`a ${method} request has no body`);
      const extracted = extract(init.body), type = extracted[1];
      b = extracted[0];
      if (type !== null && typeOf(headers) === "") push(listOfHeaders(headers), pairOf("content-type", type));
    } else if (from !== undefined && init.body === undefined && bodyOf(from) !== null) {
      const old = bodyOf(from);
      take(old);
      b = { __proto__: null, ...old, used: false };
    }
    super(b, headers);
    this.#method = method;
    this.#url = url;
    this.#redirect = redirect;
    this.#signal = signal;
  }
  get method() { return this.#method; }
  get url() {
    if (typeof this.#url === "function") this.#url = this.#url();
    return this.#url;
  }
  get signal() { return (this.#signal ??= new (use("events").AbortController)().signal); }
  get redirect() { return this.#redirect; }
  get credentials() { return "same-origin"; }
  get mode() { return "cors"; }
  get cache() { return "default"; }
  get referrer() { return "about:client"; }
  get referrerPolicy() { return ""; }
  get integrity() { return ""; }
  get keepalive() { return false; }
  get duplex() { return "half"; }
  clone() {
    const r = new Request({ method: this.#method, url: this.#url, headers: new Headers(this.headers), body: cloneBody(bodyOf(this)) }, { [fromEvent]: true });
    r.#redirect = this.#redirect;
    r.#signal = this.#signal;
    return r;
  }
  static internals = (r) => ({ __proto__: null, url: typeof r.#url === "function" ? (r.#url = r.#url()) : r.#url, method: r.#method, redirect: r.#redirect, signal: r.#signal });
  [inspected](depth, options, inspect) {
    const { method, url, headers } = this;
    return "Request " + inspect({ method, url, headers });
  }
}
const partsOf = Request.internals;
delete Request.internals;
tag(Request, "Request");

// requestOf makes the Request of an event. One of a call by HTTP is the call as it
// came; any other trigger is a POST with the event as its JSON.
export function requestOf(event, text) {
  const headers = new Headers();
  if (event.trigger !== "http") {
    push(listOfHeaders(headers), pairOf("content-type", "application/json"));
    return new Request({ method: "POST", url: `http://localhost/${host.call.function}`, headers, body: body({ text }) }, { [fromEvent]: true });
  }
  const names = keys(event.headers);
  for (let i = 0; i < names.length; i++) push(listOfHeaders(headers), pairOf(toLowerCase(names[i]), `${event.headers[names[i]]}`));
  let b = null;
  if (event.body !== null) {
    if (event.is_base64 === true && hasOwn(event, "is_base64")) b = body({ bytes: fromBase64(event.body) });
    else b = body({ lazy: () => rawBody(text) });
  }
  const url = () => {
    const scheme = valueOf(listOfHeaders(headers), "x-forwarded-proto") === "https" ? "https" : "http";
    let query = "";
    const params = bare([]), queries = keys(event.query);
    for (let j = 0; j < queries.length; j++) {
      const name = queries[j], value = event.query[name];
      if (isArray(value)) for (let i = 0; i < value.length; i++) push(params, pairOf(name, value[i]));
      else push(params, pairOf(name, value));
    }
    if (params.length > 0) query = "?" + ask("form_encode", stringify(params));
    const { parseURL } = use("url");
    const host = valueOf(listOfHeaders(headers), "host") ?? "localhost";
    try {
      return parseURL(`${scheme}://${host}${event.path}${query}`)[0];
    } catch {
      return parseURL(`http://localhost${event.path}${query}`)[0];
    }
  };
  return new Request({ method: event.method, url, headers, body: b }, { [fromEvent]: true });
}

// ---- Response

const empty = (status) => status === 101 || status === 103 || status === 204 || status === 205 || status === 304;
const made = Symbol();

class Response extends Body {
  #status; #statusText; #type = "default"; #url = ""; #redirected = false;
  constructor(value = null, init) {
    if (init?.[made] !== undefined) {
      const m = init[made];
      super(value, m.headers);
      this.#status = m.status;
      this.#statusText = m.statusText ?? "";
      this.#type = m.type ?? "default";
      this.#url = m.url ?? "";
      this.#redirected = m.redirected ?? false;
      return;
    }
    init ??= {};
    const status = init.status === undefined ? 200 : +init.status & 0xffff;
    if (!(status >= 200 && status <= 599)) throw new RangeError(`the status of a Response must be from 200 to 599, not ${init.status}`);
    const statusText = init.statusText === undefined ? "" : `${init.statusText}`;
    if (test(/[^\t\x20-\x7e\x80-\xff]/, statusText) !== null) throw new TypeError("statusText is not valid");
    const headers = new Headers(init.headers);
    const extracted = extract(value), b = extracted[0], type = extracted[1];
    if (b !== null) {
      if (empty(status)) throw new TypeError(`a Response with status ${status} has no body`);
      if (type !== null && typeOf(headers) === "") push(listOfHeaders(headers), pairOf("content-type", type));
    }
    super(b, headers);
    this.#status = status;
    this.#statusText = statusText;
  }
  static error() { return new Response(null, { [made]: { status: 0, type: "error", headers: lock(new Headers()) } }); }
  static json(data, init) {
    const text = stringify(data);
    if (text === undefined) throw new TypeError("this value cannot be written as JSON");
    const r = new Response(text, init), list = listOfHeaders(headersOf(r));
    if (typeOf(new Headers(init?.headers)) === "") for (let i = 0; i < list.length; i++) if (list[i][0] === "content-type") list[i][1] = "application/json";
    return r;
  }
  static redirect(url, status = 302) {
    const href = use("url").parseURL(url)[0];
    if (!includes([301, 302, 303, 307, 308], status)) throw new RangeError(`${status} is no status of a redirect`);
    return new Response(null, { [made]: { status, headers: lock(new Headers([["location", href]])) } });
  }
  get status() { return this.#status; }
  get statusText() { return this.#statusText; }
  get ok() { return this.#status >= 200 && this.#status <= 299; }
  get type() { return this.#type; }
  get url() { return this.#url; }
  get redirected() { return this.#redirected; }
  clone() {
    return new Response(cloneBody(bodyOf(this)), { [made]: { status: this.#status, statusText: this.#statusText, type: this.#type, url: this.#url, redirected: this.#redirected, headers: new Headers(this.headers) } });
  }
  static internals = (v) => (#status in v ? v.#status : undefined);
  [inspected](depth, options, inspect) {
    const { status, statusText, headers, bodyUsed, ok, url } = this;
    return "Response " + inspect({ status, statusText, headers, bodyUsed, ok, url });
  }
}
const statusOf = Response.internals;
export const isResponse = (v) => statusOf(v) !== undefined;
delete Response.internals;
tag(Response, "Response");

const textual = /^(text\/|application\/([\w.+-]*[+])?(json|xml|javascript|x-www-form-urlencoded|graphql|yaml|x-ndjson)\b|image\/svg)/i;

// resultOf writes a Response as the result of the function.
export function resultOf(response) {
  const b = bodyOf(response);
  const status = statusOf(response), headers = listOfHeaders(headersOf(response));
  if (status === 0) throw new TypeError("the function returned Response.error(): return a Response with a status from 200 to 599");
  const out = { __proto__: null, statusCode: status, headers: { __proto__: null } };
  for (let i = 0; i < headers.length; i++) {
    const name = headers[i][0], value = headers[i][1], old = out.headers[name];
    if (old === undefined) out.headers[name] = value;
    else if (name !== "set-cookie") out.headers[name] = `${old}, ${value}`;
    else if (isArray(old)) push(old, value);
    else out.headers[name] = bare([old, value]);
  }
  if (b === null) return stringify(out);
  const text = b.used ? undefined : textOf(b);
  if (text !== undefined) {
    take(b);
    out.body = text;
    return stringify(out);
  }
  return then(own(bytesOfBody(b, mostSent)), (bytes) => {
    const type = typeOf(headersOf(response));
    if (test(textual, type) !== null) {
      try {
        out.body = ask("utf8_decode", bytes, "fatal");
        return stringify(out);
      } catch { /* it is not what it says */ }
    }
    out.body = toBase64(bytes);
    out.is_base64 = true;
    // Without a type the host would take it for a download; so do browsers.
    return stringify(out);
  });
}

// ---- fetch

async function send(request, stack) {
  const { url, method, redirect, signal } = partsOf(request);
  const events = use("events");
  if (signal !== undefined && events.isAborted(signal)) throw events.reasonOf(signal);
  if (!strStartsWith(url, "http://") && !strStartsWith(url, "https://")) throw new TypeError(`fetch of ${strSlice(url, 0, 40)} is not possible: use http or https`);
  const headers = { __proto__: null };
  const given = listOfHeaders(headersOf(request));
  for (let i = 0; i < given.length; i++) {
    const name = given[i][0], value = given[i][1];
    headers[name] = headers[name] === undefined ? value : `${headers[name]}${name === "cookie" ? "; " : ", "}${value}`;
  }
  const message = { __proto__: null, method, url, headers, redirect };
  const b = bodyOf(request);
  if (b !== null) {
    const text = textOf(b);
    if (text !== undefined) {
      take(b);
      message.body = text;
    } else {
      message.body = toBase64(await own(bytesOfBody(b, mostSent)));
      message.is_base64 = true;
    }
  }
  const answer = await own(withSignal(host.send("http_fetch", message, stack), signal, stack));
  const head = new Headers();
  const list = listOfHeaders(head);
  const names = keys(answer.headers);
  const cookies = hasOwn(answer, "cookies") ? answer.cookies : undefined;
  for (let i = 0; i < names.length; i++) {
    if (names[i] === "set-cookie" && cookies !== undefined) continue;
    push(list, pairOf(names[i], answer.headers[names[i]]));
  }
  if (cookies !== undefined) for (let i = 0; i < cookies.length; i++) push(list, pairOf("set-cookie", cookies[i]));
  const { status } = answer;
  const none = empty(status) || method === "HEAD";
  const source = none ? null : answer.is_base64 === true ? body({ bytes: fromBase64(answer.body) }) : body({ text: answer.body });
  return new Response(source, { [made]: { status, statusText: reasons[status] ?? "", type: "basic", url: answer.url, redirected: answer.url !== url, headers: lock(head) } });
}

const reasons = { __proto__: null };
const lines = strSplit("200 OK,201 Created,202 Accepted,204 No Content,206 Partial Content,301 Moved Permanently,302 Found,303 See Other,304 Not Modified,307 Temporary Redirect,308 Permanent Redirect,400 Bad Request,401 Unauthorized,403 Forbidden,404 Not Found,405 Method Not Allowed,409 Conflict,410 Gone,413 Payload Too Large,422 Unprocessable Entity,429 Too Many Requests,500 Internal Server Error,502 Bad Gateway,503 Service Unavailable,504 Gateway Timeout", ",");
for (let i = 0; i < lines.length; i++) reasons[strSlice(lines[i], 0, 3)] = strSlice(lines[i], 4);

const FetchError = TypeError.prototype;

// withSignal ends a wait early. The host finishes what it began.
function withSignal(promise, signal, stack) {
  const { onAbort, offAbort, reasonOf } = use("events");
  return new Promise((resolve, reject) => {
    const stop = () => reject(reasonOf(signal));
    if (signal !== undefined) onAbort(signal, stop);
    then(own(promise), (v) => {
      if (signal !== undefined) offAbort(signal, stop);
      resolve(v);
    }, (error) => {
      if (signal !== undefined) offAbort(signal, stop);
      // fetch rejects with a TypeError; code and message stay the host's.
      try {
        setPrototypeOf(error, FetchError);
        defineProperty(error, "stack", { __proto__: null, value: stack, writable: true, configurable: true });
      } catch { /* as it is */ }
      reject(error);
    });
  });
}

export function fetch(input, init) {
  const at = { __proto__: null };
  captureStack(at, fetch);
  try {
    return send(new Request(input, init), at.stack);
  } catch (error) {
    return rejected(error);
  }
}

export { Headers, Request, Response };
