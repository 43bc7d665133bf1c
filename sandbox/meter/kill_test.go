package meter_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	w "github.com/runnelhq/runnel/internal/wasmtest"
)

// runaways are guests that would run for years.
func runaways() map[string]func(*w.Module) *w.Code {
	forever := func(body *w.Code) *w.Code { return w.Body().Loop(w.Empty).Add(body).Br(0).End().End() }
	return map[string]func(*w.Module) *w.Code{
		"spin":  func(*w.Module) *w.Code { return forever(w.Body()) },
		"br_if": func(*w.Module) *w.Code { return w.Body().Loop(w.Empty).I32Const(1).BrIf(0).End().End() },
		"br_table": func(*w.Module) *w.Code {
			return w.Body().Loop(w.Empty).Block(w.Empty).I32Const(1).BrTable(0, 1).End().End().End()
		},
		"division": func(*w.Module) *w.Code {
			return forever(w.Body().I32Const(1).I32Const(1).Op(w.I32DivU, w.Drop))
		},
		"loop with a parameter": func(m *w.Module) *w.Code {
			typ := m.Type(w.Types(w.I32), nil)
			return w.Body().I32Const(1).Loop(w.Int(int64(typ))...).Br(0).End().End()
		},
		"nested loops": func(*w.Module) *w.Code {
			c := w.Body()
			for range 8 {
				c.Loop(w.Empty)
			}
			c.Br(0)
			for range 8 {
				c.End()
			}
			return c.End()
		},
		"tree of calls": func(m *w.Module) *w.Code { // 2^60 calls, no recursion, no loop
			typ := m.Type(nil, nil)
			f := m.Func(typ, nil, w.Body().End())
			for range 60 {
				f = m.Func(typ, nil, w.Body().Call(f).Call(f).End())
			}
			return w.Body().Call(f).End()
		},
		"fibonacci": func(m *w.Module) *w.Code {
			typ := m.Type(w.Types(w.I32), w.Types(w.I32))
			f := m.Func(typ, nil, w.Body().LocalGet(0).I32Const(2).Op(w.I32LtU).If(w.I32).LocalGet(0).Else().
				LocalGet(0).I32Const(1).Op(w.I32Sub).Call(0).
				LocalGet(0).I32Const(2).Op(w.I32Sub).Call(0).Op(w.I32Add).End().End())
			return w.Body().I32Const(90).Call(f).Op(w.Drop).End()
		},
		"memory.fill": func(*w.Module) *w.Code {
			return forever(w.Body().I32Const(0).I32Const(1).I32Const(1 << 20).MemoryFill())
		},
		"memory.copy": func(*w.Module) *w.Code {
			return forever(w.Body().I32Const(0).I32Const(1).I32Const(1<<20 - 1).MemoryCopy())
		},
		"failing memory.grow": func(*w.Module) *w.Code { // an operand that would refuel, were it charged as it is
			return forever(w.Body().I32Const(-16).MemoryGrow().Op(w.Drop))
		},
		"failing table.grow": func(*w.Module) *w.Code {
			return forever(w.Body().Op(0xd0, w.FuncRef).I32Const(-1).Op(0xfc, 15, 0).Op(w.Drop))
		},
		"table.fill": func(*w.Module) *w.Code {
			return forever(w.Body().I32Const(0).Op(0xd0, w.FuncRef).I32Const(1000).Op(0xfc, 17, 0))
		},
		"indirect calls": func(m *w.Module) *w.Code {
			typ := m.Type(nil, nil)
			m.Elem(0, m.Func(typ, nil, w.Body().End()))
			return forever(w.Body().I32Const(0).CallIndirect(typ))
		},
		"cache misses": func(*w.Module) *w.Code {
			return w.Body().Loop(w.Empty).
				LocalGet(0).I32Const(1664525).Op(w.I32Mul).I32Const(1013904223).Op(w.I32Add).LocalSet(0).
				LocalGet(0).I32Const(1<<20 - 1).Op(w.I32And).I32Load(0).Op(w.Drop).Br(0).End().End()
		},
	}
}

