// Package guests encodes the small functions that tests of several packages
// deploy: honest ones and hostile ones. They follow the contract's guest kinds,
// section 6.
package guests

import w "github.com/runnelhq/runnel/internal/wasmtest"

// heap is where the guests' allocator starts; static data lies below it.
const heap = 4096

// reactor builds a handler reactor. build adds imports and data, and returns the
// handler's body: it has the event in locals 0 (pointer) and 1 (length), two more
// i32 locals, and leaves an i64.
func reactor(build func(m *w.Module) *w.Code) []byte {
	m := w.New()
	body := build(m)
	m.Memory(1)
	top := m.Global(w.I32, true, w.Body().I32Const(heap).End())
	// runnel_alloc grows the memory to fit, then moves the top of the heap.
	alloc := m.Func(m.Type(w.Types(w.I32), w.Types(w.I32)), nil, w.Body().
		GlobalGet(top).LocalGet(0).Op(w.I32Add).I32Const(16).Op(w.I32ShrU).I32Const(1).Op(w.I32Add).
		Op(0x3f, 0x00).Op(w.I32Sub). // memory.size
		MemoryGrow().Op(w.Drop).
		GlobalGet(top).
		GlobalGet(top).LocalGet(0).Op(w.I32Add).GlobalSet(top).
		End())
	handler := m.Func(m.Type(w.Types(w.I32, w.I32), w.Types(w.I64)), w.Types(w.I32, w.I32), body)
	m.Export("memory", w.KindMemory, 0)
	m.ExportFunc("runnel_alloc", alloc)
	m.ExportFunc("handler", handler)
	return m.Bytes()
}

// pack leaves ptr<<32 | len of two i32 locals.
func pack(c *w.Code, ptr, length uint32) *w.Code {
	return c.LocalGet(ptr).Op(w.I64ExtendU).I64Const(32).Op(w.I64Shl).
		LocalGet(length).Op(w.I64ExtendU).Op(w.I64Or)
}

// Echo answers with its event.
func Echo() []byte {
	return reactor(func(*w.Module) *w.Code { return pack(w.Body(), 0, 1).End() })
}

// Answer answers with a constant.
func Answer(result string) []byte {
	return reactor(func(m *w.Module) *w.Code {
		m.Data(0, []byte(result))
		return w.Body().I64Const(int64(len(result))).End()
	})
}

// Spin never returns.
func Spin() []byte {
	return reactor(func(*w.Module) *w.Code {
		return w.Body().Loop(w.Empty).Br(0).End().I64Const(0).End()
	})
}

// Recurse calls itself without end.
func Recurse() []byte {
	m := w.New()
	m.Memory(1)
	typ := m.Type(w.Types(w.I32, w.I32), w.Types(w.I64))
	alloc := m.Func(m.Type(w.Types(w.I32), w.Types(w.I32)), nil, w.Body().I32Const(heap).End())
	handler := m.Func(typ, nil, w.Body().LocalGet(0).LocalGet(1).Call(alloc+1).I64Const(1).Op(w.I64Add).End())
	m.Export("memory", w.KindMemory, 0)
	m.ExportFunc("runnel_alloc", alloc)
	m.ExportFunc("handler", handler)
	return m.Bytes()
}

// Grow takes memory, 16 pages at a time, until it is stopped.
func Grow() []byte {
	return reactor(func(*w.Module) *w.Code {
		return w.Body().Loop(w.Empty).I32Const(16).MemoryGrow().Op(w.Drop).Br(0).End().I64Const(0).End()
	})
}

// Trap executes unreachable.
func Trap() []byte {
	return reactor(func(*w.Module) *w.Code { return w.Body().Op(w.Unreachable).End() })
}

// Counter answers with how often its instance was called: 1, if instances are
// fresh.
func Counter() []byte {
	return reactor(func(*w.Module) *w.Code {
		const at = 64
		c := w.Body().
			I32Const(at).I32Const(at).I32Load8(0).I32Const(1).Op(w.I32Add).I32Store8(0).
			I32Const(at + 1).I32Const(at).I32Load8(0).I32Const('0').Op(w.I32Add).I32Store8(0)
		return c.I64Const((at+1)<<32 | 1).End()
	})
}

// Tell reads the environment variable key, logs its value at level info and
// answers {"told":true}.
func Tell(key string) []byte {
	const answer = `{"told":true}`
	return reactor(func(m *w.Module) *w.Code {
		env := m.ImportFunc("runnel", "env", m.Type(w.Types(w.I32, w.I32), w.Types(w.I32)))
		read := m.ImportFunc("runnel", "result_read", m.Type(w.Types(w.I32, w.I32), w.Types(w.I32)))
		log := m.ImportFunc("runnel", "log", m.Type(w.Types(w.I32, w.I32, w.I32), nil))
		m.Data(0, []byte(answer))
		m.Data(64, []byte(key))
		return w.Body().
			I32Const(64).I32Const(int32(len(key))).Call(env).Op(w.Drop).
			I32Const(1024).I32Const(1024).Call(read).LocalSet(2).
			I32Const(1).I32Const(1024).LocalGet(2).Call(log).
			I64Const(int64(len(answer))).End()
	})
}

