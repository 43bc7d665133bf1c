package meter_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero/api"

	w "github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sandbox/meter"
)

// Each limit holds: a module at the limit is accepted, and one beyond it is not.
func TestFUNC_I4_LimitsHold(t *testing.T) {
	t.Parallel()
	nop := func() *w.Code { return w.Body().End() }
	tests := map[string]struct {
		set func(*meter.Limits) // lowers the limit to 10
		add func(m *w.Module, n int)
	}{
		"Types": {func(l *meter.Limits) { l.Types = 10 }, func(m *w.Module, n int) {
			for i := range n {
				m.Type(bytes.Repeat([]byte{w.I32}, i), nil)
			}
		}},
		"TypeValues": {func(l *meter.Limits) { l.TypeValues = 10 }, func(m *w.Module, n int) {
			m.Type(bytes.Repeat([]byte{w.I32}, n-5), bytes.Repeat([]byte{w.I32}, 5))
		}},
		"TypeTotal": {func(l *meter.Limits) { l.TypeTotal = 10 }, func(m *w.Module, n int) {
			m.Type(bytes.Repeat([]byte{w.I32}, 4), nil)
			m.Type(bytes.Repeat([]byte{w.I32}, n-4), nil)
		}},
		"Imports": {func(l *meter.Limits) { l.Imports = 10 }, func(m *w.Module, n int) {
			for range n {
				m.ImportFunc("env", "f", 0)
			}
		}},
		"Exports": {func(l *meter.Limits) { l.Exports = 10 }, func(m *w.Module, n int) {
			m.Func(0, nil, nop())
			for i := range n {
				m.ExportFunc(string(rune('a'+i)), 0)
			}
		}},
		"Functions": {func(l *meter.Limits) { l.Functions = 10 }, func(m *w.Module, n int) {
			for range n {
				m.Func(0, nil, nop())
			}
		}},
		"BodyBytes": {func(l *meter.Limits) { l.BodyBytes = 10 }, func(m *w.Module, n int) {
			m.Func(0, nil, w.Body().Op(make([]byte, n-2)...).End())
		}},
		"Locals": {func(l *meter.Limits) { l.Locals = 10 }, func(m *w.Module, n int) {
			m.RawFunc(m.Type(w.Types(w.I32), nil), []byte{2, 3, w.I64, byte(n - 4), w.I32, 0x0b})
		}},
		"LocalsTotal": {func(l *meter.Limits) { l.LocalsTotal = 10 }, func(m *w.Module, n int) {
			m.RawFunc(0, []byte{1, 5, w.I64, 0x0b})
			m.RawFunc(0, []byte{1, byte(n - 5), w.I64, 0x0b})
		}},
		"Nesting": {func(l *meter.Limits) { l.Nesting = 10 }, func(m *w.Module, n int) {
			c := w.Body()
			for range n {
				c.Block(w.Empty)
			}
			for range n {
				c.End()
			}
			m.Func(0, nil, c.End())
		}},
		"BranchTargets": {func(l *meter.Limits) { l.BranchTargets = 10 }, func(m *w.Module, n int) {
			m.Func(0, nil, w.Body().I32Const(0).BrTable(make([]uint32, n)...).End())
		}},
		"BranchTotal": {func(l *meter.Limits) { l.BranchTotal = 10 }, func(m *w.Module, n int) {
			m.Func(0, nil, w.Body().Block(w.Empty).I32Const(0).BrTable(0, 0, 0, 0).End().I32Const(0).BrTable(make([]uint32, n-4)...).End())
		}},
		"Tables": {func(l *meter.Limits) { l.Tables = 10 }, func(m *w.Module, n int) {
			for range n {
				m.Table(w.FuncRef, 0)
			}
		}},
		"TableElements": {func(l *meter.Limits) { l.TableElements = 10 }, func(m *w.Module, n int) {
			m.Table(w.FuncRef, 4)
			m.Table(w.FuncRef, uint32(n)-4)
		}},
		"element segments": {func(l *meter.Limits) { l.Elements = 10 }, func(m *w.Module, n int) {
			m.Table(w.FuncRef, 1)
			for range n {
				m.Elem(0)
			}
		}},
		"Elements": {func(l *meter.Limits) { l.Elements = 10 }, func(m *w.Module, n int) {
			m.Table(w.FuncRef, 10)
			m.Func(0, nil, nop())
			m.Elem(0, 0, 0, 0, 0)
			m.Elem(0, make([]uint32, n-4)...)
		}},
		"MemoryPages": {func(l *meter.Limits) { l.MemoryPages = 10 }, func(m *w.Module, n int) { m.Memory(uint32(n)) }},
		"DataSegments": {func(l *meter.Limits) { l.DataSegments = 10 }, func(m *w.Module, n int) {
			m.Memory(1)
			for range n {
				m.Data(0, nil)
			}
		}},
		"Globals": {func(l *meter.Limits) { l.Globals = 10 }, func(m *w.Module, n int) {
			for range n {
				m.Global(w.I32, true, w.Body().I32Const(0).End())
			}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			build := func(n int) []byte {
				m := w.New()
				m.Type(nil, nil)
				test.add(m, n)
				return m.Bytes()
			}
			limits := meter.DefaultLimits()
			test.set(&limits)
			if _, err := meter.Rewrite(build(10), limits); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			refused(t, build(11), limits, meter.OverLimit)
			if _, err := meter.Rewrite(build(11), meter.DefaultLimits()); err != nil {
				t.Errorf("with default limits: %v", err)
			}
		})
	}
	t.Run("ModuleBytes", func(t *testing.T) {
		limits := meter.DefaultLimits()
		m := w.New()
		m.Custom("c", make([]byte, limits.ModuleBytes))
		limits.ModuleBytes = len(m.Bytes())
		if _, err := meter.Rewrite(m.Bytes(), limits); err != nil {
			t.Errorf("at the limit: %v", err)
		}
		limits.ModuleBytes--
		refused(t, m.Bytes(), limits, meter.OverLimit)
	})
}

