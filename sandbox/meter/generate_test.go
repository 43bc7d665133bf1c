package meter_test

import (
	w "github.com/runnelhq/runnel/internal/wasmtest"
)

// program is a generated module that is valid, ends, and counts the instructions
// it executes in an exported global, apart from any meter.
type program struct {
	wasm []byte
	runs []string // exports to call in turn, each (i32, i32) -> i32
}

// Globals of a program.
const (
	globalSteps = iota // i32: what guarded loops and functions may still do
	globalOps          // i64: instructions executed
	globalState        // i32
)

// Locals every generated function has behind its two parameters.
const (
	localA = iota
	localB
	localC
	localD
	localCount // of a counted loop
	localParam // of a loop with a parameter
)

// generate turns bytes into a program. All byte strings make valid programs; when
// they run out, what is chosen is short.
func generate(choices []byte) program {
	g := &generator{choices: choices, m: w.New()}
	return g.program()
}

type generator struct {
	choices []byte
	m       *w.Module
	typ     uint32 // (i32, i32) -> i32
	loop    uint32 // (i32) -> (i32)
	pair    uint32 // () -> (i32, i32)
	funcs   int
	self    int // function being generated

	out     *w.Code
	segment *w.Code // basic block being generated
	ops     int     // its instructions
	labels  []bool  // open labels, outermost first: can they be branched to?
	budget  int     // statements left
}

// choose returns a number from 0 to n-1.
func (g *generator) choose(n int) int {
	if len(g.choices) == 0 {
		return 0
	}
	c := int(g.choices[0])
	g.choices = g.choices[1:]
	return c % n
}

func (g *generator) program() program {
	m := g.m
	g.typ = m.Type(w.Types(w.I32, w.I32), w.Types(w.I32))
	g.loop = m.Type(w.Types(w.I32), w.Types(w.I32))
	g.pair = m.Type(nil, w.Types(w.I32, w.I32))
	m.Memory(1, 3)
	m.Data(0, []byte("some bytes to start with, so that loads see more than zeros"))
	m.PassiveData([]byte("passive bytes"))
	m.Export("memory", w.KindMemory, 0)
	m.Global(w.I32, true, w.Body().I32Const(500).End())
	m.Global(w.I64, true, w.Body().I64Const(0).End())
	m.Global(w.I32, true, w.Body().I32Const(7).End())
	m.Export("ops", w.KindGlobal, globalOps)
	m.Export("state", w.KindGlobal, globalState)

	g.funcs = 1 + g.choose(5)
	m.Table(w.FuncRef, uint32(g.funcs)+2)
	all := make([]uint32, g.funcs)
	p := program{}
	for i := range all {
		all[i] = uint32(i)
		name := string(rune('a' + i))
		m.ExportFunc(name, uint32(i))
		p.runs = append(p.runs, name)
	}
	m.Elem(0, all...)
	for g.self = range g.funcs {
		g.function()
	}
	p.wasm = m.Bytes()
	return p
}

// function generates one function. Guarded ones count down the steps and may call
// any function; the others only call those behind them, so that all of them end.
func (g *generator) function() {
	g.out, g.segment, g.ops, g.labels = w.Body(), w.Body(), 0, nil
	g.budget = 4 + g.choose(12)
	guarded := g.choose(2) == 1
	locals := w.Types(w.I32, w.I32, w.I32, w.I32)
	if guarded {
		g.guard()
	}
	if g.choose(8) == 7 { // more results than one
		g.control(w.Body().Block(w.Int(int64(g.pair))...), 0)
		g.labels = append(g.labels, false)
		g.expression(1)
		g.expression(1)
		g.end()
		g.emit(w.Body().Op(w.I32Add), 1)
		g.emit(w.Body().LocalSet(localA), 1)
	}
	g.statements(3, guarded)
	g.expression(2)
	g.ops++
	g.flush()
	g.m.Func(g.typ, locals, g.out.End())
}

// emit adds n instructions to the basic block.
func (g *generator) emit(c *w.Code, n int) {
	g.segment.Add(c)
	g.ops += n
}

// control ends the basic block with n instructions. Those that open a block are none.
func (g *generator) control(c *w.Code, n int) {
	g.ops += n
	g.flush()
	g.out.Add(c)
}

// flush writes the basic block behind the instructions that count it.
func (g *generator) flush() {
	if g.ops > 0 {
		const own = 4
		g.out.GlobalGet(globalOps).I64Const(int64(g.ops + own)).Op(w.I64Add).GlobalSet(globalOps).Add(g.segment)
	}
	g.segment, g.ops = w.Body(), 0
}

