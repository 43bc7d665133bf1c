package prelude_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

// everything uses most of what is ours, and nothing of the language's own that
// somebody could have changed: no spread, no iteration, no method of a built-in.
const everything = `
	let out = "", failed = "";
	const add = (v) => { out += v + ";" };
	const step = async (name, f) => { try { await f() } catch (e) { failed += name + ": " + e.message + ";" } };
	await step("url", () => {
		const u = new URL("/b?x=1&y=2#h", "http://user@a:80"); u.searchParams.append("z", "ü"); u.pathname = "/c"; add(u.href + u.searchParams.get("y") + u.searchParams.size + u.searchParams.has("x"));
		const p = new URLSearchParams("b=2&a=1"); p.sort(); p.delete("b"); p.append("c", "3"); p.set("a", "9"); add(p.toString()); p.forEach((v, k) => add(k + v)); add(new URLSearchParams({ q: "r s" }).toString());
		add(URL.canParse("x:") + "" + URL.canParse("nope"));
	});
	await step("headers", () => { const h = new Headers({ A: "1" }); h.append("b", "2"); h.append("a", " 4"); h.append("set-cookie", "x"); add(h.get("a") + h.has("b")); h.delete("b"); h.set("c", "5"); h.forEach((v, k) => add(k + v)) });
	await step("request", async () => { const r = new Request("http://a/x", { method: "post", body: "bödy", headers: { b: "1" } }); add(r.method + r.url + r.headers.get("content-type") + r.headers.get("b")); const c = r.clone(); add(await r.text() + await c.text() + r.bodyUsed) });
	await step("response", async () => { const r = new Response("é", { status: 201, headers: { z: "1" } }); add(r.status + "" + r.ok + r.headers.get("z")); const c = r.clone(); add((await r.arrayBuffer()).byteLength + await c.text()); add(await Response.json("j").json()); add(await new Response(new URLSearchParams("a=b")).text()) });
	await step("fetch", async () => { const f = await fetch("https://a.example/p", { method: "POST", body: new TextEncoder().encode("bytes"), headers: { q: "1" } }); add(f.status + f.statusText + f.headers.get("x-a") + f.url); const j = await f.json(); add(j.k) });
	await step("form", async () => { const d = new FormData(); d.append("k", "v"); d.append("f", new Blob(["x"], { type: "t/x" }), "n"); const g = await new Response(d).formData(); add(g.get("k") + g.get("f").name + g.get("f").type + await g.get("f").text()); g.forEach((v, k) => add(k)) });
	await step("blob", async () => { const b = new Blob(["é", new TextEncoder().encode("A"), new Blob(["z"])]); add(b.size + await b.text() + await b.slice(2, 3).text()); add((await new File(["x"], "n").arrayBuffer()).byteLength) });
	await step("streams", async () => {
		const source = () => new ReadableStream({ start(c) { c.enqueue("a"); c.enqueue("ü"); c.close() } });
		const drain = async (s) => { const r = s.getReader(); for (;;) { const n = await r.read(); if (n.done) break; add(n.value) } };
		await drain(source()); const pair = source().tee(); await drain(pair[0]); await drain(pair[1]);
		await drain(source().pipeThrough(new TextEncoderStream()).pipeThrough(new TextDecoderStream()));
		await drain(source().pipeThrough(new TransformStream({ transform(x, c) { c.enqueue(x + x) }, flush(c) { c.enqueue("!") } })));
		await source().pipeTo(new WritableStream({ write(x) { add("w" + x) }, close() { add("closed") } }));
		add(await new Response(new Blob(["press"]).stream().pipeThrough(new CompressionStream("gzip")).pipeThrough(new DecompressionStream("gzip"))).text());
	});
	await step("clone", () => { const c = structuredClone({ a: [1, { b: "x" }], d: new Date(5), e: new RangeError("m") }); add(c.a[1].b + c.a.length + c.e.message + c.e.name) });
	await step("events", () => { const t = new EventTarget(); t.addEventListener("x", (e) => add(e.type + e.detail), { once: true }); t.dispatchEvent(new CustomEvent("x", { detail: 1 })); t.dispatchEvent(new CustomEvent("x", { detail: 2 })); const c = new AbortController(); c.signal.addEventListener("abort", () => add("aborted")); c.signal.onabort = () => add("on"); c.abort("why"); add(c.signal.reason + AbortSignal.any([c.signal]).aborted) });
	await step("timers", () => new Promise((resolve) => { setTimeout((a, b) => { add(a + b); resolve() }, 1, "t", 1); clearTimeout(setTimeout(() => add("never"), 0)) }));
	await step("crypto", async () => {
		const data = new TextEncoder().encode("data"), k = await crypto.subtle.importKey("raw", data, { name: "HMAC", hash: "SHA-256" }, true, ["sign", "verify"]);
		const s = await crypto.subtle.sign("HMAC", k, data); add(new Uint8Array(s)[0] + "" + await crypto.subtle.verify("HMAC", k, s, data) + new Uint8Array(await crypto.subtle.digest("SHA-1", data))[0] + (await crypto.subtle.exportKey("jwk", k)).k);
		const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]); const e = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, data); add(await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, pair.publicKey, e, data));
	});
	await step("text", () => { add(new TextDecoder("utf-8", { fatal: true }).decode(new TextEncoder().encode("a€😀")) + btoa("x") + atob("eA==")); const d = new TextDecoder(), a = new Uint8Array(1), b = new Uint8Array(2); a[0] = 0xe2; b[0] = 0x82; b[1] = 0xac; add(d.decode(a, { stream: true }) + d.decode(b)) });
	await step("db", async () => { const r = await db.query("select $1, $2", "p", 2n); add(r.rowCount + "" + r[0].id + r.columns[0].name); add((await db.query` + "`select ${1}`" + `)[0].id); add((await db.batch([["select $1", 1], db.sql("x")])).length) });
	await step("console", () => { console.log("%s is %d %o", "a", 1, { b: ["c", 1] }); console.log({ x: { y: [1, "z", null] } }, 1n, "t"); console.table([{ a: 1, b: "x" }]); console.error("shown"); console.count("n") });
	await step("bytes", async () => { const r = new Blob(["bytes"]).stream().getReader({ mode: "byob" }), a = await r.read(new Uint8Array(3)), b = await r.read(new Uint8Array(9)); add(a.value[2] + "" + b.value[1] + b.value[2] + (await r.read(new Uint8Array(1))).done) });
	await step("pattern", () => { const m = new URLPattern({ pathname: "/a/:id{.:ext}?" }).exec("https://x/a/7.js"); add(m.pathname.groups.id + m.pathname.groups.ext + new URLPattern("/b/*", "https://x").test("https://x/b/c")) });
	await step("messages", () => new Promise((resolve) => { const c = new MessageChannel(); c.port2.onmessage = (e) => { add(e.data.m + e.type); resolve() }; c.port1.postMessage({ m: "sent" }) }));
	await step("intl", () => { add(new Intl.DateTimeFormat("en-US", { timeZone: "Asia/Tokyo", dateStyle: "full", timeStyle: "long" }).format(0) + new Intl.NumberFormat("en-US", { style: "currency", currency: "EUR" }).format(-1234.5) + new Intl.PluralRules().select(2) + new Intl.Collator().compare("a", "B") + new Intl.ListFormat().format(["a", "b"])) });
	await step("environment", () => { add(env.MODE + process.env.MODE + Deno.env.get("MODE") + context.attempt + navigator.userAgent) });
	return out + failed;`

