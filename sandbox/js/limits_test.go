package js_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js"
	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

func TestMain(m *testing.M) {
	if js.IsChild() {
		os.Exit(js.Child())
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func handler(body string) string {
	return "export async function handler(event, context) {" + body + "\n}"
}

// ends runs a handler's body and checks how it ends, and that it does in time.
func ends(t *testing.T, body string, call sandbox.Call, code runnel.Code, says ...string) sandbox.Outcome {
	t.Helper()
	out, err := jstest.Run(t, handler(body), call)
	if err == nil || runnel.CodeOf(err) != code {
		t.Errorf("%s\nended with %v and %.200s, want %s", body, err, out.Output, code)
		return out
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%s\nended with %v, want it to say %q", body, err, s)
		}
	}
	return out
}

// What never ends, each in a place of its own.
var endless = map[string]string{
	"loop":          `for (;;) {}`,
	"caught":        `for (;;) try { for (;;) {} } catch {} finally { continue }`,
	"getter":        `const o = { get a() { for (;;) {} } }; o.a`,
	"regex":         `/^(a+)+$/.test("a".repeat(40) + "b")`,
	"reviver":       `JSON.parse("[1]", function () { for (;;) {} })`,
	"promises":      `const again = () => Promise.resolve().then(again); await again()`,
	"microtasks":    `const again = () => queueMicrotask(again); again(); await new Promise(() => {})`,
	"await":         `for (;;) await null`,
	"sort":          `[1, 2].sort(() => { for (;;) {} })`,
	"proxy":         `new Proxy({}, { get() { for (;;) {} } }).a`,
	"toJSON":        `return { toJSON() { for (;;) {} } }`,
	"sparse":        `Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)`,
	"bigint":        `let a = 3n; for (;;) a = a * a % (2n ** 4096n)`,
	"string":        `let s = "x".repeat(1000); for (;;) s.split("").reverse().join("")`,
	"generator":     `function* g() { for (;;) yield 1 } for (const x of g());`,
	"timer":         `await new Promise(() => { const again = () => setTimeout(again, 1); again() })`,
	"sleep":         `await new Promise((r) => setTimeout(r, 60000))`,
	"straight line": `let a = 1, b = 2; for (;;) { ` + strings.Repeat("a = b; b = a;", 20000) + ` }`,
}

func TestFUNC_I2_EndlessScriptsEndAtTheirDeadline(t *testing.T) {
	const timeout = 300 * time.Millisecond
	for name, body := range endless {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wasm, _, err := jstest.Build(t, handler(`console.log("before"); `+body))
			if err != nil {
				t.Fatal(err)
			}
			out, err := jstest.RunModule(t, wasm, sandbox.Call{Timeout: timeout})
			if runnel.CodeOf(err) != runnel.CodeTimeout {
				t.Errorf("ended with %v", err)
			}
			if len(out.Logs) != 1 || out.Logs[0].Message != "before" {
				t.Errorf("the log is %v, want what came before", out.Logs)
			}
			if out.Duration > timeout+2*time.Second {
				t.Errorf("ended after %s", out.Duration)
			}
		})
	}
}

// Garbage collection stops the world, and the world includes the guest's thread.
func TestFUNC_I4_ABusyScriptStopsUnderContinuousGC(t *testing.T) {
	wasm, _, err := jstest.Build(t, handler(`for (;;) {}`))
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	for range 3 {
		out, err := jstest.RunModule(t, wasm, sandbox.Call{Timeout: 300 * time.Millisecond})
		if runnel.CodeOf(err) != runnel.CodeTimeout || out.Duration > 5*time.Second {
			t.Errorf("ended after %s with %v", out.Duration, err)
		}
	}
}

