package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
)

// plug makes an Extism plug-in of the body of its function handler, () -> (i32).
func (g guest) plug(locals []byte, body *wasmtest.Code) []byte {
	g.Export("memory", wasmtest.KindMemory, g.Memory(1))
	g.ExportFunc("handler", g.Func(g.Type(nil, []byte{wasmtest.I32}), locals, body.End()))
	return g.Bytes()
}

// outputs is the code that writes text, eight bytes a time, and makes it the output,
// or the error.
func (g guest) outputs(text string) *wasmtest.Code {
	b := body().I64Const(int64(len(text))).Call(g.imports["alloc"]).LocalSet(0)
	for i := range len(text) {
		b.LocalGet(0).I64Const(int64(i)).Op(wasmtest.I64Add).I32Const(int32(text[i])).Call(g.imports["store_u8"])
	}
	if set, ok := g.imports["error_set"]; ok {
		return b.LocalGet(0).Call(set)
	}
	return b.LocalGet(0).I64Const(int64(len(text))).Call(g.imports["output_set"])
}

func TestExtismPlugin(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	i64 := []byte{wasmtest.I64}
	output := func(text string, code int32) []byte {
		g := newGuest("alloc", "store_u8", "output_set")
		return g.plug(i64, g.outputs(text).I32Const(code))
	}
	fails := func(text string, code int32) []byte {
		g := newGuest("alloc", "store_u8", "error_set")
		return g.plug(i64, g.outputs(text).I32Const(code))
	}
	do := func(imports []string, build func(g guest, b *wasmtest.Code)) []byte {
		g := newGuest(imports...)
		b := body()
		build(g, b)
		return g.plug(nil, b)
	}
	for name, c := range map[string]struct {
		wasm   []byte
		output string
		code   runnel.Code
		says   string
	}{
		"the event is the input": {do([]string{"input_offset", "input_length", "output_set"}, func(g guest, b *wasmtest.Code) {
			b.Call(g.imports["input_offset"]).Call(g.imports["input_length"]).Call(g.imports["output_set"]).I32Const(0)
		}), `{"trigger":"sql","payload":{"n":1}}`, "", ""},
		"nothing":               {newGuest("alloc").plug(nil, body().I32Const(0)), "", "", ""},
		"JSON stays":            {output(` {"a":1} `, 0), `{"a":1}`, "", ""},
		"a number stays":        {output(`12`, 0), `12`, "", ""},
		"text becomes a string": {output("Grüße, \"you\"\n<&>", 0), `"Grüße, \"you\"\n<&>"`, "", ""},
		"bytes are refused":     {output("\xff\xfe", 0), "", runnel.CodeFunctionError, "is_base64"},
		"an error with a code":  {fails("no such order", 1), "", runnel.CodeFunctionError, "FunctionError: no such order"},
		"an error without":      {fails("no such order", 0), "", runnel.CodeFunctionError, "FunctionError: no such order"},
		"a code without error":  {output(`{}`, 7), "", runnel.CodeFunctionError, "handler returned 7"},
		"a negative code":       {output(`{}`, -1), "", runnel.CodeFunctionError, "handler returned -1"},
		"a long error is cut":   {fails(strings.Repeat("x", 3000), 1), "", runnel.CodeFunctionError, strings.Repeat("x", maxErrorText) + "..."},
		"a trap":                {newGuest("alloc").plug(nil, body().Op(wasmtest.Unreachable)), "", runnel.CodeFunctionError, "trapped"},
		"endless quick calls": {do([]string{"alloc", "free"}, func(g guest, b *wasmtest.Code) {
			b.Loop(wasmtest.Empty).I64Const(9).Call(g.imports["alloc"]).Call(g.imports["free"]).Br(0).End().I32Const(0)
		}), "", runnel.CodeTimeout, ""},
		"endless allocation": {do([]string{"alloc"}, func(g guest, b *wasmtest.Code) {
			b.Loop(wasmtest.Empty).I64Const(1000).Call(g.imports["alloc"]).Op(wasmtest.Drop).Br(0).End().I32Const(0)
		}), "", runnel.CodeOutOfMemory, ""},
		"endless reset": {do([]string{"alloc", "reset"}, func(g guest, b *wasmtest.Code) {
			b.Loop(wasmtest.Empty).I64Const(1 << 20).Call(g.imports["alloc"]).Op(wasmtest.Drop).Call(g.imports["reset"]).Br(0).End().I32Const(0)
		}), "", runnel.CodeTimeout, ""},
		"an output of 8 MB": {do([]string{"alloc", "output_set"}, func(g guest, b *wasmtest.Code) {
			b.I64Const(8 << 20).Call(g.imports["alloc"]).I64Const(8 << 20).Call(g.imports["output_set"]).I32Const(0)
		}), "", runnel.CodeFunctionError, "6 MB"},
		"an output from nowhere": {do([]string{"output_set"}, func(g guest, b *wasmtest.Code) {
			b.I64Const(1 << 40).I64Const(8).Call(g.imports["output_set"]).I32Const(0)
		}), "", runnel.CodeFunctionError, "output_set was called with 8 bytes at offset 1099511627776"},
		"proc_exit(0)": {do([]string{"alloc", "proc_exit"}, func(g guest, b *wasmtest.Code) { b.I32Const(0).Call(g.imports["proc_exit"]).Op(wasmtest.Unreachable) }), "", "", ""},
		"proc_exit(3)": {do([]string{"alloc", "proc_exit"}, func(g guest, b *wasmtest.Code) { b.I32Const(3).Call(g.imports["proc_exit"]).Op(wasmtest.Unreachable) }), "", runnel.CodeFunctionError, "code 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if info, err := Check(t.Context(), c.wasm); err != nil || info.Kind != Extism {
				t.Fatalf("got %+v, %v", info, err)
			}
			call := callOf(c.wasm)
			if c.code == runnel.CodeTimeout {
				call.Timeout = 100 * time.Millisecond
			}
			out, err := r.Run(context.Background(), call)
			if c.code != "" {
				wantCode(t, err, c.code)
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %q does not say %q", err, c.says)
				}
			} else if err != nil || string(out.Output) != c.output {
				t.Errorf("got %q, %v; want %q", out.Output, err, c.output)
			}
			if out.MemoryPeak < 2*pageSize && c.code == "" || out.MemoryPeak > call.Memory {
				t.Errorf("the peak is %d bytes: it must count the guest's memory and Extism's", out.MemoryPeak)
			}
		})
	}
}