// What a script may do to the language.
var hostile = map[string]string{
	"nothing": ``,
	// The stack of QuickJS's JSON.stringify is an array of the script's: a setter that
	// throws shows there, and fails the call that the script makes.
	"indexes of Array":   `for (let i = 0; i < 20; i++) Object.defineProperty(Array.prototype, i, { get() { return "polluted" }, set(value) { Object.defineProperty(this, i, { value, configurable: true, writable: true }) }, configurable: true })`,
	"silent indexes":     `for (let i = 0; i < 20; i++) Object.defineProperty(Array.prototype, i, { set() {}, configurable: true })`,
	"indexes of Object":  `for (let i = 0; i < 20; i++) Object.defineProperty(Object.prototype, i, { get() { return "polluted" }, set() { throw new Error("setter " + i) }, configurable: true })`,
	"iterator of Array":  `Array.prototype[Symbol.iterator] = function* () { yield "forged" }`,
	"no iterators":       `delete Array.prototype[Symbol.iterator]; delete String.prototype[Symbol.iterator]; delete Map.prototype[Symbol.iterator]; delete Set.prototype[Symbol.iterator]; delete Object.getPrototypeOf(Uint8Array.prototype)[Symbol.iterator]`,
	"next":               `Object.getPrototypeOf([][Symbol.iterator]()).next = () => ({ done: true })`,
	"next of generators": `Object.getPrototypeOf(function* () {}).prototype.next = () => ({ done: true }); Object.getPrototypeOf(async function* () {}).prototype.next = () => { throw new Error("next") }`,
	"then":               `Promise.prototype.then = function () { throw new Error("then") }; Promise.prototype.catch = Promise.prototype.finally = Promise.prototype.then`,
	"constructor":        `Promise.prototype.constructor = class { constructor() { throw new Error("constructor") } }; Uint8Array.prototype.constructor = ArrayBuffer.prototype.constructor = RegExp.prototype.constructor = Promise.prototype.constructor`,
	"species":            `for (const C of [Array, ArrayBuffer, RegExp, Object.getPrototypeOf(Uint8Array)]) Object.defineProperty(C, Symbol.species, { get() { throw new Error("species") } })`,
	"promise statics":    `Promise.resolve = Promise.reject = Promise.all = Promise.race = Promise.withResolvers = () => { throw new Error("static") }`,
	"array methods":      `for (const k of Object.getOwnPropertyNames(Array.prototype)) if (typeof Array.prototype[k] === "function" && k !== "constructor") Array.prototype[k] = () => { throw new Error("array " + k) }; Array.from = Array.of = Array.isArray = () => { throw new Error("static") }`,
	"string methods":     `for (const k of Object.getOwnPropertyNames(String.prototype)) if (typeof String.prototype[k] === "function") try { String.prototype[k] = () => { throw new Error("string " + k) } } catch {}; String.raw = String.fromCharCode = String.fromCodePoint = null`,
	"function methods":   `Function.prototype.call = Function.prototype.apply = Function.prototype.bind = () => { throw new Error("call") }; Function.prototype[Symbol.hasInstance] || 0`,
	"regexp":             `for (const k of ["exec", "test", "toString", Symbol.replace, Symbol.match, Symbol.split, Symbol.search, Symbol.matchAll]) RegExp.prototype[k] = () => { throw new Error("regexp") }; for (const k of ["flags", "global", "sticky", "unicode", "hasIndices", "lastIndex"]) Object.defineProperty(RegExp.prototype, k, { get() { throw new Error("flags") } })`,
	"symbols of strings": `for (const k of [Symbol.replace, Symbol.split, Symbol.match, Symbol.search]) { String.prototype[k] = () => "forged"; Object.prototype[k] = () => "forged" }`,
	"json":               `JSON.stringify = () => '"forged"'; JSON.parse = () => ({}); for (const C of [Object, Array, String, Number, Boolean, BigInt]) C.prototype.toJSON = () => "forged"`,
	"primitives":         `for (const C of [Number, Boolean, BigInt, Symbol, Date, Object]) { C.prototype.toString = () => "forged"; C.prototype.valueOf = () => "forged" }; Object.prototype[Symbol.toPrimitive] = undefined`,
	"dates":              `for (const k of Object.getOwnPropertyNames(Date.prototype)) if (k !== "constructor") Date.prototype[k] = () => { throw new Error("date") }; Date.now = () => NaN`,
	"collections":        `for (const C of [Map, Set, WeakMap, WeakSet]) for (const k of Object.getOwnPropertyNames(C.prototype)) if (typeof Object.getOwnPropertyDescriptor(C.prototype, k).value === "function") C.prototype[k] = () => { throw new Error("collection " + k) }`,
	"reflection":         `for (const o of [Reflect, Object]) for (const k of Object.getOwnPropertyNames(o)) if (typeof o[k] === "function" && k !== "getOwnPropertyNames") try { o[k] = () => { throw new Error("reflect " + k) } } catch {}`,
	"mathematics":        `for (const o of [Math, Number]) for (const k of Object.getOwnPropertyNames(o)) if (typeof o[k] === "function") try { o[k] = () => NaN } catch {}`,
	"typed arrays":       `const T = Object.getPrototypeOf(Uint8Array); for (const o of [T.prototype, ArrayBuffer.prototype, DataView.prototype, Uint8Array.prototype]) for (const k of Reflect.ownKeys(o)) { const d = Object.getOwnPropertyDescriptor(o, k); if (k !== "constructor" && d.configurable && k !== "subarray") Object.defineProperty(o, k, typeof d.value === "function" ? { value() { throw new Error("typed " + String(k)) } } : d.get && k !== "byteLength" ? { get() { throw new Error("typed " + String(k)) } } : {}) }; for (const k of ["from", "of"]) T[k] = null; Uint8Array.fromBase64 = Uint8Array.fromHex = null`,
	"getters of Object":  `for (const k of ["then", "value", "done", "statusCode", "headers", "status", "body", "method", "signal", "redirect", "is_base64", "cookies", "get", "set", "name", "type", "stream", "fatal", "once", "passive", "capture", "detail", "cause", "error", "sql", "params", "raw", "highWaterMark", "size", "start", "pull", "cancel", "write", "close", "abort", "transform", "flush", "toJSON", "next", "return", "hash", "code", "lastModified", "endings", "ignoreBOM", "transfer", "preventClose", "mode", "handleEvent", "writable", "enumerable", "configurable"]) Object.defineProperty(Object.prototype, k, { __proto__: null, get() { return undefined }, set() { throw new Error("setter of " + k) }, configurable: true })`,
	"values of Object":   `for (const k of ["rows", "columns", "rowCount", "v", "text", "bytes", "resolve", "reject", "at", "callback", "used", "chunk", "promise", "queue", "reader", "state", "list", "lazy", "id", "every", "args", "removed", "exports", "message", "path"]) Object.defineProperty(Object.prototype, k, { __proto__: null, get() { return "polluted" }, set() { throw new Error("setter of " + k) }, configurable: true })`,
	"errors":             `globalThis.Error = globalThis.TypeError = globalThis.SyntaxError = class {}; globalThis.DOMException = undefined`,
	"stacks":             `Error.prepareStackTrace = () => { throw new Error("stack") }; Error.stackTraceLimit = 0`,
	"frozen":             `for (const C of [Object, Array, Function, Promise, String, RegExp, Error, Map, Set]) { Object.freeze(C.prototype); Object.freeze(C) }`,
	"instances":          `for (const C of [Error, Promise, Date, Uint8Array, RegExp, Map, Set, ArrayBuffer]) Object.defineProperty(C, Symbol.hasInstance, { value: () => false })`,
	"globals":            `for (const k of ["Array", "Object", "String", "Number", "Symbol", "Reflect", "JSON", "Math", "Function", "RegExp", "Map", "Set", "WeakMap", "ArrayBuffer", "DataView", "queueMicrotask", "performance", "parseInt", "Proxy", "isNaN", "BigInt"]) globalThis[k] = undefined`,
}

