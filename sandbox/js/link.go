package js

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	quickjs "github.com/aperturerobotics/go-quickjs-wasi-reactor"

	"github.com/runnelhq/runnel/sandbox/image"
)

// The engine is QuickJS-NG as its authors compiled it for WASI, changed in six ways
// by link, none of which moves the index of a function:
//
//   - its exports are those of a handler reactor, with the glue behind them
//   - six imports it has no use for here are renamed to those of the port
//   - its stack is stackSize instead of 64 KiB, and its functions look whether they
//     are past the end of it, which the WASI build leaves out: JavaScript that
//     recurses too deep gets a RangeError, C that does ends the invocation
//   - the heap begins after that stack
//   - its calls through the table are calls of a function that branches on the index,
//     one for each type, and there is no table: wazero fills a table anew for each
//     instance, which took longer than all the rest of making one
//   - a function has a position from its beginning, not from its first call on, so
//     that the stack of one that was stopped has it
//
// Everything link looks for was found in this version (v0.15.1) and is checked: a
// QuickJS that differs is refused when the engine is built, in every test.
const (
	stackPointer = 0 // global indices: its own,
	overflowed   = 2 // set before a trap at the end of the stack,
	stackLimit   = 3 // and the lowest stack pointer with which a function of JavaScript may begin

	oldHeap     = 174768
	oldHeapEnd  = 196608
	oldStackEnd = 109232 // the lowest address of the old stack
	contextSeed = 288    // of the state of Math.random in a JSContext

	stackSize = 768 << 10
	newHeap   = oldHeap + stackSize
	newPages  = (newHeap + image.PageSize - 1) / image.PageSize

	cellSpace = 1024     // at the bottom of the old stack
	hardZone  = 16 << 10 // of stack that C functions may still use when ...
	softZone  = 64 << 10 // ... JavaScript functions no longer may
)

// Offsets of the cells: what the glue remembers.
const (
	cellRuntime = 0
	cellContext = 4
	cellStep    = 8
	cellCheck   = 16
	cellTrack   = 24
	cellReady   = 32
	cellScratch = 40
	cellWaiting = 48
	cellName    = 64 // strings
	cellModule  = 80
	cellStack   = 96
)

const (
	engineName = "runnel"
	// ModuleName is what the user's code is called in stacks.
	ModuleName = "function.js"

	overflowExport = "runnel_overflow"
	whereExport    = "runnel_where"
)

// ports are the imports of the port, each in the place of one of the same type.
var ports = map[string]struct{ module, name string }{
	"path_create_directory": {"runnel", "port_put"},
	"path_remove_directory": {"runnel", "port_call"},
	"fd_fdstat_get":         {"runnel", "result_read"},
	"fd_fdstat_set_flags":   {"wasi_snapshot_preview1", "random_get"},
}

type linker struct {
	sections  []image.Section
	functions map[string]uint32 // by name
	types     map[string]uint32 // by encoding
	typeOf    []uint32          // of all functions
	imported  uint32
	cells     int32
	table     map[uint32]uint32 // function by table index

	indirect                           int // calls through the table
	bodies                             [][]byte
	tableTrack, tableNative, tableLoad int32
	err                                error
}

// Engine returns the engine as a module. It is the same for the same version of
// Runnel.
var Engine = sync.OnceValues(func() ([]byte, error) { return link(quickJS()) })

func quickJS() []byte { return quickjs.QuickJSWASM }

func link(wasm []byte) ([]byte, error) {
	sections, err := image.Sections(wasm)
	if err != nil {
		return nil, err
	}
	l := &linker{sections: sections, functions: map[string]uint32{}, types: map[string]uint32{}, cells: oldStackEnd}
	l.read()
	l.glue()
	out := l.write()
	if l.err != nil {
		return nil, fmt.Errorf("js: this is not the QuickJS that the glue was made for: %w", l.err)
	}
	return out, nil
}

func (l *linker) fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf(format, args...)
	}
}

func (l *linker) section(id byte) *image.Section {
	for i := range l.sections {
		if l.sections[i].ID == id {
			return &l.sections[i]
		}
	}
	l.fail("no section %d", id)
	return &image.Section{}
}

func (l *linker) code() *code { return &code{fn: l.function} }

func (l *linker) function(name string) uint32 {
	i, ok := l.functions[name]
	if !ok {
		l.fail("no function %s", name)
	}
	return i
}

