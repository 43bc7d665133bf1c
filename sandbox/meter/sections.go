package meter

func (m *module) typeSection() {
	total := 0
	for range m.count(m.limits.Types, "types") {
		if form := m.u8(); form != 0x60 && m.err == nil {
			m.failAt(m.pos-1, Unsupported, "type form %#x: build without the GC proposal", form)
		}
		t := FuncType{Params: m.valueTypes(), Results: m.valueTypes()}
		n := len(t.Params) + len(t.Results)
		if n > m.limits.TypeValues {
			m.fail(OverLimit, "a function type of %d parameters and results, the limit is %d: pass them through memory", n, m.limits.TypeValues)
		}
		if total += n; total > m.limits.TypeTotal {
			m.fail(OverLimit, "function types of more than %d parameters and results together: build without what the function does not use", m.limits.TypeTotal)
		}
		m.addType(t)
	}
	m.ownTypes = uint32(len(m.types))
}

func (m *module) valueTypes() string {
	n := m.count(m.limits.TypeValues, "parameters or results of a function type")
	from := m.pos
	for range n {
		m.valueType()
	}
	if m.err != nil {
		return ""
	}
	return string(m.b[from:m.pos])
}

func (m *module) importSection() {
	n := m.count(m.limits.Imports, "imports")
	var out []byte
	for range n {
		at := m.pos
		im := Import{Module: m.name(), Name: m.name()}
		if im.Module == Namespace {
			m.failAt(at, Reserved, "import %q.%q: the module name %q belongs to the runtime, choose another", im.Module, im.Name, Namespace)
		}
		out = appendBytes(appendBytes(out, im.Module), im.Name)
		at = m.pos
		kind := m.u8()
		out = append(out, kind)
		switch kind {
		case 0:
			x := m.ownType()
			out = appendU32(out, x)
			m.funcTypes = append(m.funcTypes, x)
			m.importedFuncs++
			im.Type = m.typeOfFunc(m.importedFuncs - 1)
		case 1:
			m.result.WritesTables = true
			out = append(out, m.refType())
			out = m.copyLimits(out)
		case 2:
			out = m.copyLimits(out)
			m.memories++
		case 3:
			out = append(out, m.valueType(), m.mutability())
			m.importedGlobals++
		default:
			m.failAt(at, Unsupported, "import kind %d: build without exceptions and newer proposals", kind)
		}
		if m.err != nil {
			return
		}
		im.Kind = kinds[kind]
		m.result.Imports = append(m.result.Imports, im)
	}
	m.globals = m.importedGlobals
	m.out[sectionImport] = out
}

func (m *module) copyLimits(out []byte) []byte {
	min, max, bounded := m.reader.limits()
	return appendLimits(out, min, max, bounded)
}

func (m *module) mutability() byte {
	at := m.pos
	c := m.u8()
	if c > 1 {
		m.failAt(at, Malformed, "global mutability %d", c)
	}
	return c
}

func (m *module) functionSection() {
	n := m.count(m.limits.Functions, "functions")
	var out []byte
	for range n {
		x := m.ownType()
		if m.err != nil {
			return
		}
		m.funcTypes = append(m.funcTypes, x)
		out = appendU32(out, x)
	}
	m.result.Functions = n
	m.out[sectionFunction] = out
}

func (m *module) tableSection() {
	type table struct {
		typ      byte
		min, max uint32
	}
	n := m.count(m.limits.Tables, "tables")
	var tables []table
	left := m.limits.TableElements
	for range n {
		at := m.pos
		t := table{typ: m.refType()}
		var bounded bool
		t.min, t.max, bounded = m.reader.limits()
		if !bounded {
			t.max = 1<<32 - 1
		}
		if t.min > left {
			m.failAt(at, OverLimit, "tables of more than %d elements at the start: declare smaller ones", m.limits.TableElements)
		}
		if t.min > t.max {
			m.failAt(at, Malformed, "a table's minimum is above its maximum")
		}
		if m.err != nil {
			return
		}
		left -= t.min
		tables = append(tables, t)
	}
	out := appendU32(nil, uint32(n))
	for _, t := range tables {
		// What the minima leave is shared evenly.
		max := min(t.max, t.min+left/uint32(n))
		out = appendLimits(append(out, t.typ), t.min, max, true)
	}
	m.out[sectionTable] = out
}

func (m *module) memorySection() {
	at := m.pos
	n := m.u32()
	if n > 1 || n+m.memories > 1 {
		m.failAt(at, Unsupported, "more than one memory: build without the multi-memory proposal")
		return
	}
	out := appendU32(nil, n)
	for range n {
		at := m.pos
		min, max, bounded := m.reader.limits()
		if !bounded {
			max = 65536
		}
		switch {
		case max > 65536 || min > max:
			m.failAt(at, Malformed, "a memory of %d to %d pages", min, max)
		case min > m.limits.MemoryPages:
			m.failAt(at, OverLimit, "a memory of %d pages of 64 KiB at the start, the limit is %d: lower the initial memory", min, m.limits.MemoryPages)
		}
		m.result.HasMemory, m.result.MemoryMin, m.result.MemoryMax = true, min, max
		out = appendLimits(out, min, max, bounded)
	}
	m.out[sectionMemory] = out
}

