package sandbox

import (
	"context"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
)

// reactor makes a handler reactor of two bodies: alloc has the size as local 0,
// handle has ptr and len as locals 0 and 1.
func (g guest) reactor(alloc, handle *wasmtest.Code) []byte {
	i32, i64 := wasmtest.I32, wasmtest.I64
	g.Export("memory", wasmtest.KindMemory, g.Memory(1))
	g.ExportFunc("runnel_alloc", g.Func(g.Type([]byte{i32}, []byte{i32}), nil, alloc.End()))
	g.ExportFunc("handler", g.Func(g.Type([]byte{i32, i32}, []byte{i64}), nil, handle.End()))
	return g.Bytes()
}

// at allocates at a fixed address.
func at(ptr int32) *wasmtest.Code { return body().I32Const(ptr) }

// echo returns the event.
func echo() *wasmtest.Code {
	return body().
		LocalGet(0).Op(wasmtest.I64ExtendU).I64Const(32).Op(wasmtest.I64Shl).
		LocalGet(1).Op(wasmtest.I64ExtendU).Op(wasmtest.I64Or)
}

// result returns ptr<<32 | len.
func result(ptr, n uint32) *wasmtest.Code {
	return body().I64Const(int64(uint64(ptr)<<32 | uint64(n)))
}

// printer is a command that writes these bytes to stdout.
func printer(text string) []byte {
	g := newGuest("fd_write")
	g.Data(0, append([]byte{16, 0, 0, 0, byte(len(text)), byte(len(text) >> 8), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, text...))
	return g.command(nil, body().
		I32Const(1).I32Const(0).I32Const(1).I32Const(8).Call(g.imports["fd_write"]).Op(wasmtest.Drop))
}

func TestReactor(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	for name, c := range map[string]struct {
		wasm   []byte
		output string
		code   runnel.Code
		says   string
	}{
		"echo":                  {newGuest().reactor(at(1024), echo()), `{"trigger":"sql","payload":{"n":1}}`, "", ""},
		"nothing":               {newGuest().reactor(at(1024), result(0, 0)), "", "", ""},
		"alloc outside":         {newGuest().reactor(at(-1), echo()), "", runnel.CodeFunctionError, "runnel_alloc"},
		"alloc at the end":      {newGuest().reactor(at(65536-10), echo()), "", runnel.CodeFunctionError, "does not fit"},
		"result outside":        {newGuest().reactor(at(0), result(65536, 1)), "", runnel.CodeFunctionError, "outside of its memory"},
		"result wraps around":   {newGuest().reactor(at(0), result(1<<32-1, 100)), "", runnel.CodeFunctionError, "outside of its memory"},
		"result of 4 GB":        {newGuest().reactor(at(0), result(0, 1<<32-1)), "", runnel.CodeFunctionError, "6 MB"},
		"result is not JSON":    {newGuest().reactor(at(0), result(40000, 10)), "", runnel.CodeFunctionError, "not JSON"},
		"handler traps":         {newGuest().reactor(at(0), body().Op(wasmtest.Unreachable)), "", runnel.CodeFunctionError, "unreachable"},
		"alloc traps":           {newGuest().reactor(body().Op(wasmtest.Unreachable), echo()), "", runnel.CodeFunctionError, "unreachable"},
		"result before the end": {newGuest().reactor(at(0), result(0, 1)), "", runnel.CodeFunctionError, "not JSON"},
		"exit 0": {func() []byte {
			g := newGuest("proc_exit")
			return g.reactor(at(0), body().I32Const(0).Call(g.imports["proc_exit"]).Op(wasmtest.Unreachable))
		}(), "", runnel.CodeFunctionError, "proc_exit(0)"},
		"initialize runs first": {func() []byte {
			g := newGuest()
			global := g.Global(wasmtest.I32, true, body().I32Const(0).End())
			g.ExportFunc("_initialize", g.Func(g.Type(nil, nil), nil, body().I32Const(1).GlobalSet(global).End()))
			return g.reactor(at(0), body().GlobalGet(global).If(wasmtest.I64).Add(echo()).Else().Op(wasmtest.Unreachable).End())
		}(), `{"trigger":"sql","payload":{"n":1}}`, "", ""},
		"initialize loops": {func() []byte {
			g := newGuest()
			g.ExportFunc("_initialize", g.Func(g.Type(nil, nil), nil, body().Call(0).End()))
			return g.reactor(at(0), echo())
		}(), "", runnel.CodeStackOverflow, ""},
		"stdout is a log": {func() []byte {
			g := newGuest("fd_write")
			g.Data(0, []byte("\x08\x00\x00\x00\x06\x00\x00\x00hello\n"))
			return g.reactor(at(1024), body().
				I32Const(1).I32Const(0).I32Const(1).I32Const(64).Call(g.imports["fd_write"]).Op(wasmtest.Drop).Add(echo()))
		}(), `{"trigger":"sql","payload":{"n":1}}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, r, c.wasm)
			if c.code != "" {
				wantCode(t, err, c.code)
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %q does not say %q", err, c.says)
				}
				return
			}
			if err != nil || string(out.Output) != c.output {
				t.Errorf("got %s, %v, want %s", out.Output, err, c.output)
			}
			if name == "stdout is a log" && (len(out.Logs) != 1 || out.Logs[0].Message != "hello") {
				t.Errorf("logs are %+v", out.Logs)
			}
		})
	}
}

func TestReactorResultIsACopy(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	wasm := newGuest().reactor(at(1024), echo())
	first, err := run(t, r, wasm)
	if err != nil {
		t.Fatal(err)
	}
	// Were it guest memory, reading it after the instance is gone would crash.
	call := callOf(wasm)
	call.Event = []byte(`{"other":"event that is long enough"}`)
	if _, err := r.Run(context.Background(), call); err != nil {
		t.Fatal(err)
	}
	if string(first.Output) != `{"trigger":"sql","payload":{"n":1}}` {
		t.Errorf("the first result became %s", first.Output)
	}
}

func TestCommandResult(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	for name, c := range map[string]struct {
		stdout, output, says string
	}{
		"object":            {`{"a":1}`, `{"a":1}`, ""},
		"white space":       {" \n[1, 2]\r\n", `[1, 2]`, ""},
		"null is a result":  {`null`, `null`, ""},
		"nothing":           {"", "", ""},
		"only white space":  {"\n", "", ""},
		"text":              {"done!", "", `"done!"`},
		"two documents":     {"{}{}", "", "not JSON"},
		"invalid UTF-8":     {"\"\xff\"", "", "UTF-8"},
		"NUL":               {"\x00", "", "not JSON"},
		"long text is cut":  {strings.Repeat("x", 1000), "", `xxx..."`},
		"number kept as is": {"1e400", "1e400", ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, r, printer(c.stdout))
			if c.says != "" {
				wantCode(t, err, runnel.CodeFunctionError)
				if !strings.Contains(err.Error(), c.says) || len(err.Error()) > 400 {
					t.Errorf("error %q does not say %s", err, c.says)
				}
				return
			}
			if err != nil || string(out.Output) != c.output {
				t.Errorf("got %q, %v, want %q", out.Output, err, c.output)
			}
			if c.output == "" && out.Output != nil {
				t.Error("nothing is not nil")
			}
		})
	}
}

