package meter

// Section ids.
const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
)

const magic = "\x00asm\x01\x00\x00\x00"

// tickType is the type of the tick import.
var tickType = FuncType{Params: I32, Results: I32}

// module is a module on its way through Rewrite. Sections are decoded, checked
// and written anew one by one; function bodies are scanned first and written
// when all of them are known, because a call costs what its callee costs.
//
// Every index is checked against what the input declares. Past its ranges lie
// the things the meter appends, and a guest that could name them could refuel.
type module struct {
	*reader
	limits Limits
	result Module
	names  []byte // payload of the name section

	out [sectionDataCount + 1][]byte // payloads of the rewritten sections

	types     []FuncType
	typeIndex map[FuncType]uint32
	ownTypes  uint32 // types of the input; later ones are the meter's

	funcTypes       []uint32 // type of each function of the input, imports first
	importedFuncs   uint32
	importedGlobals uint32
	globals         uint32 // globals of the input; the fuel global comes after them
	memories        uint32

	functions []function      // defined functions
	taken     map[uint32]bool // functions whose address is taken
	indirect  int             // what a call_indirect charges for its callee
	locals    int             // of all functions so far
	targets   int             // of all br_table so far
	split     bool            // a body calls the functions of split.go
}

// parse decodes the module up to and including a scan of the function bodies.
func (m *module) parse() {
	m.typeIndex = map[FuncType]uint32{}
	m.taken = map[uint32]bool{}
	if len(m.b) > m.limits.ModuleBytes {
		m.fail(OverLimit, "%d bytes, the limit is %d: strip debug information (wasm-strip, -ldflags=-s, --strip-debug) or build with optimisation for size", len(m.b), m.limits.ModuleBytes)
		return
	}
	if len(m.b) < len(magic) || string(m.b[:len(magic)]) != magic {
		m.fail(Malformed, "not a core WebAssembly module: deploy the .wasm file a compiler wrote, not a component and not a text file")
		return
	}
	m.pos = len(magic)

	rank := 0
	sections := [...]struct {
		rank int
		read func()
	}{
		sectionCustom:    {0, m.custom},
		sectionType:      {1, m.typeSection},
		sectionImport:    {2, m.importSection},
		sectionFunction:  {3, m.functionSection},
		sectionTable:     {4, m.tableSection},
		sectionMemory:    {5, m.memorySection},
		sectionGlobal:    {6, m.globalSection},
		sectionExport:    {7, m.exportSection},
		sectionStart:     {8, m.startSection},
		sectionElement:   {9, m.elementSection},
		sectionDataCount: {10, m.dataCountSection},
		sectionCode:      {11, m.codeSection},
		sectionData:      {12, m.dataSection},
	}
	for m.more() {
		at := m.pos
		id := m.u8()
		if int(id) >= len(sections) {
			m.failAt(at, Unsupported, "section %d is not part of WebAssembly 2.0: build without exceptions and newer proposals", id)
			return
		}
		s := sections[id]
		if id != sectionCustom {
			if s.rank <= rank {
				m.failAt(at, Malformed, "section %d is out of order", id)
				return
			}
			rank = s.rank
		}
		outer := m.enter(m.u32())
		s.read()
		m.leave(outer, "section")
	}
	if m.err == nil && m.defined() != len(m.functions) {
		m.fail(Malformed, "%d functions declared, %d bodies", m.defined(), len(m.functions))
	}
}

// defined is the number of functions that the input declares and does not import.
func (m *module) defined() int { return len(m.funcTypes) - int(m.importedFuncs) }

// custom drops custom sections, but keeps the name section for names.
func (m *module) custom() {
	if m.name() == "name" && m.names == nil {
		m.names = m.b[m.pos:m.end]
	}
	m.pos = m.end
}

func (m *module) addType(t FuncType) {
	if _, ok := m.typeIndex[t]; !ok {
		m.typeIndex[t] = uint32(len(m.types))
	}
	m.types = append(m.types, t)
}

// typeOf returns the index of a type, which is appended when it is new.
func (m *module) typeOf(t FuncType) uint32 {
	i, ok := m.typeIndex[t]
	if !ok {
		m.addType(t)
		i = m.typeIndex[t]
	}
	return i
}

// ownType reads a type index.
func (m *module) ownType() uint32 {
	at := m.pos
	x := m.u32()
	if x >= m.ownTypes {
		m.failAt(at, Malformed, "type %d does not exist", x)
		return 0
	}
	return x
}

// ownFunc reads a function index.
func (m *module) ownFunc() uint32 {
	at := m.pos
	x := m.u32()
	if int64(x) >= int64(len(m.funcTypes)) {
		m.failAt(at, Malformed, "function %d does not exist", x)
		return 0
	}
	return x
}

// shifted is the index that function x has in the output, where the tick import
// stands after the other imports.
func (m *module) shifted(x uint32) uint32 {
	if x >= m.importedFuncs {
		return x + 1
	}
	return x
}

// typeOfFunc is the type of function x.
func (m *module) typeOfFunc(x uint32) FuncType {
	if m.err != nil {
		return FuncType{}
	}
	return m.types[m.funcTypes[x]]
}

// typeOfShifted is the type of the function that has index x in the output.
func (m *module) typeOfShifted(x uint32) FuncType {
	switch {
	case x < m.importedFuncs:
		return m.typeOfFunc(x)
	case x == m.importedFuncs:
		return tickType
	case int(x) > len(m.funcTypes):
		return splitType
	}
	return m.typeOfFunc(x - 1)
}