// end closes a label.
func (g *generator) end() {
	g.flush()
	g.out.End()
	g.labels = g.labels[:len(g.labels)-1]
}

// guard returns from the function when the steps are used up.
func (g *generator) guard() {
	g.emit(w.Body().GlobalGet(globalSteps).I32Const(1).Op(w.I32Sub).GlobalSet(globalSteps).GlobalGet(globalSteps).I32Const(0).Op(w.I32LtS), 7)
	g.control(w.Body().If(w.Empty), 1)
	g.control(w.Body().LocalGet(localB).Op(w.Return).End(), 2)
}

func (g *generator) statements(depth int, guarded bool) {
	for n := 1 + g.choose(4); n > 0 && g.budget > 0; n-- {
		g.budget--
		if g.statement(depth, guarded) {
			return
		}
	}
}

// statement generates one statement, and reports whether control cannot be
// behind it.
func (g *generator) statement(depth int, guarded bool) bool {
	kind := g.choose(18)
	if depth == 0 && kind >= 4 && kind <= 9 {
		kind = 0
	}
	switch kind {
	default:
		g.expression(3)
		g.emit(w.Body().LocalSet(uint32(g.choose(4))), 1)
	case 1:
		g.expression(2)
		g.emit(w.Body().GlobalSet(globalState), 1)
	case 2:
		g.address()
		g.expression(2)
		g.emit(w.Body().I32Store(uint32(g.choose(8))), 1)
	case 3:
		g.expression(2)
		if label, ok := g.label(); ok {
			g.control(w.Body().BrIf(label), 1)
		} else {
			g.emit(w.Body().Op(w.Drop), 1)
		}
	case 4: // if
		g.expression(2)
		g.control(w.Body().If(w.Empty), 1)
		g.labels = append(g.labels, true)
		g.statements(depth-1, guarded)
		if g.choose(2) == 1 {
			g.flush()
			g.out.Else()
			g.statements(depth-1, guarded)
		}
		g.end()
	case 5: // block
		g.control(w.Body().Block(w.Empty), 0)
		g.labels = append(g.labels, true)
		g.statements(depth-1, guarded)
		g.end()
	case 6: // loop with any number of branches back
		g.control(w.Body().Loop(w.Empty), 0)
		g.labels = append(g.labels, true)
		g.guard()
		g.statements(depth-1, guarded)
		if g.choose(3) > 0 {
			g.expression(2)
			g.control(w.Body().BrIf(0), 1)
		}
		g.end()
	case 7: // loop over br_table
		g.control(w.Body().Loop(w.Empty), 0)
		g.labels = append(g.labels, true)
		g.guard()
		g.control(w.Body().Block(w.Empty), 0)
		g.labels = append(g.labels, true)
		g.expression(2)
		var targets []uint32
		for n := 1 + g.choose(4); n > 0; n-- {
			if label, ok := g.label(); ok {
				targets = append(targets, label)
			}
		}
		if len(targets) > 0 {
			g.control(w.Body().BrTable(targets...), 1)
		} else {
			g.emit(w.Body().Op(w.Drop), 1)
		}
		g.end()
		g.statements(depth-1, guarded)
		g.end()
	case 8: // loop with a parameter
		g.expression(2)
		g.control(w.Body().Loop(w.Int(int64(g.loop))...), 0)
		g.labels = append(g.labels, false)
		g.guard()
		g.emit(w.Body().LocalSet(localParam), 1)
		g.statements(depth-1, guarded)
		g.emit(w.Body().LocalGet(localParam).I32Const(3).Op(w.I32ShrU).LocalTee(localParam).LocalGet(localParam), 5)
		g.control(w.Body().BrIf(0), 1)
		g.end()
		g.emit(w.Body().LocalSet(localB), 1)
	case 9: // innermost loop, small enough to be unrolled
		g.emit(w.Body().I32Const(int32(1+g.choose(20))).LocalSet(localCount), 2)
		g.control(w.Body().Block(w.Empty), 0)
		g.labels = append(g.labels, true)
		g.control(w.Body().Loop(w.Empty), 0)
		g.labels = append(g.labels, false)
		if g.choose(2) == 1 {
			g.expression(1)
			g.control(w.Body().BrIf(1), 1)
		}
		g.emit(w.Body().LocalGet(localC).LocalGet(localCount).Op(w.I32Mul).GlobalGet(globalState).Op(w.I32Add).LocalSet(localC), 6)
		g.emit(w.Body().LocalGet(localCount).I32Const(1).Op(w.I32Sub).LocalTee(localCount), 4)
		if g.choose(2) == 1 { // another way back
			g.emit(w.Body().I32Const(5).Op(w.I32Eq), 2)
			g.control(w.Body().If(w.Empty), 1)
			g.control(w.Body().Br(1), 1)
			g.out.End()
			g.emit(w.Body().LocalGet(localCount), 1)
		}
		g.control(w.Body().BrIf(0), 1)
		g.end()
		g.end()
	case 10, 11: // call
		f := g.self + 1 + g.choose(4)
		if guarded {
			f = g.choose(g.funcs)
		}
		if f >= g.funcs {
			return false
		}
		g.expression(1)
		g.expression(1)
		g.emit(w.Body().Call(uint32(f)).LocalSet(localD), 2)
	case 12: // indirect call, sometimes of nothing
		if !guarded {
			return false
		}
		g.expression(1)
		g.expression(1)
		g.emit(w.Body().I32Const(int32(g.choose(g.funcs+1))).CallIndirect(g.typ).LocalSet(localD), 3)
	case 13:
		g.address()
		g.expression(1)
		g.length()
		g.emit(w.Body().MemoryFill(), 1)
	case 14:
		g.address()
		g.address()
		g.length()
		g.emit(w.Body().MemoryCopy(), 1)
	case 15:
		switch g.choose(4) {
		case 0:
			g.emit(w.Body().I32Const(int32(g.choose(3))-1).MemoryGrow().LocalSet(localA), 3)
		case 1:
			g.emit(w.Body().Op(0xd0, w.FuncRef).I32Const(int32(g.choose(3))-1).Op(0xfc, 15, 0).LocalSet(localA), 4)
		case 2:
			g.emit(w.Body().I32Const(int32(g.funcs)).Op(0xd0, w.FuncRef).I32Const(int32(g.choose(3))).Op(0xfc, 17, 0), 4)
		case 3:
			g.address()
			g.emit(w.Body().I32Const(0).I32Const(int32(g.choose(14))).Op(0xfc, 8, 0, 0), 3)
		}
	case 16:
		g.expression(2)
		g.control(w.Body().Op(w.Return), 1)
		return true
	case 17:
		if label, ok := g.label(); ok {
			g.control(w.Body().Br(label), 1)
			return true
		}
	}
	return false
}

