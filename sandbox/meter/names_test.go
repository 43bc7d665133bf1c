package meter_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	w "github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sandbox/meter"
)

// nameMap encodes a name subsection of functions.
func nameMap(entries ...any) []byte {
	b := w.Uint(uint32(len(entries) / 2))
	for i := 0; i < len(entries); i += 2 {
		name := entries[i+1].(string)
		b = slices.Concat(b, w.Uint(uint32(entries[i].(int))), w.Uint(uint32(len(name))), []byte(name))
	}
	return w.Section(nil, 1, b)
}

// Stack traces of rewritten modules show the names of the guest's functions.
func TestFunctionNamesAreKept(t *testing.T) {
	t.Parallel()
	m := w.New()
	nothing := m.Type(nil, nil)
	m.ImportFunc("env", "f", nothing)
	inner := m.Func(nothing, nil, w.Body().Op(w.Unreachable).End())
	m.ExportFunc("run", m.Func(nothing, nil, w.Body().Call(inner).End()))
	locals := w.Section(nil, 2, []byte{0})
	m.Custom("name", append(nameMap(0, "imported", 1, "inner", 2, "outer"), locals...))

	ctx := t.Context()
	r := newRuntime(t)
	instantiateTick(t, r, func(context.Context, []uint64) int32 { return 1000 })
	if _, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func() {}).Export("f").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	mod, err := r.Instantiate(ctx, rewrite(t, m.Bytes()).Wasm)
	if err != nil {
		t.Fatal(err)
	}
	_, err = mod.ExportedFunction("run").Call(ctx)
	if err == nil || !strings.Contains(err.Error(), ".inner()\n\t.outer()") {
		t.Errorf("stack trace without names: %v", err)
	}
}

// Names are optional: a broken or large section is dropped, not refused, and so
// are all other custom sections.
func TestOtherCustomSectionsAreDropped(t *testing.T) {
	t.Parallel()
	build := func(name string, data []byte) []byte {
		m := w.New()
		m.Func(m.Type(nil, nil), nil, w.Body().End())
		if name != "" {
			m.Custom(name, data)
		}
		return m.Bytes()
	}
	want := rewrite(t, build("", nil)).Wasm
	for what, wasm := range map[string][]byte{
		"debug information":    build(".debug_info", make([]byte, 100)),
		"names of nothing":     build("name", nil),
		"module name only":     build("name", w.Section(nil, 0, []byte{1, 'm'})),
		"unknown function":     build("name", nameMap(1, "f")),
		"function named twice": build("name", nameMap(0, "f", 0, "g")),
		"name not UTF-8":       build("name", nameMap(0, "\xff")),
		"huge count":           build("name", w.Section(nil, 1, w.Uint(1<<32-1))),
		"cut off":              build("name", nameMap(0, "function")[:5]),
		"too large":            build("name", nameMap(0, strings.Repeat("f", meter.DefaultLimits().NameBytes))),
	} {
		if got := rewrite(t, wasm).Wasm; !bytes.Equal(got, want) {
			t.Errorf("%s: changed the output", what)
		}
	}
}