func (m *module) globalSection() {
	n := m.count(m.limits.Globals, "globals")
	var out []byte
	for range n {
		out = append(out, m.valueType(), m.mutability())
		out = m.constant(out)
	}
	m.globals += uint32(n)
	m.out[sectionGlobal] = out
}

func (m *module) exportSection() {
	n := m.count(m.limits.Exports, "exports")
	var out []byte
	for range n {
		at := m.pos
		e := Export{Name: m.name()}
		if e.Name == FuelExport {
			m.failAt(at, Reserved, "export %q: the name belongs to the runtime, choose another", e.Name)
		}
		out = appendBytes(out, e.Name)
		at = m.pos
		kind := m.u8()
		var x uint32
		switch kind {
		case 0:
			x = m.ownFunc()
			e.Type = m.typeOfFunc(x)
			m.taken[x] = true
			x = m.shifted(x)
		case 1, 2:
			x = m.u32()
			m.result.WritesTables = m.result.WritesTables || kind == 1
		case 3:
			if x = m.u32(); x >= m.globals {
				m.failAt(at, Malformed, "global %d does not exist", x)
			}
		default:
			m.failAt(at, Unsupported, "export kind %d: build without exceptions and newer proposals", kind)
		}
		if m.err != nil {
			return
		}
		out = appendU32(append(out, kind), x)
		e.Kind = kinds[kind]
		m.result.Exports = append(m.result.Exports, e)
	}
	m.out[sectionExport] = out
}

func (m *module) startSection() {
	m.out[sectionStart] = appendU32(nil, m.shifted(m.ownFunc()))
	m.result.HasStart = true
}

func (m *module) elementSection() {
	total := 0
	n := m.count(m.limits.Elements, "element segments")
	out := appendU32(nil, uint32(n))
	for range n {
		at := m.pos
		flags := m.u32()
		if flags > 7 {
			m.failAt(at, Malformed, "element segment of kind %d", flags)
		}
		const passive, explicit, expressions = 1, 2, 4
		out = appendU32(out, flags)
		if flags&passive == 0 {
			if flags&explicit != 0 {
				out = appendU32(out, m.u32())
			}
			out = m.constant(out)
		}
		if flags&(passive|explicit) != 0 {
			at := m.pos
			c := m.u8()
			if flags&expressions == 0 && c != 0 || flags&expressions != 0 && c != 0x70 && c != 0x6f {
				m.failAt(at, Malformed, "element segment of type %#x", c)
			}
			out = append(out, c)
		}
		k := m.count(m.limits.Elements, "entries of element segments")
		if total += k; total > m.limits.Elements {
			m.failAt(at, OverLimit, "more than %d entries of element segments: build without what the function does not use", m.limits.Elements)
		}
		out = appendU32(out, uint32(k))
		for range k {
			if flags&expressions != 0 {
				out = m.constant(out)
				continue
			}
			x := m.ownFunc()
			m.taken[x] = true
			out = appendU32(out, m.shifted(x))
		}
	}
	m.out[sectionElement] = out
}

func (m *module) dataCountSection() {
	m.out[sectionDataCount] = appendU32(nil, m.u32())
}

func (m *module) dataSection() {
	n := m.count(m.limits.DataSegments, "data segments")
	out := make([]byte, 0, m.end-m.pos+8)
	out = appendU32(out, uint32(n))
	for range n {
		at := m.pos
		flags := m.u32()
		out = appendU32(out, flags)
		switch flags {
		case 0:
			out = m.constant(out)
		case 1:
		case 2:
			out = appendU32(out, m.u32())
			out = m.constant(out)
		default:
			m.failAt(at, Malformed, "data segment of kind %d", flags)
		}
		out = appendBytes(out, m.bytes(m.u32()))
	}
	m.out[sectionData] = out
}

// constant copies a constant expression.
func (m *module) constant(out []byte) []byte {
	at := m.pos
	in := m.instruction()
	switch in.op {
	case opI32Const, opI64Const, opF32Const, opF64Const, opRefNull:
	case opVector:
		if in.sub != 12 { // v128.const
			m.failAt(at, Unsupported, "vector instruction %d in a constant expression", in.sub)
		}
	case opGlobalGet:
		if in.arg >= m.importedGlobals {
			m.failAt(at, Unsupported, "global %d in a constant expression: only imported globals can be used there", in.arg)
		}
	case opRefFunc:
		if int64(in.arg) >= int64(len(m.funcTypes)) {
			m.failAt(at, Malformed, "function %d does not exist", in.arg)
		}
		m.taken[in.arg] = true
		in.arg = m.shifted(in.arg)
	default:
		m.failAt(at, Unsupported, "instruction %#x in a constant expression: build without the extended-const proposal", in.op)
	}
	if m.u8() != opEnd {
		m.failAt(at, Unsupported, "a constant expression of more than one instruction: build without the extended-const proposal")
	}
	if m.err != nil {
		return out
	}
	return append(appendInstruction(out, m.b, &in), opEnd)
}