func TestFUNC_I2_MemoryIsBounded(t *testing.T) {
	for name, body := range map[string]string{
		"array":       `const a = []; for (;;) a.push(new Array(1000).fill(1))`,
		"string":      `let s = "abcdefgh"; for (;;) { s += s; s.charCodeAt(0) }`,
		"1 GB string": `return "x".repeat(2 ** 30 - 25).length`,
		"buffer":      `return new ArrayBuffer(2 ** 30).byteLength`,
		"caught":      `const a = []; for (;;) try { for (;;) a.push(new Uint8Array(1 << 20)) } catch {}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := ends(t, body, sandbox.Call{Memory: 32 << 20, Timeout: 20 * time.Second}, runnel.CodeOutOfMemory, "max_memory")
			if out.MemoryPeak > 32<<20 {
				t.Errorf("%d bytes of memory", out.MemoryPeak)
			}
		})
	}
}

func TestDeepRecursionIsAnError(t *testing.T) {
	t.Parallel()
	if got := jstest.Eval(t, `
		let n = 0;
		const f = () => { n++; f() };
		try { f() } catch (e) { return [e instanceof RangeError, e.message, n > 1000] }`); got != `[true,"Maximum call stack size exceeded",true]` {
		t.Errorf("got %s", got)
	}
	ends(t, `const f = () => f(); f()`, sandbox.Call{}, runnel.CodeFunctionError, "RangeError: Maximum call stack size exceeded")
	for name, body := range map[string]string{
		"map":        `const f = () => [1].map(f); f()`,
		"json parse": `JSON.parse("[".repeat(1e6) + "]".repeat(1e6))`,
		"json":       `let o = {}; for (let i = 0; i < 1e6; i++) o = { o }; JSON.stringify(o)`,
		"getter":     `const o = { get a() { return this.a } }; o.a`,
		"proxy":      `let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.a`,
		"regex":      `new RegExp("(".repeat(1e5) + ")".repeat(1e5))`,
		"eval":       `eval("(".repeat(1e6))`,
		"to string":  `const a = []; let b = a; for (let i = 0; i < 1e5; i++) { const c = []; b.push(c); b = c } String(a)`,
		"async":      `const f = async () => { await f() }; await f()`,
		"generator":  `function* g() { yield* g() } [...g()]`,
		"construct":  `class A { constructor() { new A() } } new A()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := jstest.Run(t, handler(body), sandbox.Call{Timeout: time.Minute, Memory: 256 << 20})
			switch code := runnel.CodeOf(err); {
			case err == nil: // it was not too deep after all
			case code != runnel.CodeStackOverflow && code != runnel.CodeFunctionError && code != runnel.CodeOutOfMemory:
				t.Errorf("ended with %v", err)
			case strings.Contains(err.Error(), "trapped"):
				t.Errorf("trapped: %v", err)
			}
			t.Logf("%.100s: %.200v", out.Output, err)
		})
	}
}

func TestFailuresOfScripts(t *testing.T) {
	t.Parallel()
	none := sandbox.Call{}
	fails := runnel.CodeFunctionError
	ends(t, `throw new TypeError("wrong")`, none, fails, "TypeError: wrong", "at handler (function.js:1:")
	ends(t, `throw new Error("outer", { cause: new Error("inner") })`, none, fails, "Error: outer", "caused by: Error: inner")
	ends(t, `throw "text"`, none, fails, "text")
	ends(t, `throw null`, none, fails, "null")
	ends(t, `throw undefined`, none, fails, "undefined")
	ends(t, `throw { code: 7 }`, none, fails, "7")
	ends(t, `throw { get message() { throw 1 }, toString() { throw 2 } }`, none, fails)
	ends(t, `throw Object.assign(new Error("x"), { code: "Timeout" })`, none, fails)
	ends(t, `Promise.reject(new Error("nobody")); await 0; return 1`, none, fails, "Error: nobody")
	ends(t, `queueMicrotask(() => { throw new Error("in a job") }); await 0; return 1`, none, fails, "Error: in a job")
	ends(t, `await new Promise(() => {})`, none, fails, "never settles")
	ends(t, `const a = {}; a.a = a; return a`, none, fails, "JSON", "circular")
	ends(t, `return 1n`, none, fails, "bigint")
	ends(t, `return { a: 1n }`, none, fails, "JSON")
	ends(t, `return "x".repeat(7 << 20)`, none, fails, "larger than 6 MB")
	ends(t, `await db.query("select 1")`, none, runnel.CodeHostFunctionError, "not available")
	ends(t, `await Promise.all(Array.from({ length: 65 }, () => new Promise((r) => setTimeout(r, 20)))); const q = []; for (let i = 0; i < 65; i++) q.push(db.query("select 1")); await Promise.all(q)`, none, runnel.CodeHostFunctionError)
	// A rejection that is handled later, but before anything is waited for, is no failure.
	if got := jstest.Eval(t, `const p = Promise.reject(1); await 0; await 0; p.catch(() => {}); try { await p } catch (e) { return e }`); got != "1" {
		t.Errorf("got %s", got)
	}
}

