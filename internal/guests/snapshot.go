package guests

import (
	"bytes"

	w "github.com/runnelhq/runnel/internal/wasmtest"
)

// Counting is a reactor whose _initialize adds 50 to the first byte of memory, and
// whose handler adds what a global says and returns that byte: "3" when each ran once.
// change may add to it; nil: nothing.
func Counting(change func(m *w.Module)) []byte {
	return initialised(add(w.Body().I32Const(50)).I32Const(1).GlobalSet(0).End(), change)
}

// EndlessInit is a reactor whose _initialize never returns.
func EndlessInit() []byte { return initialised(w.Body().Loop(w.Empty).Br(0).End().End(), nil) }

// TrappingInit is a reactor whose _initialize traps.
func TrappingInit() []byte { return initialised(w.Body().Op(0x00).End(), nil) }

// WritesTables is Counting with a function, never called, that changes a table.
func WritesTables() []byte {
	return Counting(func(m *w.Module) {
		m.Table(0x70, 1)
		m.Func(m.Type(nil, nil), nil, w.Body().I32Const(0).Op(0xd0, 0x70).Op(0x26, 0).End())
	})
}

func initialised(init *w.Code, change func(m *w.Module)) []byte {
	m := w.New()
	none := m.Type(nil, nil)
	alloc := m.Type(w.Types(w.I32), w.Types(w.I32))
	handle := m.Type(w.Types(w.I32, w.I32), w.Types(w.I64))
	m.Memory(3)
	m.Global(w.I32, true, w.Body().I32Const(0).End())
	m.ExportFunc("_initialize", m.Func(none, nil, init))
	m.ExportFunc("runnel_alloc", m.Func(alloc, nil, w.Body().I32Const(16).End()))
	m.ExportFunc("handler", m.Func(handle, nil, add(w.Body().GlobalGet(0)).I64Const(1).End()))
	m.Export("memory", w.KindMemory, 0)
	m.Data(1024, bytes.Repeat([]byte("data"), 30_000))
	if change != nil {
		change(m)
	}
	return m.Bytes()
}

// add adds what n leaves to the first byte of memory.
func add(n *w.Code) *w.Code {
	return w.Body().I32Const(0).I32Const(0).I32Load8(0).Add(n).Op(w.I32Add).I32Store8(0)
}