// read collects names and types.
func (l *linker) read() {
	r := image.Reader{B: l.section(image.Type).Body}
	for i := range r.U32() {
		before := r.B
		r.Byte()
		r.Bytes(r.U32())
		r.Bytes(r.U32())
		l.types[string(before[:len(before)-len(r.B)])] = i
	}
	r = image.Reader{B: l.section(image.Import).Body}
	for range r.U32() {
		r.Bytes(r.U32())
		name := string(r.Bytes(r.U32()))
		if r.Byte() != 0 {
			l.fail("import %s is not a function", name)
		}
		if p, ok := ports[name]; ok {
			l.functions[p.name] = l.imported
		}
		l.typeOf = append(l.typeOf, r.U32())
		l.imported++
	}
	f := image.Reader{B: l.section(image.Function).Body}
	for range f.U32() {
		l.typeOf = append(l.typeOf, f.U32())
	}
	names, ok := image.FindCustom(l.sections, "name")
	if !ok || r.Bad || f.Bad {
		l.fail("no names")
	}
	for r := (image.Reader{B: names}); len(r.B) > 0; {
		kind, body := r.Byte(), r.Bytes(r.U32())
		if kind != 1 {
			continue
		}
		n := image.Reader{B: body}
		for range n.U32() {
			i := n.U32()
			name := string(n.Bytes(n.U32()))
			if _, ours := l.functions[name]; !ours {
				l.functions[name] = i
			}
		}
	}
}

// add appends a function of this type and returns its index.
func (l *linker) add(name string, params, results string) uint32 {
	encoded := string(image.AppendBytes(image.AppendBytes([]byte{0x60}, []byte(params)), []byte(results)))
	t, ok := l.types[encoded]
	if !ok {
		s := l.section(image.Type)
		r := image.Reader{B: s.Body}
		t = r.U32()
		s.Body = append(append(image.AppendU32(nil, t+1), r.B...), encoded...)
		l.types[encoded] = t
	}
	i := uint32(len(l.typeOf))
	l.typeOf = append(l.typeOf, t)
	l.functions[name] = i
	return i
}

const (
	i32 = "\x7f"
	i64 = "\x7e"
)

// glue declares and writes the glue's functions.
func (l *linker) glue() {
	table := image.Reader{B: l.section(image.Table).Body}
	if table.U32() != 1 || table.Byte() != 0x70 || table.Byte() != 1 {
		l.fail("a table of another kind")
	}
	size := table.U32()
	l.tableNative, l.tableLoad, l.tableTrack = int32(size), int32(size)+1, int32(size)+2
	l.readTable(size)

	l.add("glue_native", i32+i64+i32+i32+i32, i64)
	l.add("glue_load", i32+i64+i32+i32+i32, i64)
	l.add("glue_track", i32+i64+i64+i32+i32, "")
	l.add("glue_thrown", "", "")
	l.add("glue_run", i64, "")
	l.add("glue_initialize", "", "")
	l.add("glue_handler", i32+i32, i64)
	l.add("glue_where", "", "")
	l.table[size], l.table[size+1], l.table[size+2] = l.function("glue_native"), l.function("glue_load"), l.function("glue_track")
	l.bodies = [][]byte{l.native(), l.loadModule(), l.track(), l.thrownBody(), l.run(), l.initialize(), l.handler(), l.where()}
}

// exports are those of a handler reactor.
func (l *linker) exports() []byte {
	out := image.AppendU32(nil, 6)
	add := func(name string, kind byte, index uint32) {
		out = image.AppendU32(append(image.AppendBytes(out, []byte(name)), kind), index)
	}
	add("memory", 2, 0)
	add("_initialize", 0, l.function("glue_initialize"))
	add("runnel_alloc", 0, l.function("malloc"))
	add("handler", 0, l.function("glue_handler"))
	add(overflowExport, 3, overflowed)
	add(whereExport, 0, l.function("glue_where"))
	return out
}

func (l *linker) write() []byte {
	var out []image.Section
	code := l.functionBodies(l.section(image.Code).Body) // it adds functions and types
	for _, s := range l.sections {
		switch s.ID {
		case image.Custom:
			continue
		case image.Import:
			s.Body = l.imports(s.Body)
		case image.Function:
			s.Body = image.AppendU32(nil, uint32(len(l.typeOf))-l.imported)
			for _, t := range l.typeOf[l.imported:] {
				s.Body = image.AppendU32(s.Body, t)
			}
		case image.Table, image.Element:
			continue
		case image.Memory:
			s.Body = image.AppendU32([]byte{1, 0}, newPages)
		case image.Global:
			s.Body = l.globals(s.Body)
		case image.Export:
			s.Body = l.exports()
		case image.Code:
			s.Body = code
		case image.Data:
			s.Body = l.data(s.Body)
		}
		out = append(out, s)
	}
	return image.Encode(out)
}

func (l *linker) imports(body []byte) []byte {
	r := image.Reader{B: body}
	n := r.U32()
	out := image.AppendU32(nil, n)
	renamed := 0
	for range n {
		module, name := string(r.Bytes(r.U32())), string(r.Bytes(r.U32()))
		if p, ok := ports[name]; ok {
			module, name = p.module, p.name
			renamed++
		}
		out = image.AppendBytes(image.AppendBytes(out, []byte(module)), []byte(name))
		out = image.AppendU32(append(out, r.Byte()), r.U32())
	}
	if renamed != len(ports) {
		l.fail("%d of %d imports to rename", renamed, len(ports))
	}
	return out
}

