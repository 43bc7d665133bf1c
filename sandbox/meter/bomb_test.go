package meter_test

import (
	"context"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	w "github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sandbox/meter"
)

// bomb is a module with one function that gets harder to compile with n.
type bomb struct {
	setup  func(m *w.Module)
	params []byte
	locals []byte
	body   func(c *w.Code, n int)
}

func (b bomb) build(n int) []byte {
	m := w.New()
	typ := m.Type(b.params, nil)
	m.Memory(1)
	m.Table(w.FuncRef, 1)
	m.Global(w.I32, true, w.Body().I32Const(0).End())
	if b.setup != nil {
		b.setup(m)
	}
	c := w.Body()
	b.body(c, n)
	m.Func(typ, b.locals, c.Op(w.Unreachable).End())
	return m.Bytes()
}

// bombs are what makes wazero slow, each by itself: the passes of its compiler
// that are not linear, and the instructions that become the most code.
func bombs() map[string]bomb {
	repeat := func(one func(c *w.Code, i int)) func(*w.Code, int) {
		return func(c *w.Code, n int) {
			for i := range n {
				one(c, i)
			}
		}
	}
	i32s := func(n int) []byte { return bytesOf(w.I32, n) }
	values := func(push int) func(m *w.Module) { // function 0 returns many
		return func(m *w.Module) {
			c := w.Body()
			for range push {
				c.I32Const(0)
			}
			m.Func(m.Type(nil, i32s(push)), nil, c.End())
		}
	}
	// dispatch is a loop around a switch with n cases, as the Go compiler writes
	// functions. No case is deep in the dominator tree.
	dispatch := func(c *w.Code, n int, one func(i int)) {
		c.Loop(w.Empty)
		targets := make([]uint32, n)
		for i := range targets {
			targets[i] = uint32(i)
			c.Block(w.Empty)
		}
		c.LocalGet(0).BrTable(targets...)
		for i := range targets {
			c.End()
			one(i)
			if i < n-1 { // the last case leaves the loop
				c.Br(uint32(n - 1 - i))
			}
		}
		c.End()
	}
	return map[string]bomb{
		"conversions":             {params: w.Types(w.F64), body: repeat(func(c *w.Code, i int) { c.LocalGet(0).Op(0xb1, 0xba).LocalSet(0) })},
		"divisions":               {params: w.Types(w.I64), body: repeat(func(c *w.Code, i int) { c.LocalGet(0).LocalGet(0).Op(0x7f).LocalSet(0) })},
		"loads":                   {params: w.Types(w.I32), body: repeat(func(c *w.Code, i int) { c.LocalGet(0).I32Load(0).LocalSet(0) })},
		"vectors":                 {params: w.Types(w.V128), body: repeat(func(c *w.Code, i int) { c.LocalGet(0).Op(0xfd, 98).LocalSet(0) })},
		"indirect calls":          {body: repeat(func(c *w.Code, i int) { c.I32Const(0).CallIndirect(0) })},
		"calls with many results": {setup: values(500), body: repeat(func(c *w.Code, i int) { c.Call(0) })},
		"memory.fill":             {params: w.Types(w.I32), body: repeat(func(c *w.Code, i int) { c.LocalGet(0).LocalGet(0).LocalGet(0).MemoryFill() })},
		"stack":                   {params: w.Types(w.I32), body: repeat(func(c *w.Code, i int) { c.LocalGet(0).Op(0x67) })},
		// A deep dominator tree.
		"ifs":     {params: w.Types(w.I32), body: repeat(func(c *w.Code, i int) { c.LocalGet(0).If(w.Empty).End() })},
		"blocks":  {body: repeat(func(c *w.Code, i int) { c.Block(w.Empty).End() })},
		"returns": {body: repeat(func(c *w.Code, i int) { c.GlobalGet(0).BrIf(0) })},
		"loops":   {params: w.Types(w.I32), body: repeat(func(c *w.Code, i int) { c.Loop(w.Empty).LocalGet(0).BrIf(0).End() })},
		"nested blocks": {params: w.Types(w.I32), body: func(c *w.Code, n int) {
			for range n {
				c.Block(w.Empty)
			}
			for i := range n {
				c.LocalGet(0).BrIf(uint32(n - 1 - i)).End()
			}
		}},
		"nested loops": {params: w.Types(w.I32), body: func(c *w.Code, n int) {
			for range n {
				c.Loop(w.Empty)
			}
			for range n {
				c.LocalGet(0).BrIf(0).End()
			}
		}},
		// Reads of a local far from where it was written.
		"chain": {params: w.Types(w.I32), body: func(c *w.Code, n int) {
			c.Block(w.Empty)
			for range n {
				c.LocalGet(0).BrIf(0)
			}
			c.End()
		}},
		// Locals that differ by the way taken.
		"joins": {params: w.Types(w.I32), locals: i32s(300), body: func(c *w.Code, n int) {
			for i := range n {
				c.LocalGet(0).If(w.Empty).LocalGet(0).Op(0x67).LocalSet(1 + uint32(i%300)).End()
			}
			for i := range uint32(300) {
				c.LocalGet(i + 1).GlobalSet(0)
			}
		}},
		"loops with locals": {params: w.Types(w.I32), locals: i32s(300), body: func(c *w.Code, n int) {
			for i := range n {
				k := 1 + uint32(i%300)
				c.Loop(w.Empty).LocalGet(k).Op(0x67).LocalSet(k).LocalGet(0).BrIf(0).End()
			}
			for i := range uint32(300) {
				c.LocalGet(i + 1).GlobalSet(0)
			}
		}},
		"br_table over locals": {params: w.Types(w.I32), locals: i32s(300), body: func(c *w.Code, n int) {
			c.Block(w.Empty).LocalGet(0).If(w.Empty)
			for i := range uint32(300) {
				c.LocalGet(0).Op(0x67).LocalSet(i + 1)
			}
			c.Br(1).End().LocalGet(0).BrTable(make([]uint32, min(n, 10_000))...).End()
			for i := range uint32(300) {
				c.LocalGet(i + 1).GlobalSet(0)
			}
		}},
		// Values alive across many blocks.
		"stack across blocks": {params: w.Types(w.I32), body: func(c *w.Code, n int) {
			for range n {
				c.LocalGet(0).Op(0x67)
			}
			for range n {
				c.GlobalGet(0).If(w.Empty).End()
			}
			for range n {
				c.GlobalSet(0)
			}
		}},
		"addresses across blocks": {params: w.Types(w.I32), body: func(c *w.Code, n int) {
			for range n {
				c.LocalGet(0).Op(0x67).I32Load(0).Op(w.Drop)
			}
			for range n {
				c.GlobalGet(0).BrIf(0)
			}
		}},
		"dispatch over locals": {params: w.Types(w.I32), locals: i32s(2000), body: func(c *w.Code, n int) {
			n = min(n, 5000)
			dispatch(c, n, func(i int) { c.LocalGet(1 + uint32(i%2000)).LocalSet(1 + uint32((i+1)%2000)) })
		}},
		"dispatch over a stack": {params: w.Types(w.I32), body: func(c *w.Code, n int) {
			n = min(n, 5000)
			for range 5000 {
				c.LocalGet(0).Op(0x67)
			}
			dispatch(c, n, func(i int) { c.GlobalGet(0).LocalSet(0) })
			for range 5000 {
				c.GlobalSet(0)
			}
		}},
		"dispatch over addresses": {params: w.Types(w.I32), body: func(c *w.Code, n int) {
			n = min(n, 5000)
			for range 5000 {
				c.LocalGet(0).Op(0x67).I32Load(0).Op(w.Drop)
			}
			dispatch(c, n, func(i int) { c.GlobalGet(0).LocalSet(0) })
		}},
		"branches with values": {params: w.Types(w.I32), setup: func(m *w.Module) { m.Type(nil, i32s(500)) }, body: func(c *w.Code, n int) {
			c.Block(w.Int(1)...)
			for range 500 {
				c.LocalGet(0).Op(0x67)
			}
			for range n {
				c.LocalGet(0).BrIf(0)
			}
			c.End()
		}},
	}
}

