package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	i32, i64 := wasmtest.I32, wasmtest.I64
	importing := func(module, name string, params, results []byte) []byte {
		g := newGuest()
		g.ImportFunc(module, name, g.Type(params, results))
		return g.command(nil, body())
	}
	exporting := func(build func(g guest)) []byte {
		g := newGuest()
		build(g)
		return g.Bytes()
	}
	for name, c := range map[string]struct {
		wasm []byte
		kind Kind
		code runnel.Code
		says []string
	}{
		"command": {hello(), Command, "", nil},
		"reactor": {newGuest().reactor(at(0), echo()), Reactor, "", nil},
		"reactor with a _start": {func() []byte {
			g := newGuest()
			g.ExportFunc("_start", g.Func(g.Type(nil, nil), nil, body().Op(wasmtest.Unreachable).End()))
			return g.reactor(at(0), echo())
		}(), Reactor, "", nil},
		"command that exports a handler": {func() []byte {
			g := newGuest()
			g.ExportFunc("handler", g.Func(g.Type(nil, nil), nil, body().End()))
			return g.command(nil, body())
		}(), Command, "", nil},

		"empty":     {nil, "", runnel.CodeInvalidModule, []string{"not a core WebAssembly module"}},
		"text":      {[]byte("(module)"), "", runnel.CodeInvalidModule, []string{"not a core WebAssembly module"}},
		"component": {[]byte("\x00asm\x0d\x00\x01\x00"), "", runnel.CodeInvalidModule, []string{"component"}},
		"too large": {make([]byte, runnel.MaxModuleSize+1), "", runnel.CodeTooLarge, []string{"10 MB", "strip"}},
		"cut off":   {hello()[:40], "", runnel.CodeInvalidModule, nil},
		"type error": {newGuest().command(nil, body().I64Const(1).Op(wasmtest.I32Eqz, wasmtest.Drop)),
			"", runnel.CodeInvalidModule, []string{"type"}},
		"stack underflow": {newGuest().command(nil, body().Op(wasmtest.Drop)), "", runnel.CodeInvalidModule, nil},

		"unknown imports": {func() []byte {
			g := newGuest("fd_write")
			g.ImportFunc("env", "system", g.Type(nil, nil))
			g.ImportFunc("wasi_snapshot_preview1", "sock_connect", g.Type(nil, nil))
			g.ImportFunc("env", "system", g.Type(nil, nil))
			return g.command(nil, body())
		}(), "", runnel.CodeInvalidModule, []string{": env.system, wasi_snapshot_preview1.sock_connect ("}},
		"old WASI":   {importing("wasi_unstable", "fd_write", []byte{i32, i32, i32, i32}, []byte{i32}), "", runnel.CodeInvalidModule, []string{"wasi_unstable.fd_write"}},
		"host calls": {importing("runnel", "db_query", []byte{i32, i32, i32, i32}, []byte{i32}), Command, "", nil},
		"wrong type": {importing("runnel", "log", []byte{i32}, []byte{i64}), "", runnel.CodeInvalidModule, []string{"runnel.log is (i32, i32, i32) -> (), not (i32) -> (i64)"}},
		"the tick":   {importing("mr", "tick", []byte{i32}, []byte{i32}), "", runnel.CodeInvalidModule, []string{"mr"}},
		"memory import": {func() []byte {
			g := newGuest()
			g.Import("env", "memory", wasmtest.KindMemory, []byte{0, 1})
			g.ExportFunc("_start", g.Func(g.Type(nil, nil), nil, body().End()))
			return g.Bytes()
		}(), "", runnel.CodeInvalidModule, []string{"env.memory"}},
		"global for a function": {func() []byte {
			g := newGuest()
			g.Import("runnel", "log", wasmtest.KindGlobal, []byte{i32, 0})
			return g.command(nil, body())
		}(), "", runnel.CodeInvalidModule, []string{"runnel.log is a function, not a global"}},
		"every problem at once": {func() []byte {
			g := newGuest()
			g.ImportFunc("a", "b", g.Type(nil, nil))
			g.ImportFunc("runnel", "db_query", g.Type(nil, nil))
			g.ImportFunc("runnel", "env", g.Type(nil, nil))
			return g.command(nil, body())
		}(), "", runnel.CodeInvalidModule, []string{"a.b", "runnel.db_query", "runnel.env is"}},

		"nothing to call": {exporting(func(g guest) { g.Memory(1) }), "", runnel.CodeInvalidModule, []string{"_start", "wasip1", "runnel_alloc"}},
		"_start with a parameter": {exporting(func(g guest) {
			g.ExportFunc("_start", g.Func(g.Type([]byte{i32}, nil), nil, body().End()))
		}), "", runnel.CodeInvalidModule, []string{"_start as a function () -> ()"}},
		"_start is a memory": {exporting(func(g guest) {
			g.Export("_start", wasmtest.KindMemory, g.Memory(1))
		}), "", runnel.CodeInvalidModule, []string{"_start as a function"}},
		"handler alone": {exporting(func(g guest) {
			g.ExportFunc("handler", g.Func(g.Type([]byte{i32, i32}, []byte{i64}), nil, body().I64Const(0).End()))
		}), "", runnel.CodeInvalidModule, []string{"its memory as memory", "runnel_alloc, a function (i32) -> (i32)"}},
		"alloc alone": {exporting(func(g guest) {
			g.ExportFunc("runnel_alloc", g.Func(g.Type([]byte{i32}, []byte{i32}), nil, body().I32Const(0).End()))
		}), "", runnel.CodeInvalidModule, []string{"handler, a function (i32, i32) -> (i64)"}},
		"_initialize with a result": {func() []byte {
			g := newGuest()
			g.ExportFunc("_initialize", g.Func(g.Type(nil, []byte{i32}), nil, body().I32Const(0).End()))
			return g.reactor(at(0), echo())
		}(), "", runnel.CodeInvalidModule, []string{"_initialize as a function () -> ()"}},
		"over 512 MB": {exporting(func(g guest) {
			g.Memory(8193)
			g.ExportFunc("_start", g.Func(g.Type(nil, nil), nil, body().End()))
		}), "", runnel.CodeInvalidModule, []string{"memory"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info, err := Check(context.Background(), c.wasm)
			if info.Hash != hash(c.wasm) || info.Size != int64(len(c.wasm)) {
				t.Errorf("info is %+v", info)
			}
			// What Check says, Run says.
			_, runErr := run(t, r, c.wasm)
			if c.code == "" {
				if err != nil || info.Kind != c.kind {
					t.Errorf("got %+v, %v", info, err)
				}
				if runErr != nil {
					t.Errorf("Run: %v", runErr)
				}
				return
			}
			wantCode(t, err, c.code)
			wantCode(t, runErr, c.code)
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) || !strings.Contains(runErr.Error(), s) {
					t.Errorf("errors %q and %q do not say %q", err, runErr, s)
				}
			}
		})
	}
}

