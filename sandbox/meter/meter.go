package meter

// The names the rewritten module uses towards the host. A guest that imports
// from Namespace or exports FuelExport itself is refused.
const (
	// Namespace is the module of the appended import, "mr".
	Namespace = "mr"

	// TickImport is the name of the appended import, (i32) -> i32. The guest
	// calls it when its fuel ran out, with the fuel left (zero or less; how far
	// below zero is what it spent beyond the last slice). What the call returns
	// is the next slice; it must be positive. The host ends the guest by
	// panicking in the call.
	TickImport = "tick"

	// FuelExport is the name of the exported fuel global, an i32 that starts at
	// zero, so that the first thing a guest does is to ask for its first slice.
	// After a trap its value means nothing.
	FuelExport = "mr_fuel"
)

// Types of values, as they appear in FuncType.
const (
	I32       = "\x7f"
	I64       = "\x7e"
	F32       = "\x7d"
	F64       = "\x7c"
	V128      = "\x7b"
	FuncRef   = "\x70"
	ExternRef = "\x6f"
)

// FuncType is the type of a function, with one byte per value:
// FuncType{Params: I32 + I32, Results: I64}. Function types compare with ==.
type FuncType struct {
	Params  string
	Results string
}

// String writes the type as "(i32, i32) -> (i64)".
func (t FuncType) String() string { return typeList(t.Params) + " -> " + typeList(t.Results) }

func typeList(types string) string {
	s := "("
	for i := range len(types) {
		if i > 0 {
			s += ", "
		}
		switch types[i : i+1] {
		case I32:
			s += "i32"
		case I64:
			s += "i64"
		case F32:
			s += "f32"
		case F64:
			s += "f64"
		case V128:
			s += "v128"
		case FuncRef:
			s += "funcref"
		case ExternRef:
			s += "externref"
		}
	}
	return s + ")"
}

// Kind is what an import or export is.
type Kind string

const (
	KindFunc   Kind = "function"
	KindTable  Kind = "table"
	KindMemory Kind = "memory"
	KindGlobal Kind = "global"
)

var kinds = [...]Kind{KindFunc, KindTable, KindMemory, KindGlobal}

// Import is something the guest needs from the host.
type Import struct {
	Module string
	Name   string
	Kind   Kind
	Type   FuncType // of functions
}

// Export is something the guest offers to the host.
type Export struct {
	Name string
	Kind Kind
	Type FuncType // of functions
}

// Module is a rewritten module and what the host needs to know about it. The
// meter's own import and export are not listed.
type Module struct {
	Wasm      []byte
	Imports   []Import
	Exports   []Export
	HasMemory bool   // defines a memory; imported ones are in Imports
	MemoryMin uint32 // pages of 64 KiB at instantiation
	MemoryMax uint32 // declared maximum in pages, 65536 when there is none
	HasStart  bool   // instantiation runs guest code
	// WritesTables tells whether the code has instructions that change a table, or
	// exports or imports one, so that others can.
	WritesTables bool
	Functions    int // defined functions
}

// Export returns the export called name.
func (m *Module) Export(name string) (Export, bool) {
	for _, e := range m.Exports {
		if e.Name == name {
			return e, true
		}
	}
	return Export{}, false
}

// Rewrite checks a module against l and rewrites it. The error is an *Error.
//
// Rewrite does not check types; what it accepts can still be refused by the
// engine, but never becomes valid by being rewritten. The result does not depend
// on anything but the arguments.
func Rewrite(wasm []byte, l Limits) (*Module, error) {
	m := &module{reader: newReader(wasm), limits: l}
	m.parse()
	if m.err == nil {
		m.classify()
		m.write()
	}
	if m.err != nil {
		return nil, m.err
	}
	return &m.result, nil
}