func TestExtismEntry(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	// Each function outputs its own name, and initializers write to memory what has to
	// be there when it runs.
	plugin := func(exports ...string) []byte {
		g := newGuest("alloc", "store_u8", "output_set")
		g.Export("memory", wasmtest.KindMemory, g.Memory(1))
		for _, export := range exports {
			name, kind, _ := strings.Cut(export, ":")
			switch kind {
			case "init":
				g.ExportFunc(name, g.Func(g.Type(nil, nil), nil, body().I32Const(0).I32Const(0).I32Load8(0).I32Const(1).Op(wasmtest.I32Add).I32Store8(0).End()))
			case "haskell":
				g.ExportFunc(name, g.Func(g.Type([]byte{wasmtest.I32, wasmtest.I32}, nil), nil, body().I32Const(0).I32Const(0).I32Load8(0).I32Const(10).Op(wasmtest.I32Add).I32Store8(0).End()))
			case "void":
				g.ExportFunc(name, g.Func(g.Type(nil, nil), []byte{wasmtest.I64}, g.outputs(`"`+name+`"`).End()))
			case "pointer":
				g.ExportFunc(name, g.Func(g.Type([]byte{wasmtest.I32}, []byte{wasmtest.I32}), nil, body().I32Const(0).End()))
			default: // returns what the initializers left
				g.ExportFunc(name, g.Func(g.Type(nil, []byte{wasmtest.I32}), []byte{wasmtest.I64}, g.outputs(`"`+name+`"`).I32Const(0).I32Load8(0).End()))
			}
		}
		return g.Bytes()
	}
	for name, c := range map[string]struct {
		wasm []byte
		want string // output, or part of the error
	}{
		"handler before all":                 {plugin("run", "call", "handle", "handler", "greet"), `"handler"`},
		"handle before call":                 {plugin("call", "handle"), `"handle"`},
		"call before run":                    {plugin("run", "call"), `"call"`},
		"run before others":                  {plugin("greet", "run"), `"run"`},
		"the only one":                       {plugin("greet", "_private", "asyncify_get_state", "hs_free", "malloc:pointer"), `"greet"`},
		"with a result before those without": {plugin("greet", "stop:void"), `"greet"`},
		"without a result":                   {plugin("greet:void"), `"greet"`},
		"a handler of another type":          {plugin("handler:pointer", "greet"), `"greet"`},
		"a command":                          {plugin("_start:void"), `"_start"`},
		"a function before _start":           {plugin("_start:void", "greet"), `"greet"`},
		"_initialize is called":              {plugin("_initialize:init", "greet"), "greet returned 1 "},
		"constructors are called":            {plugin("__wasm_call_ctors:init", "greet"), "greet returned 1 "},
		"but not after _initialize":          {plugin("__wasm_call_ctors:init", "_initialize:init", "greet"), "greet returned 1 "},
		"Haskell is set up":                  {plugin("_initialize:init", "hs_init:haskell", "greet"), "greet returned 11 "},
		"_start sets itself up":              {plugin("_initialize:init", "_start:void"), `"_start"`},
		"several":                            {plugin("greet", "count"), "exports several functions (count, greet)"},
		"several without results":            {plugin("greet:void", "count:void"), "exports several functions (count, greet)"},
		"none":                               {plugin("malloc:pointer"), "exports no function to call: export handler"},
		"an initializer with a type":         {plugin("_initialize:pointer", "greet"), "_initialize as a function () -> ()"},
		"Haskell with another type":          {plugin("hs_init:init", "greet"), "hs_init as a function (i32, i32)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := run(t, r, c.wasm)
			if err == nil && string(out.Output) != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %s, %v; want %s", out.Output, err, c.want)
			}
			_, checked := Check(t.Context(), c.wasm)
			if (runnel.CodeOf(err) == runnel.CodeInvalidModule) != (checked != nil) {
				t.Errorf("Check says %v, Run says %v", checked, err)
			}
		})
	}
}

