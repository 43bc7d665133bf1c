package meter_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	w "github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sandbox/meter"
)

// refused fails the test unless a module is refused for the given reason.
func refused(t *testing.T, wasm []byte, l meter.Limits, reason meter.Reason) {
	t.Helper()
	_, err := meter.Rewrite(wasm, l)
	var e *meter.Error
	if !errors.As(err, &e) {
		t.Errorf("error %v, want a refusal: %s", err, reason)
	} else if e.Reason != reason {
		t.Errorf("refused as %v, want %s", err, reason)
	}
}

// An index attack uses an index that the input does not declare and the output
// does, because the meter appends something. Each is built twice: with the last
// index that is the guest's own, which has to be accepted, and with the next one.
func TestFUNC_I2_GuestsCannotNameWhatTheMeterAppends(t *testing.T) {
	t.Parallel()
	// base has 2 types, 1 imported function, 2 functions, 1 imported and 1 own global.
	const types, functions, globals = 2, 3, 2
	build := func(add func(m *w.Module)) []byte {
		m := w.New()
		nothing := m.Type(nil, nil)
		m.Type(w.Types(w.I64), nil)
		m.ImportFunc("env", "f", nothing)
		m.Import("env", "g", w.KindGlobal, []byte{w.I32, 0})
		m.Memory(1)
		m.Table(w.FuncRef, 10)
		m.Global(w.I32, true, w.Body().I32Const(0).End())
		m.Func(nothing, nil, w.Body().End())
		add(m)
		return m.Bytes()
	}
	body := func(code func(i uint32) *w.Code) func(m *w.Module, i uint32) {
		return func(m *w.Module, i uint32) { m.Func(0, nil, code(i).End()) }
	}
	also := func(add func(m *w.Module, i uint32)) func(m *w.Module, i uint32) {
		return func(m *w.Module, i uint32) {
			m.Func(0, nil, w.Body().End())
			add(m, i)
		}
	}
	offset := func(i uint32) []byte { return w.Body().GlobalGet(i).End().Bytes() }
	attacks := map[string]struct {
		last uint32
		add  func(m *w.Module, i uint32)
	}{
		"global.get":           {globals - 1, body(func(i uint32) *w.Code { return w.Body().GlobalGet(i).Op(w.Drop) })},
		"global.set":           {globals - 1, body(func(i uint32) *w.Code { return w.Body().I32Const(1 << 30).GlobalSet(i) })},
		"export of the global": {globals - 1, also(func(m *w.Module, i uint32) { m.Export("g", w.KindGlobal, i) })},
		"global in a global":   {0, also(func(m *w.Module, i uint32) { m.Global(w.I32, false, w.Body().GlobalGet(i*globals).End()) })},
		"global in data": {0, also(func(m *w.Module, i uint32) {
			m.Entry(w.SectionData, append(append([]byte{0}, offset(i*globals)...), 0))
		})},
		"global in elements": {0, also(func(m *w.Module, i uint32) {
			m.Entry(w.SectionElement, append(append([]byte{0}, offset(i*globals)...), 0))
		})},
		"call": {functions - 1, body(func(i uint32) *w.Code { return w.Body().Call(i) })},
		"ref.func": {functions - 1, also(func(m *w.Module, i uint32) {
			m.ExportFunc("f", 2)
			m.Global(w.FuncRef, false, w.Body().RefFunc(i).End())
		})},
		"ref.func in a body":   {functions - 1, body(func(i uint32) *w.Code { return w.Body().RefFunc(i).Op(w.Drop) })},
		"function in elements": {functions - 1, also(func(m *w.Module, i uint32) { m.Elem(0, i) })},
		"export of a function": {functions - 1, also(func(m *w.Module, i uint32) { m.ExportFunc("f", i) })},
		"start":                {functions - 1, also(func(m *w.Module, i uint32) { m.Start(i) })},
		"call_indirect":        {types - 1, body(func(i uint32) *w.Code { return w.Body().Op(w.Unreachable).CallIndirect(i) })},
		"block type": {types - 1, body(func(i uint32) *w.Code {
			return w.Body().Op(w.Unreachable).Block(w.Int(int64(i))...).Op(w.Unreachable).End()
		})},
		"function type":       {types - 1, also(func(m *w.Module, i uint32) { m.Func(i, nil, w.Body().End()) })},
		"type of an import":   {types - 1, func(m *w.Module, i uint32) { m.ImportFunc("env", "h", i) }},
		"local of a cache":    {0, body(func(i uint32) *w.Code { return w.Body().Loop(w.Empty).I32Const(0).BrIf(0).End().Add(localAttack(i)) })},
		"local of an operand": {0, body(func(i uint32) *w.Code { return w.Body().I32Const(0).MemoryGrow().Op(w.Drop).Add(localAttack(i)) })},
		"label of a wrapper":  {1, body(func(i uint32) *w.Code { return w.Body().Loop(w.Empty).I32Const(0).BrIf(0).I32Const(0).BrIf(i).End() })},
		"label of a nested one": {1, body(func(i uint32) *w.Code {
			return w.Body().Loop(w.Empty).I32Const(0).BrIf(0).I32Const(0).BrTable(i, 0).End()
		})},
	}
	for name, a := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := meter.Rewrite(build(func(m *w.Module) { a.add(m, a.last) }), meter.DefaultLimits()); err != nil {
				t.Errorf("with index %d: %v", a.last, err)
			}
			_, err := meter.Rewrite(build(func(m *w.Module) { a.add(m, a.last+1) }), meter.DefaultLimits())
			if err == nil {
				t.Errorf("with index %d: accepted", a.last+1)
			}
		})
	}
}

