package main

import (
	"encoding/binary"

	w "github.com/runnelhq/runnel/internal/wasmtest"
)

// bomb is a class of hostile module.
type bomb struct {
	name  string
	sized bool // make looks at the size
	make  func(size int) []byte
}

var bombs = []bomb{
	{"nesting", true, one(func(n int, c *w.Code) {
		depth := min(n/3, 4_900)
		for range n / (3 * depth) {
			for range depth {
				c.Block(w.Empty)
			}
			for range depth {
				c.End()
			}
		}
	})},
	{"phi", true, many(60_000, func(n int, c *w.Code) {
		const locals = 1000
		for i := range n / 13 {
			c.LocalGet(uint32(i % locals)).If(w.Empty).I32Const(int32(i)).LocalSet(uint32((i * 7) % locals)).End()
		}
	}, 1000)},
	{"br_table", true, one(func(n int, c *w.Code) {
		const depth = 1000
		for range depth {
			c.Block(w.Empty)
		}
		targets := make([]uint32, 9_000)
		for i := range targets {
			targets[i] = uint32(i % depth)
		}
		for range n / len(targets) / 2 {
			c.Block(w.Empty).I32Const(1).BrTable(targets...).End()
		}
		for range depth {
			c.End()
		}
	})},
	{"locals", true, func(size int) []byte {
		m := w.New()
		typ := m.Type(nil, nil)
		code := append([]byte{1}, w.Uint(49_000)...)
		code = append(code, w.I64, 0x0b)
		for range max(size/len(code)/2, 1) {
			m.RawFunc(typ, code)
		}
		return command(m, w.Body())
	}},
	{"loops", true, one(func(n int, c *w.Code) {
		for range n / 4000 {
			for range 400 {
				c.Loop(w.Empty).I32Const(1).BrIf(0)
			}
			for range 400 {
				c.End()
			}
		}
	})},
	{"calls", true, func(size int) []byte {
		m := w.New()
		typ := m.Type(nil, nil)
		f := m.Func(typ, nil, w.Body().End())
		perFunction := 15_000
		for range max(size/(perFunction*2), 1) {
			c := w.Body()
			for range perFunction {
				c.Call(f)
			}
			m.Func(typ, nil, c.End())
		}
		return command(m, w.Body())
	}},
	{"functions", true, func(size int) []byte {
		m := w.New()
		typ := m.Type(nil, nil)
		for range min(size/5, 95_000) {
			m.Func(typ, nil, w.Body().End())
		}
		return command(m, w.Body())
	}},
	{"stack", true, one(func(n int, c *w.Code) {
		for range n / 30_000 {
			for i := range 10_000 {
				c.I32Const(int32(i))
			}
			for range 10_000 {
				c.Op(w.Drop)
			}
		}
	})},
	{"arithmetic", true, many(100_000, func(n int, c *w.Code) {
		for i := range n / 9 {
			c.LocalGet(uint32(i % 10)).LocalGet(uint32((i + 1) % 10)).Op(w.I32Mul).LocalSet(uint32((i + 2) % 10)).I32Const(int32(i)).Op(w.Drop)
		}
	}, 10)},
	{"tables", false, func(int) []byte {
		m := w.New()
		for range 10 {
			m.Table(w.FuncRef, 10_000)
		}
		return command(m, w.Body())
	}},
	{"huge tables", false, func(int) []byte {
		m := w.New()
		m.Table(w.FuncRef, 4_000_000_000)
		return command(m, w.Body())
	}},
	{"elements", true, func(size int) []byte {
		m := w.New()
		m.Table(w.FuncRef, 100_000)
		f := m.Func(m.Type(nil, nil), nil, w.Body().End())
		funcs := make([]uint32, min(size, 99_000))
		for i := range funcs {
			funcs[i] = f
		}
		m.Elem(0, funcs...)
		return command(m, w.Body())
	}},
	{"data", true, func(size int) []byte {
		m := w.New()
		for i := range min(size/12, 95_000) {
			m.Data(int32(i), []byte{1, 2, 3, 4})
		}
		m.Data(0, make([]byte, max(0, min(size, 10<<20-100)-min(size/12, 95_000)*12)))
		m.Export("memory", w.KindMemory, m.Memory(160))
		m.ExportFunc("_start", m.Func(m.Type(nil, nil), nil, w.Body().End()))
		return m.Bytes()
	}},
	{"start function", false, func(int) []byte {
		m := w.New()
		m.Start(m.Func(m.Type(nil, nil), nil, forever(w.Body()).End()))
		return command(m, w.Body())
	}},
	{"huge min", false, func(int) []byte { return sized(w.Body(), 8000) }},
	{"huge max", false, func(int) []byte { return sized(w.Body(), 1, 65536) }},
	{"growth", false, func(int) []byte {
		return sized(w.Body().Loop(w.Empty).I32Const(1).MemoryGrow().I32Const(16).Op(w.I32Shl).I32Const(1).I32Store8(0).Br(0).End(), 1)
	}},
	{"bulk fill", false, func(int) []byte {
		return sized(forever(w.Body().I32Const(0).I32Const(1).I32Const(100<<20).MemoryFill()), 1601)
	}},
	{"deep recursion", false, func(int) []byte {
		m := w.New()
		f := m.Func(m.Type(nil, nil), nil, w.Body().Call(0).End())
		return command(m, w.Body().Call(f))
	}},
	{"exponential calls", false, func(int) []byte {
		m := w.New()
		typ := m.Type(nil, nil)
		f := m.Func(typ, nil, w.Body().End())
		for range 60 {
			f = m.Func(typ, nil, w.Body().Call(f).Call(f).End())
		}
		return command(m, w.Body().Call(f))
	}},
	{"spin", false, func(int) []byte { return command(w.New(), forever(w.Body())) }},
	{"bytes", true, func(size int) []byte { // of no meaning
		b := make([]byte, size)
		for i := 0; i+4 <= len(b); i += 4 {
			binary.LittleEndian.PutUint32(b[i:], uint32(i)*2654435761)
		}
		return append([]byte("\x00asm\x01\x00\x00\x00"), b[:max(0, min(size, 10<<20-8))]...)
	}},
}

