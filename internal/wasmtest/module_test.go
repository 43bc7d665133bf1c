package wasmtest_test

import (
	"testing"

	"github.com/tetratelabs/wazero"

	w "github.com/runnelhq/runnel/internal/wasmtest"
)

// A module with every kind of entry is what wazero reads it as.
func TestModuleRunsInWazero(t *testing.T) {
	ctx := t.Context()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)

	host := w.New()
	binary := host.Type(w.Types(w.I32, w.I32), w.Types(w.I32))
	host.ExportFunc("add", host.Func(binary, nil, w.Body().LocalGet(0).LocalGet(1).Op(w.I32Add).End()))
	if _, err := rt.InstantiateWithConfig(ctx, host.Bytes(), wazero.NewModuleConfig().WithName("host")); err != nil {
		t.Fatal(err)
	}

	m := w.New()
	unary := m.Type(w.Types(w.I32), w.Types(w.I32))
	nothing := m.Type(nil, nil)
	add := m.ImportFunc("host", "add", m.Type(w.Types(w.I32, w.I32), w.Types(w.I32)))
	counter := m.Global(w.I32, true, w.Body().I32Const(100).End())
	m.Memory(1, 2)
	m.Data(8, []byte{5})
	m.PassiveData([]byte("unused"))
	m.Table(w.FuncRef, 1, 1)
	start := m.Func(nothing, nil, w.Body().GlobalGet(counter).I32Const(1).Op(w.I32Add).GlobalSet(counter).End())
	m.Start(start)
	// sum(n) = counter + byte at 8 + 1 + .. + n
	sum := m.Func(unary, w.Types(w.I32, w.I64, w.I64), w.Body().
		GlobalGet(counter).I32Const(8).I32Load8(0).Call(add).LocalSet(1).
		Block(w.Empty).Loop(w.Empty).
		LocalGet(0).Op(w.I32Eqz).BrIf(1).
		LocalGet(1).LocalGet(0).Call(add).LocalSet(1).
		LocalGet(0).I32Const(-1).Op(w.I32Add).LocalSet(0).
		Br(0).End().End().
		LocalGet(1).End())
	m.Elem(0, sum)
	m.ExportFunc("run", m.Func(unary, nil, w.Body().LocalGet(0).I32Const(0).CallIndirect(unary).End()))
	m.Custom("note", []byte("hello"))

	mod, err := rt.Instantiate(ctx, m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got, err := mod.ExportedFunction("run").Call(ctx, 10)
	if err != nil || got[0] != 101+5+55 {
		t.Fatalf("run(10) = %v, %v; want %d", got, err, 101+5+55)
	}
}