func bytesOf(b byte, n int) []byte { return slices.Repeat([]byte{b}, n) }

// TestCompilingIsBounded builds each bomb as large as Rewrite accepts it, and
// compiles it: the estimate has to be right about all of them, within a factor.
// It uses a fifth of the work that deployed functions may have; twenty times the
// usual time would mean that a bomb is not understood.
func TestCompilingIsBounded(t *testing.T) {
	if brief() {
		t.Skip("compiles for a minute")
	}
	limits := meter.DefaultLimits()
	limits.FunctionWork /= 5
	limits.BodyBytes = math.MaxInt
	const (
		most       = 5 * time.Second // usually under a third of a second
		mostMemory = 1500            // bytes allocated per unit of work
	)
	for name, b := range bombs() {
		t.Run(name, func(t *testing.T) {
			accepted := func(n int) bool {
				_, err := meter.Rewrite(b.build(n), limits)
				return err == nil
			}
			low, high := 1, 2
			for ; accepted(high) && high < 1<<18; high *= 2 {
				low = high
			}
			for high-low > low/20+1 {
				if n := (low + high) / 2; accepted(n) {
					low = n
				} else {
					high = n
				}
			}
			wasm := b.build(low)
			out, err := meter.Rewrite(wasm, limits)
			if err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			r := wazero.NewRuntime(ctx)
			defer r.Close(ctx)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			if _, err := r.CompileModule(ctx, out.Wasm); err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			allocated := int64(after.TotalAlloc - before.TotalAlloc)
			t.Logf("n = %d, %d bytes: %v, %d MB", low, len(wasm), took, allocated>>20)
			if took > most {
				t.Errorf("compiling took %v, want at most %v", took, most)
			}
			if allocated > mostMemory*limits.FunctionWork {
				t.Errorf("compiling allocated %d MB, want at most %d", allocated>>20, mostMemory*limits.FunctionWork>>20)
			}
		})
	}
}
