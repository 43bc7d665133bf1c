package meter_test

import (
	"bytes"
	"context"
	"encoding/binary"
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

	f.Fuzz(checkRewrite)
}

// FuzzBody puts the bytes where they meet the rules of instructions: in the body
// of a function, of a module that has something of everything.
func FuzzBody(f *testing.F) {
	for _, body := range runaways() {
		f.Add(body(w.New()).Bytes())
	}
	for _, body := range recursions() {
		f.Add(body(w.New()).Bytes())
	}
	f.Add(generate([]byte("other choices to begin with, as random as the first ones")).wasm)
	f.Fuzz(func(t *testing.T, body []byte) {
		m := w.New()
		nothing := m.Type(nil, nil)
		unary := m.Type(w.Types(w.I32), w.Types(w.I32))
		m.ImportFunc("env", "f", unary)
		m.Memory(1, 2)
		m.Table(w.FuncRef, 10)
		m.Table(w.ExternRef, 10)
		m.Global(w.I32, true, w.Body().I32Const(0).End())
		m.Global(w.I64, true, w.Body().I64Const(0).End())
		m.PassiveData([]byte("data"))
		m.Func(nothing, w.Types(w.I32, w.I64, w.F32, w.F64, w.V128, w.FuncRef, w.ExternRef), w.Body().Op(body...))
		m.Elem(0, m.Func(unary, nil, w.Body().LocalGet(0).End()))
		checkRewrite(t, m.Bytes())
	})
}

// checkRewrite checks what holds for any input.
func checkRewrite(t *testing.T, wasm []byte) {
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
	before, after := compile(withoutCustom(wasm)), compile(m.Wasm)
	if before == nil && after != nil {
		t.Fatalf("rewriting broke a valid module: %v", after)
	}
	if before != nil && after == nil {
		t.Fatalf("rewriting mended an invalid module: %v", before)
	}
}

// withoutCustom drops the custom sections of a module that Rewrite has accepted.
// They mean nothing and are not in the output, but the engine is strict about
// them, and gives a name section all the memory that it says it needs.
func withoutCustom(wasm []byte) []byte {
	out := bytes.Clone(wasm[:8])
	for rest := wasm[8:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		end := 1 + n + int(size)
		if rest[0] != 0 {
			out = append(out, rest[:end]...)
		}
		rest = rest[end:]
	}
	return out
}

// compile tells what the engine says to a module.
func compile(wasm []byte) error {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(ctx)
	_, err := r.CompileModule(ctx, wasm)
	return err
}