func (l *linker) globals(body []byte) []byte {
	want := append([]byte{2, 0x7f, 1, opI32Const}, image.AppendS64(nil, oldHeap)...)
	rest, ok := bytes.CutPrefix(body, append(want, opEnd))
	if !ok {
		l.fail("the stack pointer does not start at %d", oldHeap)
	}
	out := image.AppendS64([]byte{4, 0x7f, 1, opI32Const}, newHeap)
	out = append(append(out, opEnd), rest...)
	out = append(out, 0x7f, 1, opI32Const, 0, opEnd)
	return append(image.AppendS64(append(out, 0x7f, 1, opI32Const), softLimit), opEnd)
}

// readTable reads what the table holds.
func (l *linker) readTable(size uint32) {
	l.table = map[uint32]uint32{}
	r := image.Reader{B: l.section(image.Element).Body}
	if r.U32() != 1 || r.U32() != 0 || r.Byte() != opI32Const {
		l.fail("a table that is filled another way")
		return
	}
	at := uint32(r.S64())
	r.Byte()
	n := r.U32()
	if r.Bad || uint64(at)+uint64(n) > uint64(size) {
		l.fail("more elements than the table has")
		return
	}
	for i := range n {
		l.table[at+i] = r.U32()
	}
}

// indirectCalls is how many calls go through the table.
const indirectCalls = 1341

// direct replaces the calls through the table. LLVM's linker writes them with type
// and table in five bytes each.
func (l *linker) direct(f []byte) []byte {
	const size = 11
	table := []byte{0x80, 0x80, 0x80, 0x80, 0x00}
	var out []byte
	for at := 0; at+size <= len(f); at++ {
		in := f[at : at+size]
		if in[0] != opCallIndirect || in[1] < 0x80 || in[2] < 0x80 || in[3] < 0x80 || in[4] < 0x80 || in[5] > 0x0f || !bytes.Equal(in[6:], table) {
			continue
		}
		l.indirect++
		r := image.Reader{B: in[1:]}
		if out == nil {
			out = bytes.Clone(f)
		}
		// The same length: a call, and what does nothing.
		call := append([]byte{opCall}, padded(l.dispatcher(r.U32()))[1:]...)
		copy(out[at:], append(call, opNop, opNop, opNop, opNop, opNop))
		at += size - 1
	}
	if out == nil {
		return f
	}
	return out
}

// dispatcher returns the function that calls the function of this type with the table
// index that is its last argument. An index of another type traps, as it does in
// call_indirect.
func (l *linker) dispatcher(typ uint32) uint32 {
	name := fmt.Sprintf("dispatch_%d", typ)
	if i, ok := l.functions[name]; ok {
		return i
	}
	params, results := l.typeNames(typ)
	index := l.add(name, params+i32, results)
	var targets []uint32 // table indices
	for i, f := range l.table {
		if l.typeOf[f] == typ {
			targets = append(targets, i)
		}
	}
	slices.Sort(targets)
	c := l.code()
	for range len(targets) + 1 {
		c.block(opBlock)
	}
	n, last := uint32(len(targets)), uint32(0)
	if n > 0 {
		last = targets[n-1] + 1
	}
	c.get(uint32(len(params))).arg(opBrTable, last)
	for i := range last {
		depth, ok := slices.BinarySearch(targets, i)
		if !ok {
			depth = int(n)
		}
		c.out = image.AppendU32(c.out, uint32(depth))
	}
	c.out = image.AppendU32(c.out, n)
	for _, t := range targets {
		c.op(opEnd)
		for p := range params {
			c.get(uint32(p))
		}
		c.arg(opCall, l.table[t]).op(opReturn)
	}
	c.op(opEnd, opUnreachable)
	l.bodies = append(l.bodies, c.body(0, 0))
	return index
}

// typeNames returns the parameters and results of a type.
func (l *linker) typeNames(typ uint32) (params, results string) {
	r := image.Reader{B: l.section(image.Type).Body}
	for i := range r.U32() {
		r.Byte()
		params, results = string(r.Bytes(r.U32())), string(r.Bytes(r.U32()))
		if i == typ {
			return params, results
		}
	}
	l.fail("no type %d", typ)
	return "", ""
}

// padded is a constant as the linker of LLVM writes addresses: in five bytes.
func padded(v uint32) []byte {
	return []byte{opI32Const, byte(v) | 0x80, byte(v>>7) | 0x80, byte(v>>14) | 0x80, byte(v>>21) | 0x80, byte(v >> 28)}
}