// kernel is the host's side of a plug-in, as a test sees it.
type kernel struct {
	*hostCalls
}

func newKernel(t testing.TB, call Call) kernel { return kernel{newPluginCalls(t, call)} }

// do calls an import that must return.
func (k kernel) do(name string, args ...uint64) uint64 {
	k.t.Helper()
	results, err := k.instance.ExportedFunction(name).Call(k.ctx, args...)
	if err != nil {
		k.t.Fatalf("%s%v: %v", name, args, k.inv.failure(err))
	}
	if len(results) == 0 {
		return 0
	}
	return results[0]
}

// put and get move text through the imports, as a PDK does.
func (k kernel) put(text string) uint64 {
	at := k.do("alloc", uint64(len(text)))
	for i := range len(text) {
		k.do("store_u8", at+uint64(i), uint64(text[i]))
	}
	return at
}

func (k kernel) get(at uint64) string {
	b := make([]byte, k.do("length", at))
	for i := range b {
		b[i] = byte(k.do("load_u8", at+uint64(i)))
	}
	return string(b)
}

func TestExtismInput(t *testing.T) {
	t.Parallel()
	k := newKernel(t, Call{Event: []byte("0123456789")})
	if n, at := k.do("input_length"), k.do("input_offset"); n != 10 || k.get(at) != "0123456789" {
		t.Errorf("%d bytes: %q", n, k.get(at))
	}
	if b, v := k.do("input_load_u8", 9), k.do("input_load_u64", 2); b != '9' || v != 0x3938373635343332 {
		t.Errorf("got %x, %x", b, v)
	}
	for _, offset := range []uint64{10, 3, 1 << 32, math.MaxUint64, math.MaxUint64 - 7} {
		if v := k.do("input_load_u64", offset); v != 0 {
			t.Errorf("input_load_u64(%d) is %x: beyond the input there is nothing", offset, v)
		}
	}
	k.do("free", k.do("input_offset"))
	if n := k.do("input_length"); n != 0 {
		t.Errorf("%d bytes of input after it was freed", n)
	}
}