// localAttack accesses local 0 (which does not exist) when i is 1.
func localAttack(i uint32) *w.Code {
	if i == 0 {
		return w.Body()
	}
	return w.Body().I32Const(1 << 30).LocalSet(0)
}

func TestRewriteRefusesReservedNames(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*w.Module){
		"import of the tick":     func(m *w.Module) { m.ImportFunc("mr", "tick", m.Type(w.Types(w.I32), w.Types(w.I32))) },
		"import from the module": func(m *w.Module) { m.Import("mr", "memory", w.KindMemory, []byte{0, 1}) },
		"export of the fuel": func(m *w.Module) {
			m.Global(w.I32, true, w.Body().I32Const(0).End())
			m.Export("mr_fuel", w.KindGlobal, 0)
		},
		"function of its name": func(m *w.Module) { m.ExportFunc("mr_fuel", m.Func(m.Type(nil, nil), nil, w.Body().End())) },
	}
	for name, add := range tests {
		t.Run(name, func(t *testing.T) {
			m := w.New()
			add(m)
			refused(t, m.Bytes(), meter.DefaultLimits(), meter.Reserved)
		})
	}
}

func TestRewriteRefusesWhatIsBeyondWebAssembly2(t *testing.T) {
	t.Parallel()
	code := func(c *w.Code) func(*w.Module) {
		return func(m *w.Module) { m.Func(m.Type(nil, nil), nil, c.End()) }
	}
	tests := map[string]func(*w.Module){
		"return_call":           code(w.Body().Op(0x12, 0)),
		"return_call_indirect":  code(w.Body().Op(0x13, 0, 0)),
		"call_ref":              code(w.Body().Op(0x14, 0)),
		"try":                   code(w.Body().Op(0x06, w.Empty)),
		"throw":                 code(w.Body().Op(0x08, 0)),
		"throw_ref":             code(w.Body().Op(0x0a)),
		"try_table":             code(w.Body().Op(0x1f, w.Empty, 0)),
		"atomic":                code(w.Body().Op(0xfe, 0x03, 0)),
		"gc":                    code(w.Body().Op(0xfb, 0)),
		"bulk 18":               code(w.Body().Op(0xfc, 18)),
		"relaxed vectors":       code(w.Body().Op(0xfd, 0x80, 0x02)),
		"memory index of size":  code(w.Body().Op(0x3f, 1, w.Drop)),
		"memory index of load":  code(w.Body().I32Const(0).Op(0x28, 0x42, 0, 0, w.Drop)),
		"local of (ref 0)":      func(m *w.Module) { m.RawFunc(m.Type(nil, nil), []byte{1, 1, 0x63, 0, 0x0b}) },
		"parameter of (ref 0)":  func(m *w.Module) { m.Entry(w.SectionType, []byte{0x60, 1, 0x64, 0, 0}) },
		"struct type":           func(m *w.Module) { m.Entry(w.SectionType, []byte{0x5f, 0}) },
		"shared memory":         func(m *w.Module) { m.Entry(w.SectionMemory, []byte{3, 1, 1}) },
		"64-bit memory":         func(m *w.Module) { m.Entry(w.SectionMemory, []byte{4, 1}) },
		"two memories":          func(m *w.Module) { m.Memory(1); m.Memory(1) },
		"imported second":       func(m *w.Module) { m.Import("env", "m", w.KindMemory, []byte{0, 1}); m.Memory(1) },
		"64-bit table":          func(m *w.Module) { m.Entry(w.SectionTable, []byte{w.FuncRef, 4, 1}) },
		"imported tag":          func(m *w.Module) { m.Import("env", "t", 4, []byte{0, 0}) },
		"extended constant":     func(m *w.Module) { m.Global(w.I32, false, w.Body().I32Const(1).I32Const(1).Op(w.I32Add).End()) },
		"constant of an global": func(m *w.Module) { m.Global(w.I32, false, w.Body().GlobalGet(0).End()) },
	}
	for name, add := range tests {
		t.Run(name, func(t *testing.T) {
			m := w.New()
			add(m)
			refused(t, m.Bytes(), meter.DefaultLimits(), meter.Unsupported)
		})
	}
	t.Run("tag section", func(t *testing.T) {
		refused(t, w.Section(w.New().Bytes(), 13, []byte{0}), meter.DefaultLimits(), meter.Unsupported)
	})
}

