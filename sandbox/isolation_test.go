package sandbox

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
)

// counter is a command that counts its own runs in a global and in memory, in
// places that an instance inherits if anything is shared, and prints both.
func counter() []byte {
	g := newGuest("fd_write")
	global := g.Global(wasmtest.I32, true, body().I32Const('0').End())
	g.Data(0, []byte("\x08\x00\x00\x00\x05\x00\x00\x00[0,0]"))
	return g.command(nil, body().
		GlobalGet(global).I32Const(1).Op(wasmtest.I32Add).GlobalSet(global).
		I32Const(9).GlobalGet(global).I32Store8(0).
		I32Const(11).I32Const(11).I32Load8(0).I32Const(1).Op(wasmtest.I32Add).I32Store8(0).
		// Leave traces where the next instance would have zeroes.
		I32Const(4096).I32Const(0x41).I32Const(4096).MemoryFill().
		I32Const(2048).I32Load8(0).If(wasmtest.Empty).Op(wasmtest.Unreachable).End().
		I32Const(1).I32Const(0).I32Const(1).I32Const(2048).Call(g.imports["fd_write"]).Op(wasmtest.Drop).
		I32Const(2048).I32Const(0x41).I32Const(1024).MemoryFill())
}

func TestFUNC_E2_ThousandParallelInstancesShareNothing(t *testing.T) {
	r := newRuntime(t, Config{})
	wasm := counter()
	var group sync.WaitGroup
	for range 1000 {
		group.Go(func() {
			call := callOf(wasm)
			call.Timeout = time.Minute
			out, err := r.Run(context.Background(), call)
			if err != nil || string(out.Output) != "[1,1]" {
				t.Errorf("got %s, %v, want [1,1]", out.Output, err)
			}
		})
	}
	group.Wait()
	if n := r.Mapped(); n != 0 {
		t.Errorf("%d bytes of guest memory are still mapped", n)
	}
}

func TestFUNC_E2_NothingSurvivesToTheNextInvocation(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	for range 20 {
		if out, err := run(t, r, counter()); err != nil || string(out.Output) != "[1,1]" {
			t.Fatalf("got %s, %v, want [1,1]", out.Output, err)
		}
	}
}

func TestFUNC_F1_MemoryIsBackHoweverACallEnds(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	trapInStart := newGuest()
	badData := newGuest()
	badData.Data(1<<20, []byte("x"))
	for name, wasm := range map[string][]byte{
		"success":       hello(),
		"trap":          newGuest().command(nil, body().Op(wasmtest.Unreachable)),
		"timeout":       spin(),
		"out of memory": grow(),
		"overflow":      recurse(),
		"start trap":    started(trapInStart, trapInStart.Func(trapInStart.Type(nil, nil), nil, body().Op(wasmtest.Unreachable).End())),
		"bad data":      badData.command(nil, body()),
	} {
		call := callOf(wasm)
		call.Timeout = 100 * time.Millisecond
		_, err := r.Run(context.Background(), call)
		if n := r.Mapped(); n != 0 {
			t.Errorf("%s (%v): %d bytes of guest memory are still mapped", name, err, n)
		}
	}
}

func TestFUNC_F3_FreeingTwiceIsANoOp(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	m := newMemory(1<<20, nil, &r.memories, &r.mapped)
	m.Allocate(pageSize, 65536*pageSize)
	if b := m.Reallocate(pageSize); len(b) != pageSize {
		t.Fatalf("got %d bytes", len(b))
	}
	if n := r.Mapped(); n != 1<<20 {
		t.Errorf("%d bytes are mapped, want the limit", n)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(m.Free)
	}
	group.Wait()
	if n := r.Mapped(); n != 0 {
		t.Errorf("%d bytes are mapped after Free", n)
	}
	if _, ok := m.view(0, 1); ok {
		t.Error("freed memory can be read")
	}
	if b := m.Reallocate(pageSize); b != nil {
		t.Error("freed memory can grow")
	}
	if m.peak != pageSize {
		t.Errorf("peak is %d after Free", m.peak)
	}
}

func TestFUNC_I5_ChangedBytesAreRefused(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	good, loads := hello(), 0
	call := callOf(good)
	call.Load = func(context.Context) ([]byte, error) {
		loads++
		return append(append([]byte{}, good...), 0, 1, 0), nil // a custom section more
	}
	for range 2 {
		_, err := r.Run(context.Background(), call)
		wantCode(t, err, runnel.CodeHashMismatch)
	}
	if loads != 2 {
		t.Errorf("%d loads: a mismatch must not be remembered, the bytes may be put right", loads)
	}
	call.Load = callOf(good).Load
	if _, err := r.Run(context.Background(), call); err != nil {
		t.Errorf("after the bytes were put right: %v", err)
	}
	// Another revision is loaded again, so a change behind the hash is seen.
	call.Revision = "2"
	call.Load = func(context.Context) ([]byte, error) { return spin(), nil }
	_, err := r.Run(context.Background(), call)
	wantCode(t, err, runnel.CodeHashMismatch)
	if !strings.Contains(err.Error(), "deploy the function again") {
		t.Errorf("error %q does not say what to do", err)
	}
}
