package meter_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/tetratelabs/wazero"

	w "github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sandbox/meter"
)

// smallLimits keep the engine fast on what a fuzzer finds.
func smallLimits() meter.Limits {
	l := meter.DefaultLimits()
	l.ModuleBytes = 1 << 16
	l.LocalsTotal = 100_000
	l.Work = 500_000
	l.TableElements = 1000
	l.MemoryPages = 10
	return l
}

// Whatever the bytes are: Rewrite returns a module or an *Error, the same each
// time, and it neither breaks a valid module nor mends an invalid one.
func FuzzRewrite(f *testing.F) {
	for _, body := range runaways() {
		f.Add(guest(body))
	}
	for _, body := range recursions() {
		f.Add(guest(body))
	}
	f.Add(generate([]byte("some choices to begin with, more or less at random")).wasm)
	names := w.New()
	names.ImportFunc("env", "f", names.Type(w.Types(w.I32, w.F64), w.Types(w.I64, w.V128)))
	names.Start(names.Func(names.Type(nil, nil), w.Types(w.V128, w.FuncRef, w.ExternRef), w.Body().End()))
	names.Custom("name", nameMap(0, "f", 1, "start"))
	f.Add(names.Bytes())

	ctx := context.Background()
	compiles := func(wasm []byte) error {
		r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
		defer r.Close(ctx)
		_, err := r.CompileModule(ctx, wasm)
		return err
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := meter.Rewrite(wasm, smallLimits())
		if err != nil {
			var e *meter.Error
			if !errors.As(err, &e) || e.Message == "" || e.Offset < 0 || e.Offset > len(wasm) {
				t.Fatalf("unhelpful error %#v", err)
			}
			return
		}
		again, err := meter.Rewrite(wasm, smallLimits())
		if err != nil || !bytes.Equal(m.Wasm, again.Wasm) {
			t.Fatalf("a second time: %v, or a different module", err)
		}
		before, after := compiles(wasm), compiles(m.Wasm)
		if before == nil && after != nil {
			t.Fatalf("rewriting broke a valid module: %v", after)
		}
		// The engine reads names, which the output has only when they are
		// sound, so that a module can be invalid for its names alone.
		if before != nil && after == nil && !bytes.Contains(wasm, []byte("\x04name")) {
			t.Fatalf("rewriting mended an invalid module: %v", before)
		}
	})
}