var apis = regexp.MustCompile(`\b(URLPattern|MessageChannel|Intl|URL|URLSearchParams|Headers|Request|Response|fetch|FormData|formData|Blob|File|ReadableStream|WritableStream|TransformStream|\w+Stream|getReader|pipeTo|pipeThrough|structuredClone|EventTarget|CustomEvent|AbortController|AbortSignal|crypto|TextEncoder|TextDecoder|console)\b`)

func hostileCall() sandbox.Call {
	c := call(`null`)
	c.Query = func(_ context.Context, sql string, params []byte) []byte {
		one := `{"columns":[{"name":"id","type":"int4"}],"rows":[[7]],"row_count":1}`
		if sql == "" {
			return []byte(`{"results":[` + one + `,` + one + `]}`)
		}
		return []byte(one)
	}
	c.Fetch = func(context.Context, []byte) []byte {
		return []byte(`{"status":200,"headers":{"x-a":"b","set-cookie":"c=d"},"cookies":["c=d"],"body":"{\"k\":\"v\"}","url":"https://a.example/p"}`)
	}
	return c
}

// Whatever a script did to the language, at deploy or in a call, before our parts were
// loaded or after, what it then asks of the platform gives what it gives otherwise.
func TestHostileScriptsGetRightAnswers(t *testing.T) {
	run := func(t *testing.T, source string) (string, string) {
		out, err := jstest.Run(t, source, hostileCall())
		if err != nil {
			return err.Error(), ""
		}
		var logs strings.Builder
		for _, l := range out.Logs {
			logs.WriteString(l.Message + "\n")
		}
		return string(out.Output), logs.String()
	}
	want, wantLogs := run(t, "export async function handler(event, context) {"+everything+"}")
	if strings.Contains(want, ": ") || !strings.Contains(want, "Runnel/1.0") || !strings.Contains(wantLogs, "a is 1") {
		t.Fatalf("it fails by itself: %s\n%s", want, wantLogs)
	}
	escaped := apis.ReplaceAllStringFunc(everything, func(name string) string {
		return `\u00` + string("0123456789abcdef"[name[0]>>4]) + string("0123456789abcdef"[name[0]&15]) + name[1:]
	})
	for name, tamper := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for when, source := range map[string]string{
				"at deploy":   tamper + "\nexport async function handler(event, context) {" + everything + "}",
				"in a call":   "export async function handler(event, context) {" + tamper + "\n" + everything + "}",
				"before load": tamper + "\nexport async function handler(event, context) {" + escaped + "}",
			} {
				if got, logs := run(t, source); got != want || logs != wantLogs {
					t.Errorf("%s: got %s\n%s\nwant %s\n%s", when, got, logs, want, wantLogs)
				}
			}
		})
	}
}

