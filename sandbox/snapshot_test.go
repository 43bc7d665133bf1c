package sandbox

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/wasmtest"
)

func TestASnapshotBeginsWhereInitializeEnded(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	plain := guests.Counting(nil)
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

// runnel_snapshot is called once, after _initialize, and by a snapshot only.
func TestASnapshotIsPrepared(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	wasm := guests.Counting(func(m *wasmtest.Module) {
		m.ExportFunc("runnel_snapshot", m.Func(m.Type(nil, nil), nil, wasmtest.Body().GlobalGet(0).I32Const(3).Op(0x6a).GlobalSet(0).End()))
	})
	shot, _, err := r.Snapshot(t.Context(), Snapshot{Wasm: wasm})
	if err != nil {
		t.Fatal(err)
	}
	for want, wasm := range map[string][]byte{"3": wasm, "6": shot} {
		if out, err := r.Run(context.Background(), callOf(wasm)); err != nil || string(out.Output) != want {
			t.Errorf("%s, %v, want %s", out.Output, err, want)
		}
	}
	trap := guests.Counting(func(m *wasmtest.Module) {
		m.ExportFunc("runnel_snapshot", m.Func(m.Type(nil, nil), nil, wasmtest.Body().Op(wasmtest.Unreachable).End()))
	})
	if _, _, err := r.Snapshot(t.Context(), Snapshot{Wasm: trap}); runnel.CodeOf(err) != runnel.CodeFunctionError {
		t.Errorf("error %v of one that traps", err)
	}
	if out, err := r.Run(context.Background(), callOf(trap)); err != nil || string(out.Output) != "3" {
		t.Errorf("%s, %v: a call ran it", out.Output, err)
	}
}

func TestModulesThatASnapshotDoesNotSuit(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	for name, c := range map[string]struct {
		wasm []byte
		says string
	}{
		"writes tables":     {guests.WritesTables(), "tables"},
		"exports its table": {guests.Counting(func(m *wasmtest.Module) { m.Export("table", wasmtest.KindTable, m.Table(0x70, 1)) }), "tables"},
		"starts by itself":  {guests.Counting(func(m *wasmtest.Module) { m.Start(m.Func(m.Type(nil, nil), nil, wasmtest.Body().End())) }), "start function"},
		"a reference":       {guests.Counting(func(m *wasmtest.Module) { m.Global(0x70, true, wasmtest.Body().Op(0xd0, 0x70).End()) }), "references"},
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
	call := callOf(guests.Counting(nil))
	call.Memory = 2 * pageSize
	if _, err := r.Run(context.Background(), call); runnel.CodeOf(err) != runnel.CodeOutOfMemory {
		t.Errorf("error %v", err)
	}
	call.Memory = 3 * pageSize
	if out, err := r.Run(context.Background(), call); err != nil || out.MemoryPeak != 3*pageSize {
		t.Errorf("%+v, %v", out, err)
	}
}