// recursions are guests that recurse until something stops them.
func recursions() map[string]func(*w.Module) *w.Code {
	return map[string]func(*w.Module) *w.Code{
		"direct": func(m *w.Module) *w.Code {
			f := m.Func(m.Type(nil, nil), nil, w.Body().Call(0).End())
			return w.Body().Call(f).End()
		},
		"mutual": func(m *w.Module) *w.Code {
			typ := m.Type(nil, nil)
			m.Func(typ, nil, w.Body().Call(1).End())
			f := m.Func(typ, nil, w.Body().Call(0).End())
			return w.Body().Call(f).End()
		},
		"behind a condition": func(m *w.Module) *w.Code {
			f := m.Func(m.Type(w.Types(w.I32), nil), nil, w.Body().LocalGet(0).If(w.Empty).LocalGet(0).Call(0).End().End())
			return w.Body().I32Const(1).Call(f).End()
		},
		"indirect": func(m *w.Module) *w.Code {
			typ := m.Type(nil, nil)
			m.Elem(0, m.Func(typ, nil, w.Body().I32Const(0).CallIndirect(typ).End()))
			return w.Body().I32Const(0).CallIndirect(typ).End()
		},
		"large frames": func(m *w.Module) *w.Code { // 400 values live across the call
			typ := m.Type(w.Types(w.I64), w.Types(w.I64))
			c := w.Body()
			locals := make([]byte, 400)
			for i := range locals {
				locals[i] = w.I64
				c.LocalGet(0).I64Const(int64(i)).Op(w.I64Add).LocalSet(uint32(i + 1))
			}
			c.LocalGet(0).Call(0)
			for i := range locals {
				c.LocalGet(uint32(i + 1)).Op(w.I64Add)
			}
			f := m.Func(typ, locals, c.End())
			return w.Body().I64Const(0).Call(f).Op(w.Drop).End()
		},
		"in a loop": func(m *w.Module) *w.Code {
			f := m.Func(m.Type(nil, nil), nil, w.Body().Loop(w.Empty).Call(0).Br(0).End().End())
			return w.Body().Call(f).End()
		},
	}
}

// guest encodes a module whose export "run" has the given body and one i32 local.
func guest(body func(*w.Module) *w.Code) []byte {
	m := w.New()
	m.Memory(32, 32)
	m.Table(w.FuncRef, 1000)
	c := body(m)
	m.ExportFunc("run", m.Func(m.Type(nil, nil), w.Types(w.I32), c))
	return m.Bytes()
}

// run runs a guest under a guard until it ends, with the garbage collector
// running all the while: it has to stop the world, and guests have to let it.
func run(t *testing.T, wasm []byte, deadline time.Duration) (over time.Duration, collections int64, err error) {
	ctx := t.Context()
	r := newRuntime(t)
	var g *guard
	instantiateTick(t, r, func(ctx context.Context, stack []uint64) int32 { return g.tick(ctx, stack) })
	mod, err := r.Instantiate(ctx, rewrite(t, wasm).Wasm)
	if err != nil {
		t.Fatal(err)
	}
	f := mod.ExportedFunction("run")
	var done atomic.Bool
	collected := make(chan int64)
	go func() {
		n := int64(0)
		for ; !done.Load(); n++ {
			runtime.GC()
		}
		collected <- n
	}()
	start := time.Now()
	limited, cancel := context.WithDeadline(ctx, start.Add(deadline))
	defer cancel()
	g = newGuard(limited, f)
	_, err = f.Call(ctx)
	over = time.Since(start) - deadline
	done.Store(true)
	return over, <-collected, err
}

func TestFUNC_I2_RunawaysEndAtTheDeadline(t *testing.T) {
	const deadline, slack = 100 * time.Millisecond, 100 * time.Millisecond
	for name, body := range runaways() {
		t.Run(name, func(t *testing.T) {
			// On a busy machine the test itself may not get a processor in
			// time, so the best of three attempts counts.
			var best time.Duration
			for attempt := range 3 {
				over, collections, err := run(t, guest(body), deadline)
				if !errors.Is(err, errDeadline) {
					t.Fatalf("ended with %v, want %v", err, errDeadline)
				}
				if collections == 0 {
					t.Error("the garbage collector did not get through while the guest ran")
				}
				if attempt == 0 || over < best {
					best = over
				}
				if best <= slack {
					t.Logf("%v after the deadline, %d garbage collections", best, collections)
					return
				}
			}
			t.Errorf("ended %v after the deadline, want at most %v", best, slack)
		})
	}
}

func TestFUNC_I2_RecursionEndsBeforeTheStackIsLarge(t *testing.T) {
	for name, body := range recursions() {
		t.Run(name, func(t *testing.T) {
			over, _, err := run(t, guest(body), 10*time.Second)
			if !errors.Is(err, errStack) {
				t.Fatalf("ended with %v, want %v", err, errStack)
			}
			if over > 0 {
				t.Errorf("ended only after the deadline")
			}
		})
	}
}
