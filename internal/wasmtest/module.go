// Package wasmtest encodes small WebAssembly modules for tests.
//
// It checks nothing: a test can encode a module that is valid, invalid or
// hostile. Indices are handed out in the order of the calls, imports first, as
// the binary format counts them:
//
//	m := wasmtest.New()
//	print := m.ImportFunc("host", "print", m.Type(wasmtest.Types(wasmtest.I32), nil))
//	run := m.Func(m.Type(nil, nil), nil, wasmtest.Body().I32Const(42).Call(print).End())
//	m.ExportFunc("run", run)
//	wasm := m.Bytes()
package wasmtest

// The value types.
const (
	I32       byte = 0x7f
	I64       byte = 0x7e
	F32       byte = 0x7d
	F64       byte = 0x7c
	V128      byte = 0x7b
	FuncRef   byte = 0x70
	ExternRef byte = 0x6f
)

// The kinds of imports and exports.
const (
	KindFunc   byte = 0
	KindTable  byte = 1
	KindMemory byte = 2
	KindGlobal byte = 3
)

// The section ids.
const (
	SectionCustom byte = iota
	SectionType
	SectionImport
	SectionFunction
	SectionTable
	SectionMemory
	SectionGlobal
	SectionExport
	SectionStart
	SectionElement
	SectionCode
	SectionData
	SectionDataCount
)

// order is the order sections have in a module.
var order = [...]byte{
	SectionType, SectionImport, SectionFunction, SectionTable, SectionMemory, SectionGlobal,
	SectionExport, SectionStart, SectionElement, SectionDataCount, SectionCode, SectionData, SectionCustom,
}

// Module collects the entries of a module. The zero value is an empty module.
type Module struct {
	sections [SectionDataCount + 1]section
	imported [KindGlobal + 2]uint32 // imports by kind, one beyond those of version 2
	types    map[string]uint32
	custom   []byte
}

type section struct {
	count   uint32
	entries []byte
	raw     bool // entries is the whole payload, without a count before it
}

// New returns an empty module.
func New() *Module { return &Module{} }

// Types writes a list of value types.
func Types(t ...byte) []byte { return t }

// Type returns the index of a function type. Equal types share an index.
func (m *Module) Type(params, results []byte) uint32 {
	e := append([]byte{0x60}, vector(params)...)
	e = append(e, vector(results)...)
	if i, ok := m.types[string(e)]; ok {
		return i
	}
	if m.types == nil {
		m.types = map[string]uint32{}
	}
	i := m.add(SectionType, e)
	m.types[string(e)] = i
	return i
}

// ImportFunc imports a function and returns its index. Imports of one kind come
// before definitions of that kind.
func (m *Module) ImportFunc(module, name string, typ uint32) uint32 {
	return m.Import(module, name, KindFunc, Uint(typ))
}

// Import imports anything; desc is the encoded description behind the kind.
func (m *Module) Import(module, name string, kind byte, desc []byte) uint32 {
	e := append(vector([]byte(module)), vector([]byte(name))...)
	m.add(SectionImport, append(append(e, kind), desc...))
	m.imported[kind]++
	return m.imported[kind] - 1
}

// Func defines a function and returns its index. Locals are value types, one
// byte each; body ends with its own end.
func (m *Module) Func(typ uint32, locals []byte, body *Code) uint32 {
	var runs []byte
	n := uint32(0)
	for i := 0; i < len(locals); {
		j := i
		for j < len(locals) && locals[j] == locals[i] {
			j++
		}
		runs = append(append(runs, Uint(uint32(j-i))...), locals[i])
		n++
		i = j
	}
	return m.RawFunc(typ, append(append(Uint(n), runs...), body.b...))
}

// RawFunc defines a function from the bytes of its code entry, the declaration
// of locals included and the size before it not.
func (m *Module) RawFunc(typ uint32, code []byte) uint32 {
	m.add(SectionCode, vector(code))
	return m.imported[KindFunc] + m.add(SectionFunction, Uint(typ))
}