func forever(c *w.Code) *w.Code { return w.Body().Loop(w.Empty).Add(c).Br(0).End() }

// command makes m one whose _start is body, without its end.
func command(m *w.Module, body *w.Code) []byte {
	m.Export("memory", w.KindMemory, m.Memory(1))
	m.ExportFunc("_start", m.Func(m.Type(nil, nil), nil, body.End()))
	return m.Bytes()
}

// sized is a command with a memory of these limits.
func sized(body *w.Code, limits ...uint32) []byte {
	m := w.New()
	m.Export("memory", w.KindMemory, m.Memory(limits[0], limits[1:]...))
	m.ExportFunc("_start", m.Func(m.Type(nil, nil), nil, body.End()))
	return m.Bytes()
}

// maxBody keeps bodies below the limit on their size, so that it is not all that
// is tried.
const maxBody = 1900 << 10

// one is a module of bodies as large as they may be.
func one(fill func(n int, c *w.Code)) func(int) []byte { return many(maxBody, fill, 0) }

// many is a module of bodies of about that many bytes, with i32 locals.
func many(body int, fill func(n int, c *w.Code), locals int) func(int) []byte {
	return func(size int) []byte {
		m := w.New()
		typ := m.Type(nil, nil)
		types := make([]byte, locals)
		for i := range types {
			types[i] = w.I32
		}
		for left := size - 200; left > 0; left -= body {
			c := w.Body()
			fill(min(left, body), c)
			m.Func(typ, types, c.End())
		}
		return command(m, w.Body())
	}
}