// What people deploy by mistake, and what they are told to do.
func TestCheckSaysWhatToDo(t *testing.T) {
	t.Parallel()
	importing := func(module string, names ...string) []byte {
		g := newGuest()
		for _, name := range names {
			g.ImportFunc(module, name, g.Type(nil, nil))
		}
		return g.command(nil, body())
	}
	exporting := func(name string, params, results []byte) []byte {
		g := newGuest()
		g.Export("memory", wasmtest.KindMemory, g.Memory(1))
		b := body()
		if len(results) > 0 {
			b.Op(wasmtest.Unreachable)
		}
		g.ExportFunc(name, g.Func(g.Type(params, results), nil, b.End()))
		return g.Bytes()
	}
	i32, i64 := wasmtest.I32, wasmtest.I64
	memory := newGuest()
	memory.Import("env", "memory", wasmtest.KindMemory, []byte{0, 1})
	for name, c := range map[string]struct {
		wasm []byte
		says []string
	}{
		"component":              {[]byte("\x00asm\x0d\x00\x01\x00\x07\x00"), []string{"component", "wasm32-wasip1", "wasip2"}},
		"core module for WASI 2": {importing("wasi:cli/stdout@0.2.0", "get-stdout"), []string{"wasi:cli/stdout@0.2.0.get-stdout", "wasm32-wasip1"}},
		"wasm-bindgen":           {importing("wbg", "__wbindgen_throw", "__wbg_now"), []string{"wbg.__wbg_now, wbg.__wbindgen_throw", "wasm-bindgen"}},
		"wasm-pack":              {importing("./app_bg.js", "__wbindgen_throw"), []string{"wasm-bindgen"}},
		"Emscripten":             {importing("env", "emscripten_notify_memory_growth"), []string{"-sSTANDALONE_WASM"}},
		"Emscripten, minified":   {importing("a", "a", "b"), []string{"a.a, a.b", "-sSTANDALONE_WASM"}},
		"Go for browsers":        {importing("gojs", "runtime.wasmExit"), []string{"GOOS=wasip1"}},
		"AssemblyScript":         {importing("env", "abort"), []string{"env.abort", "asconfig.json"}},
		"Extism before 1.0":      {importing("env", "extism_input_length"), []string{"PDK of before 1.0"}},
		"undefined in C":         {importing("env", "compute_total"), []string{"env.compute_total", "linking"}},
		"sockets":                {importing("wasi_snapshot_preview1", "sock_connect"), []string{"http_fetch"}},
		"imported memory":        {memory.Bytes(), []string{"env.memory", "--import-memory"}},
		"typo in runnel":         {importing("runnel", "db_qeury"), []string{"there is runnel.db_query"}},
		"typo in Extism":         {importing("extism:host/env", "output_sett"), []string{"there is extism:host/env.output_set"}},
		"typo in an export": {func() []byte {
			g := newGuest()
			g.Export("memory", wasmtest.KindMemory, g.Memory(1))
			g.ExportFunc("runnel_alloc", g.Func(g.Type([]byte{i32}, []byte{i32}), nil, body().I32Const(0).End()))
			g.ExportFunc("handel", g.Func(g.Type([]byte{i32, i32}, []byte{i64}), nil, body().I64Const(0).End()))
			return g.Bytes()
		}(), []string{"handel", "name it handler"}},
		"other names":      {exporting("main", nil, []byte{i32}), []string{"it exports main", "_start"}},
		"nothing exported": {func() []byte { g := newGuest(); g.Memory(1); return g.Bytes() }(), []string{"exports no function", "export_name", "no_mangle", "wasmexport"}},
		"hundreds": {importing("env", func() (names []string) {
			for i := range 300 {
				names = append(names, fmt.Sprintf("%03d%s", i, strings.Repeat("x", 500)))
			}
			return names
		}()...), []string{"and 280 more"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Check(t.Context(), c.wasm)
			wantCode(t, err, runnel.CodeInvalidModule)
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
			if len(err.Error()) > 8000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestCheckHonoursItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Check(ctx, hello())
	wantCode(t, err, runnel.CodeCancelled)
}

func FuzzCheck(f *testing.F) {
	for _, wasm := range [][]byte{hello(), spin(), recurse(), grow(), counter(), sleeper(time.Millisecond), newGuest().reactor(at(0), echo()), printer("{}"),
		newGuest("alloc").plug(nil, body().I32Const(0)), newGuest("input_offset", "error_set").plug(nil, body().I32Const(0))} {
		f.Add(wasm)
		f.Add(wasm[:len(wasm)/2])
		f.Add(bytes.Replace(wasm, []byte{0x0b}, []byte{0x0c}, 1))
	}
	r := newRuntime(f, Config{CacheBytes: 1})
	f.Fuzz(func(t *testing.T, wasm []byte) {
		_, err := Check(context.Background(), wasm)
		if code := runnel.CodeOf(err); err != nil && code != runnel.CodeInvalidModule && code != runnel.CodeTooLarge {
			t.Fatal(err)
		}
		call := callOf(wasm)
		call.Timeout, call.Memory = 20*time.Millisecond, runnel.MinMemory
		_, runErr := r.Run(context.Background(), call)
		switch code := runnel.CodeOf(runErr); {
		case err == nil && (code == runnel.CodeInvalidModule || code == runnel.CodeTooLarge):
			t.Fatalf("Check accepts what Run refuses: %v", runErr)
		case err != nil && code != runnel.CodeOf(err):
			t.Fatalf("Check says %v, Run says %v", err, runErr)
		case runErr != nil && code == runnel.CodeInternal:
			t.Fatal(runErr)
		}
		if n := r.Mapped(); n != 0 {
			t.Fatalf("%d bytes are still mapped", n)
		}
	})
}