func TestCommandExit(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	exiting := func(code int32, stderr string) []byte {
		g := newGuest("fd_write", "proc_exit")
		g.Data(0, append([]byte{16, 0, 0, 0, byte(len(stderr)), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, stderr...))
		return g.command(nil, body().
			I32Const(2).I32Const(0).I32Const(1).I32Const(8).Call(g.imports["fd_write"]).Op(wasmtest.Drop).
			I32Const(code).Call(g.imports["proc_exit"]).Op(wasmtest.Unreachable))
	}
	if out, err := run(t, r, exiting(0, "bye")); err != nil || out.Output != nil || len(out.Logs) != 1 || out.Logs[0].Message != "bye" {
		t.Errorf("exit 0: %+v, %v", out, err)
	}
	for stderr, says := range map[string]string{
		"":                               "nothing to stderr",
		"first\nno such order\n\n":       "code 3: no such order",
		"panic: oh no\n\nmain.go:7 +0x1": "code 3: panic: oh no",
		"half a line":                    "code 3: half a line",
	} {
		_, err := run(t, r, exiting(3, stderr))
		wantCode(t, err, runnel.CodeFunctionError)
		if !strings.Contains(err.Error(), says) {
			t.Errorf("stderr %q: error %q does not say %q", stderr, err, says)
		}
	}
}

func TestTrapShowsTheGuestsStack(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	// Twelve functions in a row, the last one traps: index 11 is the deepest.
	g := newGuest()
	v := g.Type(nil, nil)
	for i := range uint32(11) {
		// A loop keeps each a function of its own in every compiler.
		g.Func(v, nil, body().Loop(wasmtest.Empty).Call(i+1).End().End())
	}
	g.Func(v, nil, body().Op(wasmtest.Unreachable).End())
	g.Export("memory", wasmtest.KindMemory, g.Memory(1))
	g.ExportFunc("_start", 0)
	_, err := run(t, r, g.Bytes())
	wantCode(t, err, runnel.CodeFunctionError)
	if want := "the function trapped: unreachable\n\tat $11()\n\tat $10()\n"; !strings.Contains(err.Error(), want) {
		t.Errorf("error %q does not show %q", err, want)
	}
	if !strings.HasSuffix(err.Error(), "\tat $4()\n\t...") {
		t.Errorf("error %q does not end after %d frames", err, trapFrames)
	}
}