// Small modules that kill an engine which takes them at their word.
func TestFUNC_I4_SmallBombsAreRefused(t *testing.T) {
	t.Parallel()
	huge := w.Uint(4_000_000_000)
	tests := map[string]func(*w.Module){
		"4e9 locals": func(m *w.Module) { m.RawFunc(m.Type(nil, nil), slices.Concat([]byte{1}, huge, []byte{w.I64, 0x0b})) },
		"2 x 2^31 locals": func(m *w.Module) {
			m.RawFunc(m.Type(nil, nil), slices.Concat([]byte{2}, w.Uint(1<<31), []byte{w.I64}, w.Uint(1<<31), []byte{w.I32, 0x0b}))
		},
		"table of 1e8":     func(m *w.Module) { m.Table(w.FuncRef, 100_000_000) },
		"two of 60000":     func(m *w.Module) { m.Table(w.FuncRef, 60_000); m.Table(w.FuncRef, 60_000) },
		"memory of 64 GiB": func(m *w.Module) { m.Memory(65536) },
		"1000 x 50000 locals": func(m *w.Module) {
			for range 1000 {
				m.RawFunc(m.Type(nil, nil), slices.Concat([]byte{1}, w.Uint(50_000), []byte{w.I64, 0x0b}))
			}
		},
	}
	for name, add := range tests {
		t.Run(name, func(t *testing.T) {
			m := w.New()
			add(m)
			refused(t, m.Bytes(), meter.DefaultLimits(), meter.OverLimit)
		})
	}
}

// A table that may grow without bound grows to the limit and no further.
func TestFUNC_I4_TablesAreClamped(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	grow := func(m *w.Module, table uint32) {
		f := m.Func(m.Type(w.Types(w.I32), w.Types(w.I32)), nil,
			w.Body().Op(0xd0, w.FuncRef).LocalGet(0).Op(0xfc, 15).Op(w.Uint(table)...).End())
		m.ExportFunc(string(rune('a'+table)), f)
	}
	m := w.New()
	m.Table(w.FuncRef, 10)        // unlimited
	m.Table(w.FuncRef, 20, 1<<31) // beyond the limit
	m.Table(w.FuncRef, 5, 6)      // within the limit
	for i := range uint32(3) {
		grow(m, i)
	}
	limits := meter.DefaultLimits()
	limits.TableElements = 65 // 35 at the start, 10 more for each
	out, err := meter.Rewrite(m.Bytes(), limits)
	if err != nil {
		t.Fatal(err)
	}
	r := newRuntime(t)
	instantiateTick(t, r, func(context.Context, []uint64) int32 { return 1000 })
	mod, err := r.Instantiate(ctx, out.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		table string
		by    int32
		want  int32
	}{
		{"a", 11, -1}, {"a", 10, 10}, {"a", 1, -1},
		{"b", 11, -1}, {"b", 10, 20}, {"b", 1, -1},
		{"c", 2, -1}, {"c", 1, 5}, {"c", 1, -1},
	} {
		got, err := mod.ExportedFunction(step.table).Call(ctx, api.EncodeI32(step.by))
		if err != nil || api.DecodeI32(got[0]) != step.want {
			t.Errorf("growing %s by %d: %v, %v; want %d", step.table, step.by, got, err, step.want)
		}
	}
}