// Table defines a table and returns its index. At most one max is read; none
// means unlimited.
func (m *Module) Table(typ byte, min uint32, max ...uint32) uint32 {
	return m.imported[KindTable] + m.add(SectionTable, append([]byte{typ}, limits(min, max)...))
}

// Memory defines a memory; sizes are pages of 64 KiB.
func (m *Module) Memory(min uint32, max ...uint32) uint32 {
	return m.imported[KindMemory] + m.add(SectionMemory, limits(min, max))
}

// Global defines a global and returns its index; init ends with its own end.
func (m *Module) Global(typ byte, mutable bool, init *Code) uint32 {
	e := []byte{typ, 0}
	if mutable {
		e[1] = 1
	}
	return m.imported[KindGlobal] + m.add(SectionGlobal, append(e, init.b...))
}

// Export exports entry index of the given kind.
func (m *Module) Export(name string, kind byte, index uint32) {
	m.add(SectionExport, append(append(vector([]byte(name)), kind), Uint(index)...))
}

// ExportFunc exports a function.
func (m *Module) ExportFunc(name string, f uint32) { m.Export(name, KindFunc, f) }

// Start makes f the start function.
func (m *Module) Start(f uint32) { m.Raw(SectionStart, Uint(f)) }

// Elem writes functions into table 0 from offset on, at instantiation.
func (m *Module) Elem(offset int32, funcs ...uint32) uint32 {
	e := append([]byte{0}, Body().I32Const(offset).End().b...)
	e = append(e, Uint(uint32(len(funcs)))...)
	for _, f := range funcs {
		e = append(e, Uint(f)...)
	}
	return m.add(SectionElement, e)
}

// Data writes bytes into memory 0 from offset on, at instantiation.
func (m *Module) Data(offset int32, data []byte) uint32 {
	e := append([]byte{0}, Body().I32Const(offset).End().b...)
	return m.add(SectionData, append(e, vector(data)...))
}

// PassiveData keeps bytes for memory.init, and adds the data count section that
// memory.init needs.
func (m *Module) PassiveData(data []byte) uint32 {
	i := m.add(SectionData, append([]byte{1}, vector(data)...))
	m.Raw(SectionDataCount, Uint(i+1))
	return i
}

// Entry adds an encoded entry to any section that starts with a count.
func (m *Module) Entry(section byte, entry []byte) uint32 { return m.add(section, entry) }

// Raw replaces a section's payload.
func (m *Module) Raw(id byte, payload []byte) {
	m.sections[id] = section{entries: payload, raw: true}
}

// Custom adds a custom section at the end.
func (m *Module) Custom(name string, data []byte) {
	m.custom = Section(m.custom, SectionCustom, append(vector([]byte(name)), data...))
}

// Bytes encodes the module.
func (m *Module) Bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, id := range order {
		s := &m.sections[id]
		switch {
		case id == SectionCustom:
			out = append(out, m.custom...)
		case s.raw:
			out = Section(out, id, s.entries)
		case s.count > 0:
			out = Section(out, id, append(Uint(s.count), s.entries...))
		}
	}
	return out
}

// add appends an entry and returns its position in the section.
func (m *Module) add(id byte, entry []byte) uint32 {
	s := &m.sections[id]
	s.entries = append(s.entries, entry...)
	s.count++
	return s.count - 1
}

// Section appends a section with its id and size.
func Section(out []byte, id byte, payload []byte) []byte {
	return append(append(append(out, id), Uint(uint32(len(payload)))...), payload...)
}

// Uint encodes an unsigned LEB128 integer.
func Uint(v uint32) []byte {
	var out []byte
	for v >= 0x80 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v))
}

// Int encodes a signed LEB128 integer.
func Int(v int64) []byte {
	var out []byte
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

func vector(b []byte) []byte { return append(Uint(uint32(len(b))), b...) }

func limits(min uint32, max []uint32) []byte {
	if len(max) == 0 {
		return append([]byte{0}, Uint(min)...)
	}
	return append(append([]byte{1}, Uint(min)...), Uint(max[0])...)
}