func TestExtismConfigIsTheEnvironment(t *testing.T) {
	t.Parallel()
	k := newKernel(t, Call{Env: map[string]string{"API_KEY": "secret value", "EMPTY": ""}})
	for key, want := range map[string]string{"API_KEY": "secret value", "EMPTY": "", "PATH": "", "": "", strings.Repeat("k", 1000): ""} {
		at := k.put(key)
		value := k.do("config_get", at)
		if got := k.get(value); got != want || want == "" && value != 0 {
			t.Errorf("%.20s is %q at %d, want %q", key, got, value, want)
		}
		// Some PDKs free the key as well; the value must survive that.
		k.do("free", at)
		if got := k.get(value); got != want {
			t.Errorf("%.20s is %q after its key was freed", key, got)
		}
		if got := k.get(k.do("runnel_env", k.put(key))); got != want {
			t.Errorf("runnel_env: %.20s is %q, want %q", key, got, want)
		}
	}
}

func TestExtismVars(t *testing.T) {
	t.Parallel()
	k := newKernel(t, Call{Memory: 16 << 20})
	if at := k.do("var_get", k.put("count")); at != 0 {
		t.Errorf("an unset variable is at %d", at)
	}
	k.do("var_set", k.put("count"), k.put("one"))
	k.do("var_set", k.put("count"), k.put("two"))
	if got := k.get(k.do("var_get", k.put("count"))); got != "two" {
		t.Errorf("got %q", got)
	}
	k.do("var_set", k.put("count"), 0)
	if at := k.do("var_get", k.put("count")); at != 0 || k.inv.plugin.varSize != 0 {
		t.Errorf("a removed variable is at %d; %d bytes are counted", at, k.inv.plugin.varSize)
	}
	large := k.do("alloc", 600<<10)
	k.do("var_set", k.put("a"), large)
	_, err := k.call("var_set", k.put("b"), k.do("alloc", 600<<10))
	wantCode(t, err, runnel.CodeFunctionError)
	if !strings.Contains(err.Error(), "1 MB") {
		t.Error(err)
	}
	k.do("var_set", k.put("a"), k.do("alloc", 700<<10)) // replacing counts once
}

func TestFUNC_E2_ExtismVarsEndWithTheInvocation(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	// Outputs what var_get finds, after setting it: nothing, every time.
	g := newGuest("alloc", "store_u8", "var_get", "var_set", "length", "output_set")
	name := body().I64Const(1).Call(g.imports["alloc"]).LocalSet(0).LocalGet(0).I32Const('v').Call(g.imports["store_u8"]).LocalGet(0)
	b := body().Add(name).Call(g.imports["var_get"]).LocalSet(1).
		LocalGet(1).LocalGet(1).Call(g.imports["length"]).Call(g.imports["output_set"]).
		Add(name).Add(name).Call(g.imports["var_set"]).I32Const(0)
	wasm := g.plug([]byte{wasmtest.I64, wasmtest.I64}, b)
	for range 3 {
		if out, err := run(t, r, wasm); err != nil || out.Output != nil {
			t.Fatalf("got %s, %v: a variable of an earlier invocation", out.Output, err)
		}
	}
}

