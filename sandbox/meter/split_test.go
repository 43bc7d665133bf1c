package meter_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	w "github.com/runnelhq/runnel/internal/wasmtest"
)

// Long fills and copies are done in pieces. Whatever the operands, the memory
// afterwards and the failure are those of the instruction, and no piece is longer
// than about 25 us of work.
func TestFUNC_I2_LongFillsAndCopiesAreDoneInPieces(t *testing.T) {
	t.Parallel()
	m := w.New()
	const pages = 40
	m.Export("memory", w.KindMemory, m.Memory(pages, pages))
	typ := m.Type(w.Types(w.I32, w.I32, w.I32), nil)
	m.ExportFunc("fill", m.Func(typ, nil, w.Body().LocalGet(0).LocalGet(1).LocalGet(2).MemoryFill().End()))
	m.ExportFunc("copy", m.Func(typ, nil, w.Body().LocalGet(0).LocalGet(1).LocalGet(2).MemoryCopy().End()))
	// The same in a function that keeps its fuel in a local.
	m.ExportFunc("loop", m.Func(typ, nil, w.Body().Loop(w.Empty).LocalGet(0).LocalGet(1).LocalGet(2).MemoryCopy().
		LocalGet(0).LocalGet(1).LocalGet(2).MemoryFill().I32Const(0).BrIf(0).End().End()))
	ctx := context.Background()
	least := int32(0)
	start := func(wasm []byte) api.Module {
		r := newRuntime(t)
		instantiateTick(t, r, func(_ context.Context, stack []uint64) int32 {
			least = min(least, int32(uint32(stack[0])))
			return 1 // no credit: every charge is seen
		})
		in, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	plain, metered := start(m.Bytes()), start(rewrite(t, m.Bytes()).Wasm)

	const size = pages << 16
	r := rand.New(rand.NewPCG(3, 5))
	before := make([]byte, size)
	for i := range before {
		before[i] = byte(r.Uint32())
	}
	reset := func() {
		plain.Memory().Write(0, before)
		metered.Memory().Write(0, before)
	}
	reset()
	near := []uint32{0, 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, 512 << 10, size - 256<<10 - 1, size - 256<<10, size - 1, size, size + 1, 1 << 31, 1<<32 - 256<<10, 1<<32 - 1}
	operand := func() uint64 {
		if r.IntN(3) == 0 {
			return uint64(r.Uint32N(size))
		}
		return uint64(near[r.IntN(len(near))])
	}
	failed, long := 0, 0
	for i := range 400 {
		name := []string{"fill", "copy", "loop"}[i%3]
		args := []uint64{operand(), operand(), operand()}
		_, err := plain.ExportedFunction(name).Call(ctx, args...)
		_, again := metered.ExportedFunction(name).Call(ctx, args...)
		if outcome(nil, err) != outcome(nil, again) {
			t.Errorf("%s %v: %v plain, %v in pieces", name, args, err, again)
		}
		one, _ := plain.Memory().Read(0, size)
		two, _ := metered.Memory().Read(0, size)
		if !bytes.Equal(one, two) {
			t.Fatalf("%s %v: the memories differ", name, args)
		}
		switch {
		case err != nil:
			failed++
		case args[2] > 256<<10:
			long++
			reset()
		}
	}
	if failed < 50 || long < 50 {
		t.Errorf("%d failed and %d were long: that proves little", failed, long)
	}
	if least < -(256<<10>>3)-1000 {
		t.Errorf("%d units were spent before a look at the fuel", -least)
	}
}
