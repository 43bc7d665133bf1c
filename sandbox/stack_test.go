package sandbox

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/runnelhq/runnel/sandbox/compile"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
)

// TestStackProbeKnowsThisWazero fails when an update of wazero moves the stack.
func TestStackProbeKnowsThisWazero(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, compile.Engine())
	defer r.Close(ctx)
	if err := instantiateTick(ctx, r); err != nil {
		t.Fatal(err)
	}
}

func TestStackProbeRefusesAnEngineItDoesNotKnow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(ctx)
	if err := instantiateTick(ctx, r); !errors.Is(err, errStackProbe) {
		t.Errorf("got %v", err)
	}
}

// recursion adds a function that calls itself as often as its parameter says.
func (g guest) recursion() uint32 {
	return g.Func(g.Type([]byte{wasmtest.I32}, []byte{wasmtest.I32}), nil, body().
		LocalGet(0).Op(wasmtest.I32Eqz).If(wasmtest.Empty).I32Const(0).Op(wasmtest.Return).End().
		LocalGet(0).I32Const(1).Op(wasmtest.I32Sub).Call(0).I32Const(1).Op(wasmtest.I32Add).End())
}

// deep is a command that recurses n times and returns.
func deep(n int32) []byte {
	g := newGuest()
	f := g.recursion()
	return g.command(nil, body().I32Const(n).Call(f).Op(wasmtest.Drop))
}

func TestFUNC_I2_DeepRecursionThatEndsIsFine(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	if _, err := run(t, r, deep(5_000)); err != nil {
		t.Errorf("5,000 calls: %v", err)
	}
	_, err := run(t, r, deep(1_000_000))
	wantCode(t, err, runnel.CodeStackOverflow)
}

func TestFuelSlicesAdapt(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var f fuel
	if n := f.settle(0, now); n != firstSlice || f.used != 0 {
		t.Fatalf("the first slice is %d, %d used", n, f.used)
	}
	used := int64(0)
	step := func(took time.Duration, want int32) {
		t.Helper()
		now = now.Add(took)
		used += int64(f.slice) + 7
		if n := f.settle(-7, now); n != want || f.used != used {
			t.Fatalf("after %v: slice %d, used %d, want %d and %d", took, n, f.used, want, used)
		}
	}
	step(50*time.Microsecond, 200_000)
	step(10*time.Microsecond, 400_000)
	step(10*time.Microsecond, 800_000)
	step(10*time.Microsecond, maxSlice)
	step(100*time.Microsecond, maxSlice/2)
	step(time.Second, minSlice)
	step(time.Second, minSlice)

	f.finish(minSlice - 100)
	if f.used != used+100 {
		t.Errorf("the last slice counted %d", f.used-used)
	}
	f.finish(1 << 30) // stale, after a trap
	if f.used != used+100 {
		t.Errorf("a stale count changed the sum by %d", f.used-used-100)
	}
}

// A guest gives its turn away often where guests may have all processors, and seldom
// where another one is free for whoever needs it.
func TestGuestsYieldOftenInACrowd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		live, processors int
		yields           time.Duration // after
	}{{1, 1, yieldEvery}, {2, 2, yieldEvery}, {100, 2, yieldEvery}, {1, 2, yieldAlone}, {7, 8, yieldAlone}} {
		inv := &invocation{live: new(atomic.Int32), processors: c.processors}
		inv.live.Store(int32(c.live))
		for _, since := range []time.Duration{0, yieldEvery, yieldEvery + 1, yieldAlone, yieldAlone + 1, time.Second} {
			if got, want := inv.yields(since), since > c.yields; got != want {
				t.Errorf("%d guests on %d processors: yields after %v: %t, want %t", c.live, c.processors, since, got, want)
			}
		}
	}
}