func TestExtismLogs(t *testing.T) {
	t.Parallel()
	k := newKernel(t, Call{})
	if n := k.do("get_log_level"); n != 0 {
		t.Errorf("the level is %d, want 0: all are kept", n)
	}
	want := []string{"debug", "debug", "info", "warn", "error", "info", "error"}
	for _, name := range []string{"log_trace", "log_debug", "log_info", "log_warn", "log_error", "log_info"} {
		text := name
		if len(k.inv.logs.lines) == 5 {
			text = "" // is logged as it is
		}
		k.do(name, k.put(text))
	}
	k.do("runnel_log", 3, k.put("last"))
	for i, level := range want {
		if k.inv.logs.lines[i].Level != level {
			t.Errorf("line %d is %+v, want %s", i, k.inv.logs.lines[i], level)
		}
	}
	if got := k.inv.logs.lines[6].Message; got != "last" || len(k.inv.logs.lines) != 7 {
		t.Errorf("%d lines, the last is %q", len(k.inv.logs.lines), got)
	}
}

func TestFUNC_S3_ExtismHTTPGoesThroughFetch(t *testing.T) {
	t.Parallel()
	var got string
	answer := `{"status":201,"headers":{"content-type":"text/plain","x":"a, b"},"body":"aGVsbG8=","is_base64":true,"url":"u"}`
	k := newKernel(t, Call{Fetch: func(_ context.Context, request []byte) []byte {
		got = string(request)
		return []byte(answer)
	}})
	body := k.do("http_request", k.put(`{"url":"https://a.test/","method":"PUT","headers":{"x":"y"}}`), k.put("\xffbody"))
	if want := `{"method":"PUT","url":"https://a.test/","headers":{"x":"y"},"body":"/2JvZHk=","is_base64":true}`; got != want {
		t.Errorf("the request is %s, want %s", got, want)
	}
	if b, status, headers := k.get(body), k.do("http_status_code"), k.get(k.do("http_headers")); b != "hello" || status != 201 || headers != `{"content-type":"text/plain","x":"a, b"}` {
		t.Errorf("got %q, %d, %s", b, status, headers)
	}

	answer = `{"status":204,"headers":{},"body":"","is_base64":false,"url":"u"}`
	if at := k.do("http_request", k.put(`{"url":"https://a.test/","header":{"old":"1"}}`), 0); at != 0 || got != `{"url":"https://a.test/","headers":{"old":"1"}}` {
		t.Errorf("an empty body is at %d; the request is %s", at, got)
	}

	// Extism has no way to tell a plug-in of a failure.
	answer = `{"error":{"code":"HostNotAllowed","message":"a.test is not in allowed_hosts"}}`
	_, err := k.call("http_request", k.put(`{"url":"https://a.test/"}`), 0)
	wantCode(t, err, runnel.CodeHostFunctionError)
	if !strings.Contains(err.Error(), "HostNotAllowed: a.test is not in allowed_hosts") {
		t.Error(err)
	}
	if status, headers := k.do("http_status_code"), k.do("http_headers"); status != 0 || headers != 0 {
		t.Errorf("status %d and headers at %d are left of an earlier request", status, headers)
	}
	// Ours has.
	if got := k.get(k.do("runnel_http_fetch", k.put(`{"url":"https://a.test/"}`))); got != answer {
		t.Errorf("runnel_http_fetch: %s", got)
	}
	_, err = k.call("http_request", k.put(`[`), 0)
	wantCode(t, err, runnel.CodeHostFunctionError)

	without := newKernel(t, Call{})
	_, err = without.call("http_request", without.put(`{"url":"https://a.test/"}`), 0)
	wantCode(t, err, runnel.CodeHostFunctionError)
	if !strings.Contains(err.Error(), "HostNotAllowed") {
		t.Error(err)
	}
}

