package meter_test

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero/api"

	w "github.com/runnelhq/runnel/internal/wasmtest"
)

// walkers are guests that do much between two places where they would have to look at
// their fuel: neither a loop nor the entry of a function. What they do they count in
// global 0.
func walkers() map[string]func(*w.Module) *w.Code {
	const did = 0
	// steps does n steps of ten instructions.
	steps := func(c *w.Code, n int) *w.Code {
		for range n {
			c.I32Const(77).I32Const(5).Op(w.I32RemU, w.Drop, w.Nop, w.Nop)
			c.GlobalGet(did).I64Const(10).Op(w.I64Add).GlobalSet(did)
		}
		return c
	}
	// recursion calls itself as often as its parameter says, then does the rest. It is
	// the function behind those defined before.
	recursion := func(m *w.Module, before uint32, rest func(*w.Code)) *w.Code {
		c := w.Body().LocalGet(0).If(w.Empty).LocalGet(0).I32Const(1).Op(w.I32Sub).Call(before).End()
		rest(c)
		f := m.Func(m.Type(w.Types(w.I32), nil), nil, c.End())
		return w.Body().I32Const(500).Call(f).End()
	}
	return map[string]func(*w.Module) *w.Code{
		"a long way": func(*w.Module) *w.Code { return steps(w.Body(), 20_000).End() },
		"a long way in parts": func(*w.Module) *w.Code {
			c := w.Body()
			for range 400 {
				steps(c.GlobalGet(did).I64Const(-1).Op(i64Ne).If(w.Empty), 50).End()
			}
			return c.End()
		},
		"the way back from a recursion": func(m *w.Module) *w.Code {
			return recursion(m, 0, func(c *w.Code) { steps(c, 2000) })
		},
		"a way back in parts": func(m *w.Module) *w.Code {
			return recursion(m, 0, func(c *w.Code) {
				for range 40 {
					steps(c.GlobalGet(did).I64Const(-1).Op(i64Ne).If(w.Empty), 50).End()
				}
			})
		},
		"a way back over small functions": func(m *w.Module) *w.Code {
			typ := m.Type(nil, nil)
			m.Elem(0, m.Func(typ, nil, steps(w.Body(), 6).End()))
			return recursion(m, 1, func(c *w.Code) {
				for range 500 {
					c.I32Const(0).CallIndirect(typ)
				}
			})
		},
		"a line of calls": func(m *w.Module) *w.Code {
			typ := m.Type(nil, nil)
			m.Elem(0, m.Func(typ, nil, steps(w.Body(), 6).End()))
			c := w.Body()
			for range 5000 {
				c.I32Const(0).CallIndirect(typ)
			}
			return c.End()
		},
		"an arm of a switch": func(m *w.Module) *w.Code { // in a loop, beside an empty one
			c := w.Body().Loop(w.Empty).Block(w.Empty).Block(w.Empty).LocalGet(0).BrTable(0, 1).End()
			steps(c, 20_000).End()
			return c.LocalGet(0).I32Const(1).Op(w.I32Add).LocalTee(0).I32Const(4).Op(w.I32LtU).BrIf(0).End().End()
		},
	}
}

const i64Ne = 0x52

// TestFUNC_I2_NoWayIsLongWithoutALook gives slices of nothing, so that every look at
// the fuel calls the host, and asks how much was done since the last.
func TestFUNC_I2_NoWayIsLongWithoutALook(t *testing.T) {
	for name, body := range walkers() {
		t.Run(name, func(t *testing.T) {
			m := w.New()
			m.Table(w.FuncRef, 1)
			done := m.Global(w.I64, true, w.Body().I64Const(0).End())
			m.Export("did", w.KindGlobal, done)
			c := body(m)
			m.ExportFunc("run", m.Func(m.Type(nil, nil), w.Types(w.I32), c))

			r := newRuntime(t)
			var did func() uint64
			var last, longest uint64
			look := func(context.Context, []uint64) int32 {
				longest, last = max(longest, did()-last), did()
				return 1
			}
			instantiateTick(t, r, look)
			mod, err := r.Instantiate(t.Context(), rewrite(t, m.Bytes()).Wasm)
			if err != nil {
				t.Fatal(err)
			}
			did = api.Global(mod.ExportedGlobal("did")).Get
			if _, err := mod.ExportedFunction("run").Call(t.Context()); err != nil {
				t.Fatal(err)
			}
			look(t.Context(), nil)
			t.Logf("%d instructions done, at most %d without a look", did(), longest)
			if did() < 2*lookCost {
				t.Error("too little was done to show anything")
			}
			if longest > lookCost {
				t.Errorf("%d instructions without a look at the fuel, want at most %d", longest, lookCost)
			}
		})
	}
}
