package prelude_test

import (
	"context"
	"strings"
	"testing"

	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

// A function may break its own world. What it calls of ours still works, its result
// is what it returned, and no message to the host is one that it did not send.
func TestTamperingChangesNothingOfOurs(t *testing.T) {
	const work = `
		const answer = await db.query("select $1", { a: 1 });
		console.log("logged", 1);
		await new Promise((resolve) => setTimeout(resolve, 1));
		return { id: answer[0].id, rows: answer.rowCount, env: env.MODE, random: typeof crypto.randomUUID(), digest: new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(1)))[0], text: new TextDecoder().decode(new TextEncoder().encode("ü")), url: new URL("/b", "http://a").href };`
	const want = `{"id":7,"rows":1,"env":"test","random":"string","digest":110,"text":"ü","url":"http://a/b"}`
	for name, tamper := range map[string]string{
		"nothing":           ``,
		"array methods":     `for (const k of ["push", "pop", "shift", "splice", "map", "join", "slice", "filter", "includes", "indexOf"]) Array.prototype[k] = () => { throw new Error("patched " + k) }`,
		"string methods":    `for (const k of ["slice", "indexOf", "split", "startsWith", "toLowerCase", "replaceAll", "toWellFormed", "charCodeAt", "trim"]) String.prototype[k] = () => { throw new Error("patched " + k) }`,
		"then":              `Promise.prototype.then = function () { throw new Error("patched then") }`,
		"promise statics":   `Promise.resolve = Promise.reject = Promise.all = Promise.race = () => { throw new Error("patched") }`,
		"promise itself":    `const P = Promise; globalThis.Promise = function (f) { return new P(f) }`,
		"promise species":   `try { Object.defineProperty(Promise, Symbol.species, { get() { throw new Error("species") } }) } catch {}`,
		"json":              `JSON.stringify = () => '"forged"'; JSON.parse = () => ({ forged: true })`,
		"json itself":       `globalThis.JSON = { stringify: () => '"forged"', parse: () => ({}) }`,
		"call and apply":    `Function.prototype.call = Function.prototype.apply = Function.prototype.bind = () => { throw new Error("patched") }`,
		"reflect, object":   `for (const o of [Reflect, Object]) for (const k of Object.getOwnPropertyNames(o)) { if (typeof o[k] === "function" && k !== "getOwnPropertyNames") try { o[k] = () => { throw new Error("patched " + k) } } catch {} }`,
		"map and set":       `for (const C of [Map, Set, WeakMap, WeakSet]) for (const k of ["get", "set", "has", "add", "delete", "forEach"]) C.prototype[k] = () => { throw new Error("patched") }`,
		"regexp":            `RegExp.prototype.exec = RegExp.prototype.test = () => { throw new Error("patched") }`,
		"typed arrays":      `for (const k of ["set", "subarray", "slice"]) Object.getPrototypeOf(Uint8Array.prototype)[k] = () => { throw new Error("patched") }; Uint8Array.prototype.toHex = Uint8Array.prototype.toBase64 = () => "forged"`,
		"iterators":         `Object.getPrototypeOf([][Symbol.iterator]()).next = () => ({ done: true })`,
		"polluted options":  `for (const k of ["method", "body", "headers", "signal", "redirect", "sql", "params", "batch", "error", "statusCode", "is_base64", "cookies", "value", "done", "get", "set", "name", "transfer", "fatal", "stream"]) try { Object.defineProperty(Object.prototype, k, { get() { return undefined }, set() {}, configurable: true, enumerable: false }) } catch {}`,
		"polluted setters":  `for (const k of ["id", "rows", "columns", "rowCount", "v", "text", "resolve", "reject", "at", "callback", "sql", "params"]) Object.defineProperty(Object.prototype, k, { set() { throw new Error("setter of " + k) }, get() { return "polluted" }, configurable: true })`,
		"polluted toJSON":   `Object.prototype.toJSON = function () { return this }; String.prototype.toJSON = () => "forged"`,
		"error classes":     `globalThis.Error = globalThis.TypeError = class {}; Error.captureStackTrace = undefined; DOMException = undefined`,
		"errors' stack":     `Error.prepareStackTrace = () => { throw new Error("patched") }; Error.stackTraceLimit = 0`,
		"clock":             `Date.now = () => NaN; performance.now = () => NaN`,
		"globals are gone":  `for (const k of Object.getOwnPropertyNames(globalThis)) if (!["db", "console", "setTimeout", "env", "crypto", "TextEncoder", "TextDecoder", "URL", "Uint8Array", "Promise", "globalThis", "undefined", "NaN", "Infinity"].includes(k)) delete globalThis[k]`,
		"symbols":           `for (const C of [Error, Promise, Date, Uint8Array, RegExp]) Object.defineProperty(C, Symbol.hasInstance, { value: () => false })`,
		"context and event": `Object.freeze(Object.prototype); Object.freeze(Array.prototype); Object.freeze(Function.prototype)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			request := call(`null`)
			request.Query = func(_ context.Context, sql string, params []byte) []byte {
				asked = append(asked, sql+" "+string(params))
				return []byte(`{"columns":[{"name":"id","type":"int4"}],"rows":[[7]],"row_count":1}`)
			}
			// Once at the top level, before the image is made, and once in the call.
			for when, source := range map[string]string{
				"at deploy": tamper + "\nexport async function handler() {" + work + "}",
				"in a call": "export async function handler() {" + tamper + "\n" + work + "}",
			} {
				asked = nil
				out, err := jstest.Run(t, source, request)
				if err != nil || string(out.Output) != want {
					t.Errorf("%s: got %s, %v", when, out.Output, err)
				}
				if n := len(asked); n == 0 || asked[n-1] != `select $1 [{"a":1}]` {
					t.Errorf("%s: the host was asked %q", when, asked)
				}
				if n := len(out.Logs); n == 0 || out.Logs[n-1].Message != "logged 1" {
					t.Errorf("%s: the log is %v", when, out.Logs)
				}
			}
		})
	}
}

// Nothing of one call is seen in the next: each begins from the image.
func TestFUNC_E2_NothingOfACallIsSeenInTheNext(t *testing.T) {
	t.Parallel()
	wasm, _, err := jstest.Build(t, `
		const seen = { calls: 0, timers: 0 };
		export async function handler(event, context) {
			seen.calls++;
			const before = [seen.calls, seen.timers, Object.prototype.leak, globalThis.leak, console.leak, env.LEAK, db.leak, typeof URL.leak, process.leak, Array.prototype.leak];
			Object.prototype.leak = Array.prototype.leak = globalThis.leak = console.leak = URL.leak = process.leak = "leaked";
			env.LEAK = "leaked";
			setInterval(() => seen.timers++, 0); setTimeout(() => console.log("from before"), 3);
			new Promise(() => {}); db.query("pending"); fetch("http://pending/").catch(() => {});
			console.count(); console.group("deeper"); console.time("t");
			Math.random = () => 0.5; Date.now = () => 0;
			await new Promise((r) => setTimeout(r, 4));
			return before;
		}`)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		request := call("null")
		request.Query = func(ctx context.Context, _ string, _ []byte) []byte {
			<-ctx.Done()
			return []byte(`{"error":{"code":"x","message":"x"}}`)
		}
		request.Fetch = func(ctx context.Context, _ []byte) []byte {
			<-ctx.Done()
			return []byte(`{"error":{"code":"x","message":"x"}}`)
		}
		out, err := jstest.RunModule(t, wasm, request)
		if err != nil || string(out.Output) != `[1,0,null,null,null,null,null,"undefined",null,null]` {
			t.Fatalf("got %s, %v", out.Output, err)
		}
		var lines []string
		for _, l := range out.Logs {
			lines = append(lines, l.Message)
		}
		if got := strings.Join(lines, "|"); got != "default: 1|deeper|  from before" {
			t.Fatalf("the log is %q", got)
		}
	}
}
