package meter_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/runnelhq/runnel/sandbox/meter"
)

// lookCost is the most that the meter lets a guest do without a look at its fuel, in
// instructions: about 20 us of simple ones.
const lookCost = 50_000

// trace is what a program did.
type trace struct {
	outcomes []string
	state    uint64
	memory   []byte
	ops      int64 // instructions executed, by the program's own count
	spent    int64 // fuel, 0 without a meter
	longest  int64 // instructions between two ticks
	trapped  bool
}

// execute calls the exports of a program in turn. A slice of 0 means no meter.
func execute(t testing.TB, p program, slice int32) trace {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig())
	defer r.Close(ctx)
	wasm := p.wasm
	var got trace
	left := int32(0) // of the last slice, when it was given
	var mod api.Module
	ticked := int64(0) // instructions executed at the last tick
	if slice > 0 {
		wasm = rewrite(t, p.wasm).Wasm
		instantiateTick(t, r, func(_ context.Context, stack []uint64) int32 {
			got.spent += int64(left) - int64(int32(uint32(stack[0])))
			left = slice
			if mod != nil {
				ops := int64(mod.ExportedGlobal("ops").Get())
				got.longest, ticked = max(got.longest, ops-ticked), ops
			}
			return slice
		})
	}
	var err error
	mod, err = r.Instantiate(ctx, wasm)
	if err != nil {
		t.Fatalf("slice %d: %v", slice, err)
	}
	for i, name := range p.runs {
		results, err := mod.ExportedFunction(name).Call(ctx, api.EncodeI32(int32(i)), api.EncodeI32(12345))
		got.outcomes = append(got.outcomes, outcome(results, err))
		if err != nil {
			got.trapped = true // the instance is of no use any more
			break
		}
	}
	got.state = mod.ExportedGlobal("state").Get()
	got.ops = int64(mod.ExportedGlobal("ops").Get())
	got.memory, _ = mod.Memory().Read(0, mod.Memory().Size())
	got.memory = bytes.Clone(got.memory)
	if slice > 0 {
		got.spent += int64(left) - int64(int32(uint32(mod.ExportedGlobal(meter.FuelExport).Get())))
	}
	return got
}

// compare checks that a program does the same with and without a meter, at any
// size of slices, and that it pays for every instruction it executes.
func compare(t testing.TB, choices []byte) (trapped bool) {
	p := generate(choices)
	plain := execute(t, p, 0)
	var spent int64
	for i, slice := range []int32{1, 50, 1_000_000} {
		got := execute(t, p, slice)
		for k := range plain.outcomes {
			if k >= len(got.outcomes) || got.outcomes[k] != plain.outcomes[k] {
				t.Fatalf("slice %d: outcomes %v, want %v", slice, got.outcomes, plain.outcomes)
			}
		}
		if got.state != plain.state || got.ops != plain.ops || !bytes.Equal(got.memory, plain.memory) {
			t.Fatalf("slice %d: different globals or memories", slice)
		}
		if slice == 1 && got.longest > lookCost { // each look at the fuel is a tick
			t.Fatalf("%d instructions executed without a look at the fuel", got.longest)
		}
		if plain.trapped {
			continue // fuel in a local is lost in a trap
		}
		// What the host calls is not charged by a caller, if it is small.
		if unpaid := int64(300 * len(p.runs)); got.spent+unpaid < got.ops {
			t.Fatalf("slice %d: %d instructions executed, %d units of fuel spent", slice, got.ops, got.spent)
		}
		if i > 0 && got.spent != spent {
			t.Fatalf("slice %d: %d units of fuel spent, %d with smaller slices", slice, got.spent, spent)
		}
		spent = got.spent
	}
	return plain.trapped
}

func TestFUNC_I2_GeneratedProgramsBehaveAndPay(t *testing.T) {
	t.Parallel()
	n := 1500
	if brief() {
		n = 150
	}
	trapped := 0
	for seed := range n {
		rnd := rand.New(rand.NewPCG(uint64(seed), 1))
		choices := make([]byte, 50+rnd.IntN(1500))
		for i := range choices {
			choices[i] = byte(rnd.Uint32())
		}
		if compare(t, choices) {
			trapped++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d programs, %d of them trapped", n, trapped)
	if trapped > n*3/4 {
		t.Errorf("%d of %d programs trapped: too few show anything", trapped, n)
	}
}

func FuzzPrograms(f *testing.F) {
	f.Add([]byte{})
	for seed := range 20 {
		rnd := rand.New(rand.NewPCG(uint64(seed), 2))
		choices := make([]byte, 400)
		for i := range choices {
			choices[i] = byte(rnd.Uint32())
		}
		f.Add(choices)
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		if len(choices) > 4000 {
			t.Skip("long programs show nothing that short ones do not")
		}
		compare(t, choices)
	})
}