func TestRewriteRefusesMalformedModules(t *testing.T) {
	t.Parallel()
	header := w.New().Bytes()
	section := func(id byte, payload ...byte) []byte { return w.Section(bytes.Clone(header), id, payload) }
	code := func(b ...byte) []byte {
		m := w.New()
		m.Memory(1)
		m.RawFunc(m.Type(nil, nil), append([]byte{0}, b...))
		return m.Bytes()
	}
	tests := map[string][]byte{
		"empty":                    {},
		"text":                     []byte("(module)"),
		"component":                []byte("\x00asm\x0d\x00\x01\x00"),
		"cut section":              append(bytes.Clone(header), 1, 10, 0),
		"sections out of order":    w.Section(section(w.SectionImport, 0), w.SectionType, []byte{0}),
		"section twice":            w.Section(section(w.SectionType, 0), w.SectionType, []byte{0}),
		"section too long":         section(w.SectionType, 0, 0),
		"vector too long":          section(w.SectionType, 100, 0),
		"code without functions":   section(w.SectionCode, 1, 2, 0, 0x0b),
		"functions without code":   w.Section(section(w.SectionType, 1, 0x60, 0, 0), w.SectionFunction, []byte{1, 0}),
		"name not UTF-8":           section(w.SectionExport, 1, 1, 0xff, 0, 0),
		"custom name not UTF-8":    section(w.SectionCustom, 1, 0xff),
		"u32 of 6 bytes":           section(w.SectionType, 0x80, 0x80, 0x80, 0x80, 0x80, 0),
		"u32 over 32 bits":         section(w.SectionType, 0x80, 0x80, 0x80, 0x80, 0x10),
		"s32 over 32 bits":         code(0x41, 0x80, 0x80, 0x80, 0x80, 0x10, w.Drop, 0x0b),
		"s32 with bad sign bits":   code(0x41, 0xff, 0xff, 0xff, 0xff, 0x4f, w.Drop, 0x0b),
		"s64 with bad sign bits":   code(0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7e, w.Drop, 0x0b),
		"block type of two bytes":  code(0x02, 0xff, 0x7f, 0x00, 0x0b, w.Drop, 0x0b),
		"no end":                   code(w.Nop),
		"code after the end":       code(0x0b, w.Nop),
		"else without if":          code(0x02, w.Empty, 0x05, 0x0b, 0x0b),
		"second else":              code(0x41, 0, 0x04, w.Empty, 0x05, 0x05, 0x0b, 0x0b),
		"padded vector opcode":     code(0x00, 0xfd, 0xd1, 0x00, w.Drop, 0x0b),
		"huge br_table":            code(0x41, 0, 0x0e, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x0b),
		"select of two types":      code(0x00, 0x1c, 2, w.I32, w.I32, w.Drop, w.Drop, 0x0b),
		"memory above its maximum": section(w.SectionMemory, 1, 1, 2, 1),
		"memory over 4 GiB":        section(w.SectionMemory, 1, 1, 0, 0x81, 0x80, 0x04),
		"table above its maximum":  section(w.SectionTable, 1, w.FuncRef, 1, 2, 1),
		"table of numbers":         section(w.SectionTable, 1, w.I32, 0, 1),
		"mutability of 2":          section(w.SectionGlobal, 1, w.I32, 2, 0x41, 0, 0x0b),
		"data of kind 3":           section(w.SectionData, 1, 3, 0),
		"elements of kind 8":       section(w.SectionElement, 1, 8, 0),
	}
	for name, wasm := range tests {
		t.Run(name, func(t *testing.T) { refused(t, wasm, meter.DefaultLimits(), wantMalformed(name)) })
	}
}

// wantMalformed: integers that are read as something else first.
func wantMalformed(name string) meter.Reason {
	if name == "block type of two bytes" {
		return meter.Unsupported
	}
	return meter.Malformed
}

// Padded integers within their length are valid, linkers write them, and they are
// gone from the output.
func TestRewriteShortensIntegers(t *testing.T) {
	t.Parallel()
	m := w.New()
	m.Memory(1)
	m.RawFunc(m.Type(nil, nil), []byte{
		0x80, 0x00, // no locals
		0x41, 0xff, 0xff, 0xff, 0xff, 0x7f, // i32.const -1
		0x28, 0x80, 0x00, 0x84, 0x80, 0x80, 0x80, 0x00, // i32.load offset=4
		w.Drop, 0x0b,
	})
	out := rewrite(t, m.Bytes()).Wasm
	if want := []byte{0x41, 0x7f, 0x28, 0x00, 0x04, w.Drop, 0x0b}; !bytes.Contains(out, want) {
		t.Errorf("output does not contain % x:\n% x", want, out)
	}
}

func TestErrorSaysWhereAndWhy(t *testing.T) {
	t.Parallel()
	m := w.New()
	m.Func(m.Type(nil, nil), nil, w.Body().Op(0x12, 0).End())
	_, err := meter.Rewrite(m.Bytes(), meter.DefaultLimits())
	want := fmt.Sprintf("unsupported module: instruction 0x12 is not part of WebAssembly 2.0: build without tail calls, exceptions, threads and newer proposals (at byte %#x)", bytes.IndexByte(m.Bytes(), 0x12))
	if err == nil || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
}
