package prelude_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

// minimum are the names of the WinterTC minimum common web API (ECMA-429, 2025).
const minimum = `AbortController AbortSignal Blob ByteLengthQueuingStrategy CompressionStream CountQueuingStrategy Crypto CryptoKey CustomEvent
	DOMException DecompressionStream ErrorEvent Event EventTarget File FormData Headers MessageChannel MessageEvent MessagePort
	PromiseRejectionEvent ReadableByteStreamController ReadableStream ReadableStreamBYOBReader ReadableStreamBYOBRequest
	ReadableStreamDefaultController ReadableStreamDefaultReader Request Response SubtleCrypto TextDecoder TextDecoderStream TextEncoder
	TextEncoderStream TransformStream TransformStreamDefaultController URL URLPattern URLSearchParams WebAssembly WritableStream
	WritableStreamDefaultController WritableStreamDefaultWriter
	atob btoa clearInterval clearTimeout console crypto fetch globalThis navigator.userAgent onerror onrejectionhandled onunhandledrejection
	performance.now performance.timeOrigin queueMicrotask reportError self setInterval setTimeout structuredClone`

// The table in docs/JAVASCRIPT.md has a row for each name, and says the truth about
// whether it is there.
func TestMinimumCommonAPIIsAsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/JAVASCRIPT.md")
	if err != nil {
		t.Fatal(err)
	}
	states := make(map[string]string)
	for _, row := range regexp.MustCompile(`(?m)^\| (.+?) \| (there|differs|missing) \|`).FindAllStringSubmatch(string(page), -1) {
		for _, name := range regexp.MustCompile("`([A-Za-z.]+)`").FindAllStringSubmatch(row[1], -1) {
			states[name[1]] = row[2]
		}
	}
	list, err := json.Marshal(strings.Fields(minimum))
	if err != nil {
		t.Fatal(err)
	}
	var there map[string]bool
	out := jstest.Eval(t, `const o = {}; for (const name of `+string(list)+`) { let v = globalThis; for (const k of name.split(".")) v = v?.[k]; o[name] = v !== undefined; } return o;`)
	if err := json.Unmarshal([]byte(out), &there); err != nil {
		t.Fatal(err)
	}
	for name, is := range there {
		switch state := states[name]; {
		case state == "":
			t.Errorf("docs/JAVASCRIPT.md says nothing of %s (there: %v)", name, is)
		case (state == "missing") == is:
			t.Errorf("docs/JAVASCRIPT.md says that %s is %s; there: %v", name, state, is)
		}
	}
}