// label chooses an open label that takes no values.
func (g *generator) label() (uint32, bool) {
	var open []uint32
	for i, ok := range g.labels {
		if ok {
			open = append(open, uint32(len(g.labels)-1-i))
		}
	}
	if len(open) == 0 {
		return 0, false
	}
	return open[g.choose(len(open))], true
}

// expression pushes an i32.
func (g *generator) expression(depth int) {
	kind := g.choose(10)
	if depth == 0 {
		kind %= 4
	}
	switch kind {
	case 0, 1:
		g.emit(w.Body().LocalGet(uint32(g.choose(6))), 1)
	case 2:
		g.emit(w.Body().I32Const(int32(int8(g.choose(256)))), 1)
	case 3:
		g.emit(w.Body().GlobalGet(globalState), 1)
	case 4, 5, 6:
		g.expression(depth - 1)
		g.expression(depth - 1)
		ops := []byte{w.I32Add, w.I32Sub, w.I32Mul, w.I32And, w.I32Or, w.I32Xor, w.I32Shl, w.I32ShrU, w.I32Eq, w.I32LtU, w.I32GeU, w.I32DivU, w.I32RemU}
		g.emit(w.Body().Op(ops[g.choose(len(ops))]), 1)
	case 7:
		g.address()
		g.emit(w.Body().I32Load(uint32(g.choose(8))), 1)
	case 8:
		g.expression(depth - 1)
		g.emit(w.Body().Op(w.I32Eqz), 1)
	case 9:
		g.expression(depth - 1)
		g.control(w.Body().If(w.I32), 1)
		g.labels = append(g.labels, false)
		g.expression(depth - 1)
		g.flush()
		g.out.Else()
		g.expression(depth - 1)
		g.end()
	}
}

// address pushes an address within the first page.
func (g *generator) address() {
	g.expression(1)
	g.emit(w.Body().I32Const(0x7fff).Op(w.I32And), 2)
}

// length pushes a length of up to 255.
func (g *generator) length() {
	g.expression(1)
	g.emit(w.Body().I32Const(0xff).Op(w.I32And), 2)
}