// functionBodies moves the heap, adds the stack checks and appends the glue.
func (l *linker) functionBodies(body []byte) []byte {
	r := image.Reader{B: body}
	n := r.U32()
	var out []byte
	call := l.function("JS_CallInternal") - l.imported
	heap, checks := 0, 0
	for i := range n {
		f := l.direct(r.Bytes(r.U32()))
		for _, c := range [][2]uint32{{oldHeap, newHeap}, {oldHeapEnd, newPages * image.PageSize}} {
			heap += bytes.Count(f, padded(c[0]))
			f = bytes.ReplaceAll(f, padded(c[0]), padded(c[1]))
		}
		var found int
		f, found = l.guard(f)
		checks += found
		if i == call {
			f = l.firstPosition(l.javascriptGuard(f))
		}
		out = image.AppendBytes(out, f)
	}
	if heap < 10 || checks < 500 || r.Bad {
		l.fail("%d addresses of the heap, %d functions with a stack frame", heap, checks)
	}
	if l.indirect != indirectCalls {
		l.fail("%d calls through the table, not %d", l.indirect, indirectCalls)
	}
	for _, b := range l.bodies {
		out = image.AppendBytes(out, b)
	}
	return append(image.AppendU32(nil, n+uint32(len(l.bodies))), out...)
}

// The lowest addresses that the stack pointer may have, in C and, before an invocation
// says how much its memory limit allows for, in JavaScript.
const (
	hardLimit = oldStackEnd + cellSpace + hardZone
	softLimit = hardLimit + softZone
)

// guard adds a check after every instruction that moves the stack pointer down:
// "local.tee x; global.set 0" and "local.get x; global.set 0". A function that
// returns moves it up with "i32.add; global.set 0", which stays as it is.
func (l *linker) guard(f []byte) ([]byte, int) {
	set := []byte{opGlobalSet, 0x80, 0x80, 0x80, 0x80, 0x00}
	check := l.code().getSP().i32(hardLimit).op(opI32LtS).block(opIf).i32(1).arg(opGlobalSet, overflowed).op(opUnreachable, opEnd)
	var out []byte
	checks := 0
	for {
		at := bytes.Index(f, set)
		if at < 0 {
			return append(out, f...), checks
		}
		end := at + len(set)
		out = append(out, f[:end]...)
		if at > 0 && f[at-1] != opI32Add {
			out = append(out, check.out...)
			checks++
		}
		f = f[end:]
	}
}

// javascriptGuard makes JS_CallInternal throw a RangeError near the end of the
// stack. It does so before anything else, as it does for an interrupt.
func (l *linker) javascriptGuard(f []byte) []byte {
	r := image.Reader{B: f}
	for range r.U32() {
		r.U32()
		r.Byte()
	}
	head := f[:len(f)-len(r.B)]
	c := l.code().getSP().arg(opGlobalGet, stackLimit).op(opI32LtS).block(opIf)
	c.get(0).i32(l.message()).i32(0).call("JS_ThrowRangeError").op(opReturn, opEnd)
	return slices.Concat(head, c.out, r.B)
}

// firstPosition makes JS_CallInternal begin with the start of the bytecode as the
// frame's cur_pc, where it has none.
func (l *linker) firstPosition(f []byte) []byte {
	const frame, function, curPC, bytecode = 8, 14, 268, 20
	none := l.code().get(frame).i32(0).store4(curPC)
	if bytes.Count(f, none.out) != 1 {
		l.fail("no place where a frame begins without a position")
	}
	first := l.code().get(frame).get(function).load4(bytecode).i32(1).op(opI32Add).store4(curPC)
	return bytes.ReplaceAll(f, none.out, first.out)
}

// message is the address of the text of the RangeError.
func (l *linker) message() int32 {
	r := image.Reader{B: l.section(image.Data).Body}
	for range r.U32() {
		if r.U32() != 0 || r.Byte() != opI32Const {
			break
		}
		at := r.S64()
		r.Byte()
		if i := bytes.Index(r.Bytes(r.U32()), []byte("\x00Maximum call stack size exceeded\x00")); i >= 0 {
			return int32(at) + int32(i) + 1
		}
	}
	l.fail("no text for a stack overflow")
	return 0
}

// data adds the strings of the cells.
func (l *linker) data(body []byte) []byte {
	r := image.Reader{B: body}
	n := r.U32()
	out := append(image.AppendU32(nil, n+1), r.B...)
	out = image.AppendS64(append(out, 0, opI32Const), int64(l.cells+cellName))
	text := make([]byte, cellStack-cellName+len("stack")+1)
	copy(text, engineName)
	copy(text[cellModule-cellName:], ModuleName)
	copy(text[cellStack-cellName:], "stack")
	return image.AppendBytes(append(out, opEnd), text)
}
