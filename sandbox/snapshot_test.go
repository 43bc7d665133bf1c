package sandbox

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
)

// counting is a reactor whose _initialize adds 50 to the first byte of memory, and
// whose handler adds what a global says and returns that byte: "3" when each ran once.
func counting(change func(m *wasmtest.Module)) []byte {
	i32, i64 := byte(0x7f), byte(0x7e)
	m := wasmtest.New()
	none := m.Type(nil, nil)
	alloc := m.Type(wasmtest.Types(i32), wasmtest.Types(i32))
	handle := m.Type(wasmtest.Types(i32, i32), wasmtest.Types(i64))
	m.Memory(3)
	m.Global(i32, true, wasmtest.Body().I32Const(0).End())
	add := func(n *wasmtest.Code) *wasmtest.Code {
		return wasmtest.Body().I32Const(0).I32Const(0).I32Load8(0).Add(n).Op(0x6a).I32Store8(0)
	}
	m.ExportFunc("_initialize", m.Func(none, nil, add(wasmtest.Body().I32Const(50)).I32Const(1).GlobalSet(0).End()))
	m.ExportFunc("runnel_alloc", m.Func(alloc, nil, wasmtest.Body().I32Const(16).End()))
	m.ExportFunc("handler", m.Func(handle, nil, add(wasmtest.Body().GlobalGet(0)).I64Const(1).End()))
	m.Export("memory", wasmtest.KindMemory, 0)
	m.Data(1024, bytes.Repeat([]byte("data"), 30_000))
	if change != nil {
		change(m)
	}
	return m.Bytes()
}

func TestASnapshotBeginsWhereInitializeEnded(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	plain := counting(nil)
	shot, out, err := r.Snapshot(t.Context(), Snapshot{Wasm: plain})
	if err != nil {
		t.Fatal(err, out)
	}
	again, _, err := r.Snapshot(t.Context(), Snapshot{Wasm: plain})
	if err != nil || !bytes.Equal(shot, again) {
		t.Errorf("the same module has another snapshot: %v", err)
	}
	if bytes.Contains(shot, []byte("_initialize")) {
		t.Error("the snapshot still exports _initialize")
	}
	if info, err := Check(t.Context(), shot); err != nil || info.Kind != Reactor {
		t.Errorf("%+v, %v", info, err)
	}
	for _, wasm := range [][]byte{plain, shot, shot, plain, shot} {
		if out, err := r.Run(context.Background(), callOf(wasm)); err != nil || string(out.Output) != "3" {
			t.Errorf("%s, %v", out.Output, err)
		}
	}
}

func TestModulesThatASnapshotDoesNotSuit(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	for name, c := range map[string]struct {
		wasm []byte
		says string
	}{
		"writes tables": {counting(func(m *wasmtest.Module) {
			m.Table(0x70, 1)
			m.Func(m.Type(nil, nil), nil, wasmtest.Body().I32Const(0).Op(0xd0, 0x70).Op(0x26, 0).End())
		}), "tables"},
		"exports its table": {counting(func(m *wasmtest.Module) { m.Export("table", wasmtest.KindTable, m.Table(0x70, 1)) }), "tables"},
		"starts by itself":  {counting(func(m *wasmtest.Module) { m.Start(m.Func(m.Type(nil, nil), nil, wasmtest.Body().End())) }), "start function"},
		"a reference":       {counting(func(m *wasmtest.Module) { m.Global(0x70, true, wasmtest.Body().Op(0xd0, 0x70).End()) }), "references"},
	} {
		_, _, err := r.Snapshot(t.Context(), Snapshot{Wasm: c.wasm})
		if runnel.CodeOf(err) != runnel.CodeInvalidModule || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want InvalidModule saying %q", name, err, c.says)
		}
	}
}

// A module that is taken apart is limited as one that is not.
func TestFUNC_I2_AnImageCountsTowardsTheMemoryLimit(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	call := callOf(counting(nil))
	call.Memory = 2 * pageSize
	if _, err := r.Run(context.Background(), call); runnel.CodeOf(err) != runnel.CodeOutOfMemory {
		t.Errorf("error %v", err)
	}
	call.Memory = 3 * pageSize
	if out, err := r.Run(context.Background(), call); err != nil || out.MemoryPeak != 3*pageSize {
		t.Errorf("%+v, %v", out, err)
	}
}