// What a script does to our own classes reaches its own calls of them and not the way
// that requests and responses take.
func TestHostileScriptsWithOurClasses(t *testing.T) {
	t.Parallel()
	const tamper = `for (const C of [Headers, Request, Response, URL, URLSearchParams, Blob, File, FormData, ReadableStream, ReadableStreamDefaultReader, WritableStream, WritableStreamDefaultWriter, TransformStream, TextEncoder, TextDecoder, AbortSignal, AbortController, EventTarget, Event, Object.getPrototypeOf(Response.prototype)].map((C) => C.prototype ?? C)) for (const k of Reflect.ownKeys(C)) if (Object.getOwnPropertyDescriptor(C, k).configurable && k !== "constructor") Object.defineProperty(C, k, { __proto__: null, configurable: true, get() { throw new Error("tampered with " + String(k)) } });`
	for body, want := range map[string]string{
		`return new Response("é", { status: 201, headers: { a: "b" } })`:     `{"statusCode":201,"headers":{"a":"b","content-type":"text/plain;charset=UTF-8"},"body":"é"}`,
		`return Response.json({ a: 1 })`:                                     `{"statusCode":200,"headers":{"content-type":"application/json"},"body":"{\"a\":1}"}`,
		`return fetch("https://a.example/p?q", { method: "POST", body: f })`: `{"statusCode":200,"headers":{"x-a":"b","set-cookie":"c=d"},"body":"{\"k\":\"v\"}"}`,
		`return new Response(s)`:                                             `{"statusCode":200,"headers":{},"body":"c3RyZWFt","is_base64":true}`,
		`return new Response(p)`:                                             `{"statusCode":200,"headers":{"content-type":"application/x-www-form-urlencoded;charset=UTF-8"},"body":"a=b"}`,
	} {
		out, err := jstest.Run(t, `export async function handler() { const f = new FormData(), p = new URLSearchParams("a=b"), s = new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode("stream")); c.close() } }); f.append("k", new File(["x"], "n")); `+tamper+body+` }`, hostileCall())
		if err != nil || string(out.Output) != want {
			t.Errorf("%s: %s, %v", body, out.Output, err)
		}
	}
}
