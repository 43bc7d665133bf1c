package meter_test

import (
	"testing"

	w "github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sandbox/meter"
)

func TestRewriteListsImportsAndExports(t *testing.T) {
	t.Parallel()
	m := w.New()
	typ := m.Type(w.Types(w.I32, w.I64), w.Types(w.F64))
	m.ImportFunc("env", "clock", typ)
	f := m.Func(m.Type(nil, nil), nil, w.Body().End())
	m.ExportFunc("handler", f)
	m.Memory(3, 7)
	m.Export("memory", w.KindMemory, 0)
	m.Start(f)

	got, err := meter.Rewrite(m.Bytes(), meter.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	want := meter.Import{Module: "env", Name: "clock", Kind: meter.KindFunc, Type: meter.FuncType{Params: meter.I32 + meter.I64, Results: meter.F64}}
	if len(got.Imports) != 1 || got.Imports[0] != want {
		t.Errorf("Imports = %v, want %v", got.Imports, want)
	}
	if s := got.Imports[0].Type.String(); s != "(i32, i64) -> (f64)" {
		t.Errorf("Type = %s", s)
	}
	if e, ok := got.Export("handler"); !ok || e.Kind != meter.KindFunc || e.Type != (meter.FuncType{}) {
		t.Errorf("Export(handler) = %v, %v", e, ok)
	}
	if e, ok := got.Export("memory"); !ok || e.Kind != meter.KindMemory {
		t.Errorf("Export(memory) = %v, %v", e, ok)
	}
	if len(got.Exports) != 2 || !got.HasMemory || got.MemoryMin != 3 || got.MemoryMax != 7 || !got.HasStart || got.Functions != 1 {
		t.Errorf("Module = %+v", got)
	}
}