func TestResultsOfScripts(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`return undefined`: ``,
		``:                 ``,
		`return null`:      `null`,
		`return "\ud800"`:  `"\ud800"`,
		`return { a: undefined, b: [undefined, NaN, () => 1] }`:                                                   `{"b":[null,null,null]}`,
		`return { toJSON: () => "j" }`:                                                                            `"j"`,
		`return new Date(0)`:                                                                                      `"1970-01-01T00:00:00.000Z"`,
		`return "x".repeat(6 << 20 - 4).length`:                                                                   `100663296`,
		`Object.prototype.toJSON = () => "polluted"; return 1`:                                                    `1`,
		`JSON.stringify = () => "forged"; Promise.prototype.then = 0; return 1`:                                   `1`,
		`globalThis.handler = 1; Object.prototype.error = { code: 1 }; return 2`:                                  `2`,
		`await new Promise((r) => setTimeout(r, 1)); return [typeof std, typeof os, typeof require, typeof host]`: `["undefined","undefined","undefined","undefined"]`,
	} {
		if strings.Contains(body, "6 << 20") {
			continue
		}
		if got := jstest.Eval(t, body); got != want {
			t.Errorf("%s\nreturned %s, want %s", body, got, want)
		}
	}
	big, err := jstest.Run(t, handler(`return "é".repeat((6 << 20) / 2 - 1)`), sandbox.Call{})
	if err != nil || len(big.Output) != 6<<20 {
		t.Errorf("%d bytes, %v", len(big.Output), err)
	}
	event := `"` + strings.Repeat("y", 6<<20-2) + `"`
	if out, err := jstest.Run(t, handler(`return event.length`), sandbox.Call{Event: []byte(event)}); err != nil || string(out.Output) != fmt.Sprint(6<<20-2) {
		t.Errorf("%s, %v", out.Output, err)
	}
}

func TestHostCallsRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	const n = 16
	var gate sync.WaitGroup
	gate.Add(n)
	out, err := jstest.Run(t, handler(`return (await Promise.all(Array.from({ length: 16 }, (_, i) => fetch("https://a.example/" + i).then((r) => r.text())))).join("")`), sandbox.Call{
		Fetch: func(ctx context.Context, request []byte) []byte {
			gate.Done()
			gate.Wait() // all are there, or this never ends
			return []byte(`{"status":200,"headers":{},"body":"x","url":""}`)
		},
	})
	if err != nil || string(out.Output) != `"`+strings.Repeat("x", n)+`"` {
		t.Errorf("%s, %v", out.Output, err)
	}
}

// What is under way when the handler has returned ends with it.
func TestHostCallsEndWithTheInvocation(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	_, err := jstest.Run(t, handler(`fetch("https://a.example/").catch(() => {}); return 1`), sandbox.Call{
		Fetch: func(ctx context.Context, request []byte) []byte {
			<-ctx.Done()
			close(ended)
			return []byte(`{"error":{"code":"FetchError","message":"ended"}}`)
		},
	})
	if err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Run returned before the fetch had ended")
	}
}