// Fetch hands its event to http_fetch and answers with the response, or with the
// first 4 KB of it.
func Fetch() []byte {
	return reactor(func(m *w.Module) *w.Code {
		pair := m.Type(w.Types(w.I32, w.I32), w.Types(w.I32))
		fetch := m.ImportFunc("runnel", "http_fetch", pair)
		read := m.ImportFunc("runnel", "result_read", pair)
		return w.Body().
			LocalGet(0).LocalGet(1).Call(fetch).Op(w.Drop).
			I32Const(0).I32Const(heap).Call(read).Op(w.I64ExtendU).End()
	})
}

// Exit is a WASI command that writes stderr and exits with a code.
func Exit(code int32, stderr string) []byte {
	m := w.New()
	write := m.ImportFunc("wasi_snapshot_preview1", "fd_write", m.Type(w.Types(w.I32, w.I32, w.I32, w.I32), w.Types(w.I32)))
	exit := m.ImportFunc("wasi_snapshot_preview1", "proc_exit", m.Type(w.Types(w.I32), nil))
	m.Memory(1)
	m.Data(64, []byte(stderr))
	start := m.Func(m.Type(nil, nil), nil, w.Body().
		I32Const(0).I32Const(64).I32Store(0).
		I32Const(4).I32Const(int32(len(stderr))).I32Store(0).
		I32Const(2).I32Const(0).I32Const(1).I32Const(8).Call(write).Op(w.Drop).
		I32Const(code).Call(exit).
		End())
	m.Export("memory", w.KindMemory, 0)
	m.ExportFunc("_start", start)
	return m.Bytes()
}

// Sleep is a WASI command that sleeps for a number of milliseconds and answers
// with true.
func Sleep(milliseconds int64) []byte {
	m := w.New()
	poll := m.ImportFunc("wasi_snapshot_preview1", "poll_oneoff", m.Type(w.Types(w.I32, w.I32, w.I32, w.I32), w.Types(w.I32)))
	write := m.ImportFunc("wasi_snapshot_preview1", "fd_write", m.Type(w.Types(w.I32, w.I32, w.I32, w.I32), w.Types(w.I32)))
	m.Memory(1)
	m.Data(256, relativeClock(milliseconds))
	m.Data(64, []byte("true"))
	start := m.Func(m.Type(nil, nil), nil, w.Body().
		I32Const(256).I32Const(512).I32Const(1).I32Const(768).Call(poll).Op(w.Drop).
		I32Const(0).I32Const(64).I32Store(0).
		I32Const(4).I32Const(4).I32Store(0).
		I32Const(1).I32Const(0).I32Const(1).I32Const(8).Call(write).Op(w.Drop).
		End())
	m.Export("memory", w.KindMemory, 0)
	m.ExportFunc("_start", start)
	return m.Bytes()
}

// HugeTable asks for a table of a hundred million entries at instantiation, in
// about 64 bytes.
func HugeTable() []byte {
	m := w.New()
	m.Memory(1)
	m.Table(w.FuncRef, 100_000_000)
	return handlerOf(m, w.Body().I64Const(0).End())
}

// ManyLocals declares four billion locals in one function.
func ManyLocals() []byte {
	m := w.New()
	m.Memory(1)
	m.RawFunc(m.Type(nil, nil), append(append([]byte{1}, w.Uint(4_000_000_000)...), w.I32, 0x0b))
	m.Export("memory", w.KindMemory, 0)
	m.ExportFunc("_start", 0)
	return m.Bytes()
}

// Pages declares a memory of that many pages of 64 KiB from the start.
func Pages(n uint32) []byte {
	m := w.New()
	m.Memory(n)
	return handlerOf(m, w.Body().I64Const(0).End())
}

// handlerOf gives a module with a memory the exports of a handler reactor.
func handlerOf(m *w.Module, body *w.Code) []byte {
	alloc := m.Func(m.Type(w.Types(w.I32), w.Types(w.I32)), nil, w.Body().I32Const(heap).End())
	handler := m.Func(m.Type(w.Types(w.I32, w.I32), w.Types(w.I64)), nil, body)
	m.Export("memory", w.KindMemory, 0)
	m.ExportFunc("runnel_alloc", alloc)
	m.ExportFunc("handler", handler)
	return m.Bytes()
}