func TestFUNC_I3_ExtismQueriesGoThroughQuery(t *testing.T) {
	t.Parallel()
	k := newKernel(t, Call{Query: func(_ context.Context, sql string, params []byte) []byte {
		b, _ := json.Marshal(map[string]string{"sql": sql, "params": string(params)})
		return b
	}})
	if got := k.get(k.do("runnel_db_query", k.put(`{"sql":"select $1","params":[1]}`))); got != `{"params":"[1]","sql":"select $1"}` {
		t.Errorf("got %s", got)
	}
	if got := k.get(k.do("runnel_db_query", k.put(`select 1`))); !strings.Contains(got, `"QueryError"`) {
		t.Errorf("got %s", got)
	}
	without := newKernel(t, Call{})
	if got := without.get(without.do("runnel_db_query", without.put(`{"sql":"select 1"}`))); !strings.Contains(got, `"RlsUnavailable"`) {
		t.Errorf("got %s", got)
	}
}

// hostileOffsets are what a plug-in may pass as an offset: null, inside, at the end,
// past it, and where 32 and 64 bits wrap around.
var hostileOffsets = []uint64{0, 1, 31, 33, 65535, 65536 - 7, 65536, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 32, 1 << 63, math.MaxUint64 - 7, math.MaxUint64}

func TestFUNC_I1_HostileExtismOffsets(t *testing.T) {
	t.Parallel()
	fetch := func(context.Context, []byte) []byte { return []byte(`{"status":200,"headers":{},"body":"x"}`) }
	k := newKernel(t, Call{Event: []byte(`{"n":1}`), Env: map[string]string{"A": "b"}, Fetch: fetch, Timeout: time.Hour})
	for _, f := range extismFunctions() {
		args := make([]uint64, len(f.params))
		for _, a := range hostileOffsets {
			for _, b := range hostileOffsets {
				for i := range args {
					args[i] = []uint64{a, b}[i%2]
				}
				checkHostile(t, k, f, args)
			}
			if len(args) == 0 {
				break
			}
		}
	}
}

// checkHostile calls a function and accepts only that it returns or ends the plug-in
// with an error that is the plug-in's.
func checkHostile(t *testing.T, k kernel, f hostFunction, args []uint64) {
	t.Helper()
	_, err := k.instance.ExportedFunction(f.name).Call(k.ctx, args...)
	if err == nil {
		return
	}
	var stopped *runnel.Error
	if !errors.As(err, &stopped) || stopped.Code != runnel.CodeFunctionError && stopped.Code != runnel.CodeHostFunctionError && stopped.Code != runnel.CodeOutOfMemory {
		t.Fatalf("%s%v: %v", f.name, args, err)
	}
	if stopped.Code == runnel.CodeFunctionError && !strings.Contains(stopped.Message, f.name) {
		t.Errorf("%s%v: %q does not name the call", f.name, args, stopped.Message)
	}
}

func FuzzFUNC_I1_ExtismCalls(f *testing.F) {
	functions := extismFunctions()
	for i := range functions {
		f.Add(byte(i), uint64(32), uint64(65536), "{}")
		f.Add(byte(i), uint64(math.MaxUint64), uint64(1), `{"sql":"x","params":[]}`)
	}
	answer := `{"status":200,"headers":{"a":"b"},"body":"x"}`
	k := newKernel(f, Call{
		Event: []byte("{}"), Env: map[string]string{"A": "b"}, Timeout: time.Hour,
		Fetch: func(context.Context, []byte) []byte { return []byte(answer) },
		Query: func(context.Context, string, []byte) []byte { return []byte(`{}`) },
	})
	f.Fuzz(func(t *testing.T, which byte, a, b uint64, text string) {
		fn := functions[int(which)%len(functions)]
		k.inv.logs = logs{}
		if len(text) < 100 {
			k.inv.plugin.blocks.put([]byte(text))
		}
		checkHostile(t, k, fn, []uint64{a, b}[:len(fn.params)])
		if k.inv.plugin.blocks.next > 512<<10 {
			k.inv.extismReset(nil)
		}
	})
}
