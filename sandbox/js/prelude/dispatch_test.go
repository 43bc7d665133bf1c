package prelude_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

func TestMain(m *testing.M) {
	if compile.IsChild() {
		os.Exit(compile.Child())
	}
	os.Exit(m.Run())
}

const httpEvent = `{"trigger":"http","method":"PUT","path":"/shop/a%20b","query":{"q":"1 2","t":["a","b"]},"headers":{"host":"example.com","content-type":"application/json","x-custom":"ü"},"body":{"b": 1.0,"b":12345678901234567890},"user_id":null,"role":"anon","claims":{},"request_id":"r1"}`

func call(event string) sandbox.Call {
	return sandbox.Call{Event: []byte(event), Env: map[string]string{"MODE": "test"}, Timeout: 20 * time.Second}
}

func code(err error) string {
	var e *runnel.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return ""
}

// Each way to write a function, and each result it may have.
func TestHandlersAndResults(t *testing.T) {
	for name, c := range map[string]struct{ source, event, want string }{
		"handler":               {`export async function handler(event, context) { return [event.path, typeof context.remainingTime] }`, httpEvent, `["/shop/a%20b","function"]`},
		"not async":             {`export const handler = (event) => event.query`, httpEvent, `{"q":"1 2","t":["a","b"]}`},
		"default function":      {`export default (event) => event.method`, httpEvent, `"PUT"`},
		"default handler":       {`export default { x: 7, handler() { return this.x } }`, httpEvent, `7`},
		"fetch":                 {`export default { name: "n", async fetch(r, env, ctx) { return new Response([this.name, r.method, r.url, env.MODE, typeof ctx.waitUntil].join()) } }`, httpEvent, `{"statusCode":200,"headers":{"content-type":"text/plain;charset=UTF-8"},"body":"n,PUT,http://example.com/shop/a%20b?q=1+2&t=a&t=b,test,function"}`},
		"fetch of a class":      {`class A { x = 1; fetch() { return new Response(String(this.x)) } } export default new A()`, httpEvent, `{"statusCode":200,"headers":{"content-type":"text/plain;charset=UTF-8"},"body":"1"}`},
		"serve":                 {`Deno.serve({ port: 1 }, async (r) => Response.json(await r.json(), { status: 201 }))`, httpEvent, `{"statusCode":201,"headers":{"content-type":"application/json"},"body":"{\"b\":12345678901234567000}"}`},
		"raw body":              {`export const handler = (e, c) => c.rawBody`, httpEvent, `"{\"b\": 1.0,\"b\":12345678901234567890}"`},
		"raw text":              {`export default { async fetch(r) { return new Response(await r.text()) } }`, httpEvent, `{"statusCode":200,"headers":{"content-type":"text/plain;charset=UTF-8"},"body":"{\"b\": 1.0,\"b\":12345678901234567890}"}`},
		"schedule to fetch":     {`export default { async fetch(r) { const e = await r.json(); return new Response(r.method + e.schedule + r.headers.get("content-type")) } }`, `{"trigger":"schedule","schedule":"nightly"}`, `{"statusCode":200,"headers":{"content-type":"text/plain;charset=UTF-8"},"body":"POSTnightlyapplication/json"}`},
		"nothing":               {`export function handler() {}`, httpEvent, ``},
		"null":                  {`export const handler = () => null`, httpEvent, `null`},
		"thenable":              {`export const handler = () => ({ then(r) { r({ a: 1 }) } })`, httpEvent, `{"a":1}`},
		"toJSON":                {`export const handler = () => ({ toJSON: () => "short" })`, httpEvent, `"short"`},
		"date, nan, undefined":  {`export const handler = () => [new Date(0), NaN, undefined, { a: undefined, f() {} }]`, httpEvent, `["1970-01-01T00:00:00.000Z",null,null,{}]`},
		"lone surrogate":        {`export const handler = () => "a\ud800b"`, httpEvent, `"a\ud800b"`},
		"status code":           {`export const handler = () => ({ statusCode: 201, headers: { a: "b" }, body: "x" })`, httpEvent, `{"statusCode":201,"headers":{"a":"b"},"body":"x"}`},
		"bytes as a body":       {`export const handler = () => ({ statusCode: 200, body: new Uint8Array([0, 255]) })`, httpEvent, `{"statusCode":200,"body":"AP8=","is_base64":true}`},
		"response of a handler": {`export const handler = () => new Response(null, { status: 204 })`, httpEvent, `{"statusCode":204,"headers":{}}`},
		"response with cookies": {`export const handler = () => { const r = new Response("x", { headers: [["Set-Cookie", "a=1"], ["set-cookie", "b=2"], ["x", "1"], ["X", "2"]] }); return r }`, httpEvent, `{"statusCode":200,"headers":{"set-cookie":["a=1","b=2"],"x":"1, 2","content-type":"text/plain;charset=UTF-8"},"body":"x"}`},
		"binary response":       {`export const handler = () => new Response(new Uint8Array([0, 159]), { headers: { "content-type": "image/png" } })`, httpEvent, `{"statusCode":200,"headers":{"content-type":"image/png"},"body":"AJ8=","is_base64":true}`},
		"text that is not":      {`export const handler = () => new Response(new Uint8Array([0xff]), { headers: { "content-type": "text/plain" } })`, httpEvent, `{"statusCode":200,"headers":{"content-type":"text/plain"},"body":"/w==","is_base64":true}`},
		"streamed response":     {`export const handler = () => new Response(new ReadableStream({ async start(c) { for (const x of "abc") { await new Promise((r) => setTimeout(r, 1)); c.enqueue(new TextEncoder().encode(x)) } c.close() } }), { headers: { "content-type": "text/html" } })`, httpEvent, `{"statusCode":200,"headers":{"content-type":"text/html"},"body":"abc"}`},
		"base64 event":          {`export default { async fetch(r) { return Response.json([...await r.bytes()]) } }`, `{"trigger":"http","method":"POST","path":"/f","query":{},"headers":{},"body":"AP8=","is_base64":true}`, `{"statusCode":200,"headers":{"content-type":"application/json"},"body":"[0,255]"}`},
		"wait until":            {`let done = 0; export const handler = (e, c) => { c.waitUntil(new Promise((r) => setTimeout(() => r(console.log("later")), 5))); c.waitUntil(Promise.reject(new Error("lost"))); return "now" }`, httpEvent, `"now"`},
		"env everywhere":        {`export const handler = (e, c) => [env.MODE, process.env.MODE, Deno.env.get("MODE"), Deno.env.get("toString"), Deno.env.toObject(), c.env.MODE, env.nothing]`, httpEvent, `["test","test","test",null,{"MODE":"test"},"test",null]`},
		"env at deploy":         {`const early = env.MODE; export const handler = () => [early, env.MODE]`, httpEvent, `[null,"test"]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := jstest.Run(t, c.source, call(c.event))
			if err != nil || string(out.Output) != c.want {
				t.Errorf("got %s, %v\nwant %s", out.Output, err, c.want)
			}
		})
	}
}

// What fails says what to do, with the code of the contract.
func TestFailuresOfHandlers(t *testing.T) {
	for name, c := range map[string]struct{ source, code, message string }{
		"throws":           {"export async function handler() {\n  throw new TypeError('no luck')\n}", "FunctionError", "TypeError: no luck"},
		"stack":            {"export async function handler() {\n  deep()\n}\nfunction deep() { throw new Error('x') }", "FunctionError", "function.js:4"},
		"throws a string":  {`export const handler = () => { throw "oops" }`, "FunctionError", "threw something that is no Error: oops"},
		"throws nothing":   {`export const handler = () => { throw undefined }`, "FunctionError", "no Error: undefined"},
		"throws an object": {`export const handler = async () => { throw { status: 404 } }`, "FunctionError", "{ status: 404 }"},
		"circular":         {`export const handler = () => { const a = {}; a.a = a; return a }`, "FunctionError", "cannot be written as JSON (circular reference)"},
		"bigint":           {`export const handler = () => 1n`, "FunctionError", "return String(value)"},
		"deep bigint":      {`export const handler = () => ({ a: [1n] })`, "FunctionError", "cannot be written as JSON"},
		"function":         {`export const handler = () => () => 1`, "FunctionError", "returned a function"},
		"symbol":           {`export const handler = () => Symbol("x")`, "FunctionError", "returned a symbol"},
		"response error":   {`export const handler = () => Response.error()`, "FunctionError", "Response with a status"},
		"bad getter":       {`export const handler = () => ({ get a() { throw new RangeError("getter") } })`, "FunctionError", "RangeError: getter"},
		"used body":        {`export const handler = async () => { const r = new Response("x"); await r.text(); return r }`, "FunctionError", "body was read already"},
		"no export":        {`export const other = 1`, "InvalidModule", "export async function handler"},
		"not a function":   {`export const handler = 7`, "InvalidModule", "exports no function to call"},
		"serve twice":      {`Deno.serve(() => 1); Deno.serve(() => 2)`, "InvalidModule", "called before"},
		"random at deploy": {`const id = crypto.randomUUID(); export const handler = () => id`, "InvalidModule", "top level of a module"},
		"timer at deploy":  {`setTimeout(() => 1, 10); export const handler = () => 1`, "InvalidModule", ""},
		"uncaught timer":   {`export const handler = () => new Promise(() => { setTimeout(() => { throw new Error("in a timer") }, 1) })`, "FunctionError", "in a timer"},
		"not handled":      {`export const handler = async () => { await db.query("select 1/0") }`, "HostFunctionError", "division by zero"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := call(httpEvent)
			request.Query = func(context.Context, string, []byte) []byte {
				return []byte(`{"error":{"code":"QueryError","message":"division by zero","sqlstate":"22012"}}`)
			}
			_, err := jstest.Run(t, c.source, request)
			if err == nil || code(err) != c.code || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %s: %v\nwant %s: %s", code(err), err, c.code, c.message)
			}
		})
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	request := call(httpEvent)
	request.About = sandbox.About{InvocationID: "i-1", Attempt: 2, MaxAttempts: 3, Function: "shop", Version: 7, Trigger: "http"}
	out, err := jstest.Run(t, `export const handler = (e, c) => ({ ...c, left: c.remainingTime() > 1000 && c.remainingTime() <= 20000, deadline: Math.abs(c.deadline - Date.now() - c.remainingTime()) < 50 })`, request)
	want := `{"invocationId":"i-1","attempt":2,"maxAttempts":3,"deadline":true,"functionName":"shop","functionVersion":7,"trigger":"http","left":true}`
	if err != nil || string(out.Output) != want {
		t.Errorf("got %s, %v\nwant %s", out.Output, err, want)
	}
}

// The queries that reach the host, and what comes back.
func TestDatabase(t *testing.T) {
	t.Parallel()
	var asked []string
	request := call(httpEvent)
	request.Query = func(_ context.Context, sql string, params []byte) []byte {
		asked = append(asked, sql+" "+string(params))
		switch {
		case strings.HasPrefix(sql, "fail"):
			return []byte(`{"error":{"code":"QueryError","message":"no such table","sqlstate":"42P01","position":7,"hint":"look"}}`)
		case sql == "":
			return []byte(`{"results":[{"columns":[],"rows":[],"row_count":1},{"columns":[{"name":"n","type":"int4"}],"rows":[[2]],"row_count":1}]}`)
		}
		return []byte(`{"columns":[{"name":"id","type":"int4"},{"name":"__proto__","type":"text"},{"name":"id","type":"text"}],"rows":[[1,"p","a"],[2,null,"b"]],"row_count":2}`)
	}
	out, err := jstest.Run(t, `
		async function ask() { await db.query("fail") }
		export async function handler() {
			const r = await db.query("select $1", 1, "two", null, undefined, true, 3n, new Date(0), new Uint8Array([1, 255]), { a: [1] }, [1, 2], NaN);
			await db.query`+"`select ${1} and ${'; drop'}`"+`;
			const [a, b] = await db.batch([db.sql`+"`insert ${1}`"+`, ["select $1", 2], { sql: "x" }, "y"]);
			const out = [r, r.rows === r, r.rowCount, r.columns.length, Object.keys(r[0]), r[0].__proto__, Object.getPrototypeOf(r[0]) === Object.prototype, a.rowCount, b[0].n, (await db.batch([])).length];
			try { await ask() } catch (e) { out.push(e instanceof Error, e.code, e.sqlstate, e.position, e.hint, e.message, /\bask\b/.test(e.stack)) }
			for (const bad of [() => db.query(), () => db.query(1), () => db.query("x", Symbol()), () => db.query("x", () => 1), () => db.batch("x"), () => db.batch([1])]) {
				out.push(await bad().then(() => "accepted", (e) => e.constructor.name));
			}
			return out;
		}`, request)
	want := `[[{"id":"a","__proto__":"p"},{"id":"b","__proto__":null}],true,2,3,["id","__proto__"],"p",true,1,2,0,true,"QueryError","42P01",7,"look","no such table",true,"TypeError","TypeError","TypeError","TypeError","TypeError","TypeError"]`
	if err != nil || string(out.Output) != want {
		t.Errorf("got %s, %v\nwant %s", out.Output, err, want)
	}
	wantAsked := []string{
		`select $1 [1,"two",null,null,true,"3","1970-01-01T00:00:00.000Z","\\x01ff",{"a":[1]},[1,2],"NaN"]`,
		`select $1 and $2 [1,"; drop"]`,
		` {"batch":[{"sql":"insert $1","params":[1]},{"sql":"select $1","params":[2]},{"sql":"x","params":[]},{"sql":"y","params":[]}]}`,
		`fail []`,
	}
	for i, w := range wantAsked {
		if i >= len(asked) || asked[i] != w {
			t.Errorf("query %d was %q, want %q", i, asked[min(i, len(asked)-1)], w)
		}
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	request := call(httpEvent)
	request.Fetch = func(_ context.Context, b []byte) []byte {
		var r struct{ URL string }
		_ = json.Unmarshal(b, &r)
		if strings.HasPrefix(r.URL, "http://denied") {
			return []byte(`{"error":{"code":"HostNotAllowed","message":"denied is not allowed"}}`)
		}
		quoted, _ := json.Marshal(string(b))
		return []byte(`{"status":203,"headers":{"content-type":"application/json","x-a":"1, 2","set-cookie":"a=1, b=2"},"cookies":["a=1","b=2"],"body":` + string(quoted) + `,"is_base64":false,"url":"http://other/"}`)
	}
	out, err := jstest.Run(t, `
		const attempt = async (...a) => { try { const r = await fetch(...a); return await r.text() } catch (e) { return [e.name, e instanceof TypeError, e.code, e.message] } };
		export async function handler() {
			const r = await fetch("http://h/p?q#f", { method: "post", body: new URLSearchParams({ a: "1 2" }), headers: { "X-Y": "z" }, redirect: "manual" });
			const out = [r.status, r.ok, r.redirected, r.url, r.headers.get("x-a"), r.headers.getSetCookie(), [...r.headers.keys()], await r.clone().text(), (await r.json()).method, r.bodyUsed];
			out.push(await attempt(new Request("http://h/", { method: "PUT", body: new Uint8Array([0, 200]) })));
			const form = new FormData(); form.set("k", "v");
			const sent = JSON.parse(await attempt("http://h/", { method: "POST", body: form }));
			out.push(/^multipart\/form-data; boundary=/.test(sent.headers["content-type"]), atob(sent.body).includes('name="k"\r\n\r\nv'));
			out.push(await attempt("http://denied/"), await attempt("ftp://x/"), await attempt("not a url"), await attempt("http://u:p@h/"), await attempt("http://h/", { body: "x" }), await attempt("http://h/", { method: "TRACE" }), await attempt("http://h/", { headers: { "a b": "c" } }), await attempt("http://h/", { headers: { a: "b\nc" } }));
			out.push(await attempt("http://h/", { signal: AbortSignal.abort() }), await attempt("http://h/", { signal: AbortSignal.abort("why") }).catch((e) => e));
			return out;
		}`, request)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{
		`[203,true,true,"http://other/","1, 2",["a=1","b=2"],["content-type","set-cookie","set-cookie","x-a"],"{\"method\":\"POST\",\"url\":\"http://h/p?q#f\",\"headers\":{\"x-y\":\"z\",\"content-type\":\"application/x-www-form-urlencoded;charset=UTF-8\"},\"redirect\":\"manual\",\"body\":\"a=1+2\"}","POST",true`,
		`\"method\":\"PUT\"`, `\"body\":\"AMg=\",\"is_base64\":true`, `,true,true,["TypeError",true,"HostNotAllowed","denied is not allowed"]`, `["AbortError",false,20,"This operation was aborted"]`,
	} {
		if !strings.Contains(string(out.Output), w) {
			t.Errorf("no %s in %s", w, out.Output)
		}
	}
	if n := strings.Count(string(out.Output), `["TypeError",true,null,`); n != 7 {
		t.Errorf("%d calls of 7 failed with a TypeError: %s", n, out.Output)
	}
}