// What the standards say, in small. Each piece is the body of an async function that
// returns true.
func TestWebPlatform(t *testing.T) {
	for name, body := range map[string]string{
		"names": `return Headers.name === "Headers" && Object.prototype.toString.call(new Headers()) === "[object Headers]" && Object.keys(Object.getOwnPropertyDescriptors(Headers.prototype)).includes("append")
			&& !Object.keys(globalThis).includes("fetch") && (URL, Object.getOwnPropertyDescriptor(globalThis, "URL").value === URL)`,
		"globals can be replaced": `globalThis.fetch = () => 7; globalThis.URL = class { x = 1 }; return fetch() === 7 && new URL().x === 1`,
		"headers": `const h = new Headers([["B", "2"], ["a", " 1 "], ["b", "3"]]); h.append("Set-Cookie", "x"); h.append("set-cookie", "y"); h.delete("nothing");
			return JSON.stringify([...h]) === '[["a","1"],["b","2, 3"],["set-cookie","x"],["set-cookie","y"]]' && h.get("nope") === null && h.has("A") && throws(() => h.append("a b", "x")) && throws(() => h.set("a", "b\r\nc: d")) && throws(() => h.set("a", "\u0100")) && throws(() => new Headers([["a"]]))`,
		"request": `const r = new Request("http://a/b?c#d", { method: "post", body: "x", headers: { a: "b" } }), s = new Request(r, { headers: { c: "d" } });
			return r.url === "http://a/b?c#d" && r.method === "POST" && r.bodyUsed && await s.text() === "x" && s.headers.get("a") === null && s.headers.get("c") === "d" && new Request("http://a/", { method: "patch" }).method === "patch" && throws(() => new Request("/relative")) && throws(() => new Request("http://a/", { body: "x" }))`,
		"response": `const r = new Response("é", { status: 201, statusText: "Made" }); const c = r.clone();
			return r.ok && r.headers.get("content-type") === "text/plain;charset=UTF-8" && (await r.bytes()).length === 2 && await c.text() === "é" && r.bodyUsed && await rejects(r.text()) && throws(() => r.clone()) && throws(() => new Response("x", { status: 204 })) && throws(() => new Response("", { status: 99 })) && Response.redirect("http://a/").headers.get("location") === "http://a/" && (await Response.json({ a: 1 }).json()).a === 1 && Response.error().status === 0`,
		"body kinds": `const text = async (b) => { const r = new Response(b); return [await r.text(), r.headers.get("content-type")].join() };
			return await text(new Blob(["a"], { type: "x/y" })) === "a,x/y" && await text(new URLSearchParams("a=b c")) === "a=b+c,application/x-www-form-urlencoded;charset=UTF-8" && await text(new Uint8Array([104, 105]).buffer) === "hi," && await text(new Blob(["s"]).stream()) === "s," && await text(null) === "," && await text({ toString: () => "o" }) === "o,text/plain;charset=UTF-8" && await new Response("\ufeffa").text() === "a"`,
		"body stream": `const r = new Response("abc"); const reader = r.body.getReader(); const { value } = await reader.read(); const end = await reader.read();
			return value instanceof Uint8Array && value.length === 3 && end.done && r.bodyUsed && await rejects(r.text()) && new Response(null).body === null`,
		"form data": `const f = new FormData(); f.append("a", "1"); f.append("a", new Blob(["x"]), "n.txt"); f.set("b", new File(["y"], "f")); f.append("c", "line\nbreak");
			const g = await new Response(f).formData(), h = await new Response("x=1&y=a+b", { headers: { "content-type": "application/x-www-form-urlencoded" } }).formData();
			return JSON.stringify([...g.keys()]) === '["a","a","b","c"]' && g.getAll("a")[1].name === "n.txt" && await g.get("b").text() === "y" && g.get("c") === "line\r\nbreak" && h.get("y") === "a b" && await rejects(new Response("x").formData())`,
		"url": `const u = new URL("//user:p%40ss@EXAMPLE.com:8080/a/../b?x=1#f", "https://base"); u.hash = ""; u.searchParams.set("y", "ü &"); u.port = "443"; u.protocol = "http";
			return u.href === "http://user:p%40ss@example.com/b?x=1&y=%C3%BC+%26" && u.origin === "http://example.com" && String(u) === JSON.parse(JSON.stringify(u)) && URL.canParse("x:") && URL.parse("nope") === null && throws(() => new URL("nope")) && new URL("http://münchen.de").host === "xn--mnchen-3ya.de" && new URL("http://0x7f.1/").hostname === "127.0.0.1"`,
		"url search params": `const p = new URLSearchParams([["b", "1"], ["a", "2"], ["b", "3"]]); p.sort(); const u = new URL("http://a/?q=1"); u.searchParams.delete("q"); const v = u.searchParams; u.search = "?z=9";
			return p.toString() === "a=2&b=1&b=3" && p.size === 3 && p.has("b", "3") && u.href === "http://a/?z=9" && v.get("z") === "9" && new URLSearchParams({ a: "b" }).get("a") === "b" && new URLSearchParams("?a=%zz+").get("a") === "%zz " && [...new URLSearchParams("a=1&a=2").getAll("a")].length === 2`,
		"text": `const e = new TextEncoder(), d = new TextDecoder(); const stream = new TextDecoder(); let s = ""; for (const b of e.encode("a€😀")) s += stream.decode(new Uint8Array([b]), { stream: true }); s += stream.decode();
			const into = e.encodeInto("a€😀", new Uint8Array(5));
			return s === "a€😀" && d.decode(e.encode("\ud800x")) === "\ufffdx" && into.read === 2 && into.written === 4 && d.decode(new Uint8Array([0xef, 0xbb, 0xbf, 65])) === "A" && new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array([0xef, 0xbb, 0xbf, 65])) === "\ufeffA" && throws(() => new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([255]))) && new TextDecoder("utf-16").decode(new Uint8Array([65, 0, 61, 216, 0, 222])) === "A😀" && new TextDecoder("latin1").decode(new Uint8Array([0x80])) === "€" && throws(() => new TextDecoder("nope")) && d.decode(new DataView(new Uint8Array([65, 66, 67]).buffer, 1, 1)) === "B"`,
		"base64": `return atob(btoa("\x00\xff")) === "\x00\xff" && throws(() => btoa("\u0100")) && throws(() => atob("a"))`,
		"abort": `const c = new AbortController(), seen = []; c.signal.addEventListener("abort", (e) => seen.push(e.type, e.target === c.signal)); c.signal.onabort = () => seen.push("on"); c.abort("r"); c.abort("again");
			const any = AbortSignal.any([new AbortController().signal, AbortSignal.timeout(1)]); await new Promise((r) => any.addEventListener("abort", r));
			return seen.join() === "abort,true,on" && c.signal.reason === "r" && throws(() => c.signal.throwIfAborted()) && any.reason.name === "TimeoutError" && AbortSignal.abort().reason.name === "AbortError" && throws(() => new AbortSignal())`,
		"events": `const t = new EventTarget(), seen = []; const f = (e) => seen.push(e.detail); t.addEventListener("x", f); t.addEventListener("x", f); t.addEventListener("x", { handleEvent: () => seen.push("obj") }, { once: true }); t.addEventListener("x", () => { throw new Error("listener") }); t.addEventListener("x", (e) => { e.preventDefault(); e.stopImmediatePropagation() }); t.addEventListener("x", () => seen.push("never"));
			const ok = t.dispatchEvent(new CustomEvent("x", { detail: 1, cancelable: true })); t.dispatchEvent(new CustomEvent("x", { detail: 2 })); t.removeEventListener("x", f); t.dispatchEvent(new CustomEvent("x", { detail: 3 }));
			return !ok && seen.join() === "1,obj,2" && throws(() => t.dispatchEvent({})) && new Event("e").type === "e"`,
		"timers": `const seen = []; let ticks = 0, finish; const finished = new Promise((r) => { finish = r }); const id = setInterval(() => { seen.push("i"); if (++ticks === 3) { clearInterval(id); setTimeout(() => { seen.push("end"); finish() }, 5) } }, 1); setTimeout((a, b) => seen.push(a + b), 0, 1, 2); clearTimeout(setTimeout(() => seen.push("no"), 1)); setTimeout(() => queueMicrotask(() => seen.push("micro")), 0); setTimeout(() => seen.push("after"), 0);
			for (let i = 200; i > 0; i--) setTimeout(() => {}, i / 10); await finished;
			return seen.filter((x) => x !== "i").join() === "3,micro,after,end" && throws(() => setTimeout("code", 1)) && clearTimeout(undefined) === undefined`,
		"clone": `const shared = { s: 1 }, v = { d: new Date(5), r: /x/gi, m: new Map([[shared, new Set([1n])]]), a: [1, , 3], e: new RangeError("m", { cause: shared }), b: new Uint8Array([1, 2]), u: undefined, n: -0, o: Object(1), shared }; v.self = v;
			const c = structuredClone(v), moved = new ArrayBuffer(4), t = structuredClone({ moved }, { transfer: [moved] });
			return c !== v && c.self === c && c.d.getTime() === 5 && c.r.flags === "gi" && [...c.m.keys()][0] === c.shared && !(1 in c.a) && c.a.length === 3 && c.e instanceof RangeError && c.e.cause === c.shared && c.b[1] === 2 && "u" in c && Object.is(c.n, -0) && c.o instanceof Number && t.moved.byteLength === 4 && moved.detached && throws(() => structuredClone(() => 1), "DataCloneError") && throws(() => structuredClone(Symbol()), "DataCloneError") && throws(() => structuredClone(new WeakMap()), "DataCloneError") && structuredClone(JSON.parse('{"__proto__":1}')).__proto__ === 1`,
		"blob": `const b = new Blob(["é", new Uint8Array([65]), new Blob(["z"])], { type: "Text/Plain" });
			return b.size === 4 && b.type === "text/plain" && await b.text() === "éAz" && await b.slice(-2).text() === "Az" && (await b.arrayBuffer()).byteLength === 4 && new File(["x"], "n", { lastModified: 5 }).lastModified === 5 && throws(() => new Blob("x"))`,
		"streams": `const log = []; const r = new ReadableStream({ pull(c) { log.push("pull"); c.enqueue(log.length); if (log.length === 3) c.close() } }, { highWaterMark: 0 });
			const [a, b] = r.tee(); const all = async (s) => { const o = []; for await (const x of s) o.push(x); return o.join() };
			const both = await Promise.all([all(a), all(b)]); const cancelled = []; const s = new ReadableStream({ cancel(x) { cancelled.push(x) } }); await s.cancel("why");
			const chunks = []; await ReadableStream.from(["a", "b"]).pipeThrough(new TransformStream({ transform(x, c) { c.enqueue(x + x) }, flush(c) { c.enqueue("!") } })).pipeTo(new WritableStream({ write(x) { chunks.push(x) }, close() { chunks.push("closed") } }));
			const failing = new ReadableStream({ start(c) { c.error(new Error("bad")) } });
			return both.join("|") === "1,2,3|1,2,3" && cancelled[0] === "why" && chunks.join() === "aa,bb,!,closed" && await rejects(failing.getReader().read()) && throws(() => { const x = new ReadableStream(); x.getReader(); x.getReader() }) && await rejects(ReadableStream.from([1]).pipeTo(new WritableStream({ write() { throw new Error("sink") } })))`,
		"streams of bytes": `const source = (...chunks) => new ReadableStream({ type: "bytes", start(c) { for (const x of chunks) c.enqueue(new Uint8Array(x)); c.close(); c.byobRequest?.respond(0) } });
			const r = source([1, 2, 3], [4, 5]).getReader({ mode: "byob" }), mine = new Uint8Array(4), one = await r.read(mine), two = await r.read(new Uint16Array(1), { min: 1 }).catch((e) => e.name);
			const s = source([1, 2, 3, 4, 5]).getReader({ mode: "byob" }), w = await s.read(new Uint16Array(2)), rest = await s.read(new DataView(new ArrayBuffer(8), 2, 3)), end = await s.read(new Uint8Array(2));
			return mine.length === 0 && one.value.join() === "1,2,3,4" && !one.done && two === "TypeError" && w.value.length === 2 && w.value[1] === 0x403 && rest.value.byteLength === 1 && rest.value.byteOffset === 2 && rest.value.getUint8(0) === 5 && end.done && end.value.length === 0
				&& throws(() => new ReadableStream().getReader({ mode: "byob" })) && await rejects(source([1]).getReader({ mode: "byob" }).read(new Uint8Array(0))) && throws(() => new ReadableStream({ type: "bytes" }, { size: () => 1 }))`,
		"byob requests": `let n = 0; const seen = []; const fill = new ReadableStream({ type: "bytes", pull(c) { const v = c.byobRequest.view; seen.push(v.byteLength); if (++n > 3) { c.close(); c.byobRequest.respond(0); return } v[0] = n; if (n === 2) c.byobRequest.respondWithNewView(new Uint8Array(v.buffer, v.byteOffset, 1)); else c.byobRequest.respond(1); } });
			const r = fill.getReader({ mode: "byob" }); const a = await r.read(new Uint8Array(3), { min: 2 }), b = await r.read(new Uint8Array(5)), c = await r.read(new Uint8Array(1));
			const auto = new ReadableStream({ type: "bytes", autoAllocateChunkSize: 4, pull(c) { c.byobRequest.view[1] = 9; c.byobRequest.respond(2); c.close() } }), d = auto.getReader(), x = await d.read(), y = await d.read();
			const held = new ReadableStream({ type: "bytes" }), first = held.getReader({ mode: "byob" }), open = first.read(new Uint8Array(1)); first.releaseLock(); const gone = await rejects(open); const failing = new ReadableStream({ type: "bytes", pull(c) { c.error(new Error("bad")) } }).getReader({ mode: "byob" });
			return a.value.join() === "1,2" && b.value.join() === "3" && c.done && c.value.length === 0 && seen.join() === "3,2,5,1" && x.value.join() === "0,9" && y.done && gone && !held.locked && await rejects(failing.read(new Uint8Array(1)))`,
		"tee of bytes": `const [a, b] = new Blob(["abc"]).stream().tee(), r = a.getReader({ mode: "byob" }); const { value } = await r.read(new Uint8Array(8)); value[0] = 0; const e = await r.read(new Uint8Array(1)); return value.length === 3 && e.done && await new Response(b).text() === "abc" && (await new Response("xyz").body.getReader({ mode: "byob" }).read(new Uint8Array(2))).value.join() === "120,121"`,
		"endless bodies": `let cancelled; const endless = () => new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1 << 20)) }, cancel(e) { cancelled = e.message } });
			const e = await fetch("http://a/", { method: "POST", body: endless(), duplex: "half" }).catch((e) => e); return e instanceof TypeError && e.message.includes("6 MB") && cancelled === e.message`,
		"message channel": `const { port1, port2 } = new MessageChannel(), seen = []; const sent = { a: [1], d: new Date(5) }, moved = new ArrayBuffer(2);
			port2.onmessage = (e) => { seen.push(e.type, e.data.a?.[0] ?? e.data.byteLength ?? e.data, e instanceof MessageEvent, e.target === port2); if (e.data === "end") port2.postMessage("back") };
			port1.postMessage(sent); sent.a[0] = 2; port1.postMessage(moved, [moved]); port1.postMessage("end"); seen.push("first");
			await new Promise((r) => port1.addEventListener("message", (e) => { seen.push(e.data); r() }) ?? port1.start());
			const closed = new Promise((r) => { port1.onclose = r }); port2.close(); await closed; port1.postMessage("nobody");
			return seen.join() === "first,message,1,true,true,message,2,true,true,message,end,true,true,back" && moved.detached && throws(() => port1.postMessage(() => 1), "DataCloneError") && throws(() => new MessagePort()) && new MessageEvent("m", { data: 7 }).data === 7`,
		"url pattern": `const p = new URLPattern("https://*.example.com/:a{/:b}*\\?q=:q"), m = p.exec("https://www.example.com/x/y/z?q=1");
			return m.hostname.groups[0] === "www" && m.pathname.groups.a === "x" && m.pathname.groups.b === "y/z" && m.search.groups.q === "1" && m.inputs[0] === "https://www.example.com/x/y/z?q=1" && p.test("http://a.example.com/") === false && p.pathname === "/:a/:b*" && !p.hasRegExpGroups && new URLPattern({ pathname: "/(\\d+)" }).hasRegExpGroups && p.test(new URL("https://a.example.com/x?q=2")) && throws(() => new URLPattern("relative")) && throws(() => new URLPattern({}, "http://a"))`,
		"back pressure": `let made = 0; const r = new ReadableStream({ pull(c) { c.enqueue(++made) } }, new CountQueuingStrategy({ highWaterMark: 2 })); await new Promise((r) => setTimeout(r, 2)); const before = made; const w = new WritableStream({ write: () => new Promise((r) => setTimeout(r, 1)) }).getWriter(); const first = w.desiredSize; w.write(1); const then = w.desiredSize; await w.ready;
			return before === 2 && first === 1 && then === 0 && w.desiredSize === 1`,
		"compression": `const pipe = async (b, s) => new Uint8Array(await new Response(new Blob([b]).stream().pipeThrough(s)).arrayBuffer()); const text = "compress me ".repeat(1000); for (const f of ["gzip", "deflate", "deflate-raw"]) { const z = await pipe(text, new CompressionStream(f)); if (z.length > 200 || new TextDecoder().decode(await pipe(z, new DecompressionStream(f))) !== text) return f }
			return await rejects(pipe("no gzip", new DecompressionStream("gzip"))) && throws(() => new CompressionStream("zip"))`,
		"random": `const a = crypto.getRandomValues(new Uint32Array(8)); return a.some((x) => x !== 0) && /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID()) && throws(() => crypto.getRandomValues(new Float64Array(1)), "TypeMismatchError") && throws(() => crypto.getRandomValues(new Uint8Array(65537)), "QuotaExceededError") && new Uint8Array(crypto.getRandomValues(new DataView(new ArrayBuffer(0)) && new Uint8Array(3)).buffer).length === 3`,
		"atomics": `const a = new Int32Array(new SharedArrayBuffer(8)), u = new Uint8Array([250]), b = new BigInt64Array([5n]); let n = 0; const grows = { valueOf() { n++; return 7 } };
			return Atomics.add(u, 0, 1e10 + 10) === 250 && u[0] === (250 + (1e10 + 10) % 256) % 256 && Atomics.sub(b, 0, 7n) === 5n && b[0] === -2n && Atomics.compareExchange(a, 0, 0, grows) === 0 && a[0] === 7 && Atomics.compareExchange(a, 0, 8, 9) === 7 && Atomics.exchange(a, 0, -1) === 7 && Atomics.and(a, 0, 6) === -1 && Atomics.or(a, 0, 1) === 6 && Atomics.xor(a, 0, 2) === 7 && Atomics.load(a, 0) === 5 && Object.is(Atomics.store(a, 1, -0), 0) && n === 1
			&& Atomics.notify(a, 0) === 0 && Atomics.isLockFree(4) && !Atomics.isLockFree(3) && Atomics.pause(1) === undefined && throws(() => Atomics.wait(a, 0, 5), "TypeError") && throws(() => Atomics.load(a, 2), "RangeError") && throws(() => Atomics.load(new Float64Array(1), 0), "TypeError") && throws(() => Atomics.add(b, 0, 1), "TypeError") && throws(() => Atomics.store(u, 0, { valueOf() { u.buffer.transfer() } }), "TypeError") && String(Atomics) === "[object Atomics]"`,
		"performance": `const t = performance.now(); return t >= 0 && t < 20000 && Math.abs(performance.timeOrigin + t - Date.now()) < 1000`,
		"no sockets":  `return throws(() => new WebSocket("wss://x"), "NotSupportedError")`,
		"own host":    `return [globalThis.host, globalThis.__host, globalThis.runnel, globalThis.std, globalThis.os].every((x) => x === undefined)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := jstest.Eval(t, `const throws = (f, name) => { try { f(); return false } catch (e) { return name === undefined || e.name === name } }; const rejects = (p) => p.then(() => false, () => true);`+"\n"+body)
			if got != "true" {
				t.Errorf("got %s", got)
			}
		})
	}
}
