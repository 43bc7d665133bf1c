package meter

// write assembles the output.
func (m *module) write() {
	tick := m.typeOf(tickType)
	code := m.code() // may append types
	var functions []byte
	if n := m.defined() + m.appended(); n > 0 {
		functions = append(appendU32(nil, uint32(n)), m.out[sectionFunction]...)
		for range m.appended() {
			functions = appendU32(functions, m.typeOf(splitType))
		}
	}

	types := appendU32(nil, uint32(len(m.types)))
	for _, t := range m.types {
		types = appendBytes(appendBytes(append(types, 0x60), t.Params), t.Results)
	}
	imports := append(appendU32(nil, uint32(len(m.result.Imports)+1)), m.out[sectionImport]...)
	imports = appendBytes(appendBytes(imports, Namespace), TickImport)
	imports = appendU32(append(imports, 0), tick)

	globals := append(appendU32(nil, m.globals-m.importedGlobals+1), m.out[sectionGlobal]...)
	globals = append(globals, typeI32, 1, opI32Const, 0, opEnd)

	exports := append(appendU32(nil, uint32(len(m.result.Exports)+1)), m.out[sectionExport]...)
	exports = appendBytes(exports, FuelExport)
	exports = appendU32(append(exports, 3), m.globals)

	out := make([]byte, 0, len(types)+len(code)+len(m.out[sectionData])+len(m.b)/8)
	out = append(out, magic...)
	out = appendSection(out, sectionType, types)
	out = appendSection(out, sectionImport, imports)
	out = appendSection(out, sectionFunction, functions)
	out = appendSection(out, sectionTable, m.out[sectionTable])
	out = appendSection(out, sectionMemory, m.out[sectionMemory])
	out = appendSection(out, sectionGlobal, globals)
	out = appendSection(out, sectionExport, exports)
	out = appendSection(out, sectionStart, m.out[sectionStart])
	out = appendSection(out, sectionElement, m.out[sectionElement])
	out = appendSection(out, sectionDataCount, m.out[sectionDataCount])
	out = appendSection(out, sectionCode, code)
	out = appendSection(out, sectionData, m.out[sectionData])
	out = appendSection(out, sectionCustom, m.functionNames())
	m.result.Wasm = out
}
