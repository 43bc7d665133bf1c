package sandbox

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/runnelhq/runnel/sandbox/meter"
)

// A metered guest calls mr.tick when its fuel is used up and gets the next slice.
// Slices adapt to about sliceTarget of wall time, because a unit of fuel costs
// anything between a tenth of a nanosecond and a cache miss. A shorter target
// makes ticks show in the run time, a longer one delays everything that waits for
// the guest: its deadline, its neighbours, the garbage collector.
const (
	firstSlice  = 200_000
	minSlice    = 20_000
	maxSlice    = 1_000_000
	sliceTarget = 50 * time.Microsecond
	sliceLong   = 80 * time.Microsecond // shrink above
	sliceShort  = 25 * time.Microsecond // double below
	yieldEvery  = 40 * time.Microsecond
	// yieldAlone is the same while guests leave a processor to others. Whoever
	// becomes runnable then finds it; and to yield would have an idle processor take
	// the guest over, 5 us each time and its caches cold.
	yieldAlone = time.Millisecond
)

// fuel is the state of one instance's slices. The guest counts down from slice in
// its own global; used is what earlier slices took.
type fuel struct {
	used    int64
	slice   int32 // the one the guest is consuming, 0 before the first tick
	next    int32
	began   time.Time // when the guest got it
	yielded time.Time
}

// settle counts the part of the current slice that was consumed when left of it
// remained, and grants the next.
func (f *fuel) settle(left int32, now time.Time) (next int32) {
	f.used += int64(f.slice) - int64(left)
	switch {
	case f.slice == 0:
		f.next, f.yielded = firstSlice, now
	default:
		took := now.Sub(f.began)
		switch {
		case took > sliceLong:
			f.next = max(minSlice, int32(int64(f.next)*int64(sliceTarget)/int64(took)))
		case took < sliceShort:
			f.next = min(maxSlice, f.next*2)
		}
	}
	f.slice, f.began = f.next, now
	return f.next
}

// finish counts what was consumed of the last slice. After a trap the guest's count
// can be stale, so no more is taken from it than the slice.
func (f *fuel) finish(left int32) {
	f.used += min(max(int64(f.slice)-int64(left), 0), int64(f.slice))
	f.slice = 0
}

// instantiateTick makes the host module that the meter's import resolves to, and
// finds out how to read the stack with it.
func instantiateTick(ctx context.Context, r wazero.Runtime) error {
	var probe stackProbe
	i32 := []api.ValueType{api.ValueTypeI32}
	_, err := r.NewHostModuleBuilder(meter.Namespace).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(ctx context.Context, stack []uint64) { probe.tick(ctx, stack) }), i32, i32).
		Export(meter.TickImport).Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("sandbox: tick: %w", err)
	}
	return probe.find(ctx, r)
}

// tick is mr.tick(left i32) -> i32.
func (s stackProbe) tick(ctx context.Context, stack []uint64) {
	inv := invocationOf(ctx)
	now := time.Now()
	inv.checkTick(now)
	if inv.depth = s.depth(ctx, stack); inv.depth > inv.maxDepth() {
		panic(inv.stackOverflow())
	}
	stack[0] = uint64(uint32(inv.fuel.settle(int32(uint32(stack[0])), now)))
	if inv.yields(now.Sub(inv.fuel.yielded)) {
		// Native code is not preemptible, so this is where others get their turn.
		runtime.Gosched()
		now = time.Now()
		inv.fuel.began, inv.fuel.yielded = now, now
		inv.checkTick(now)
	}
}

// yields tells whether it is time to, so long after the last time. Guests that wait for
// the host count as others do: what they may cost is a yield too many.
func (inv *invocation) yields(since time.Duration) bool {
	if int(inv.live.Load()) < inv.processors {
		return since > yieldAlone
	}
	return since > yieldEvery
}

// checkTick is check, for a guest that was stopped too.
func (inv *invocation) checkTick(now time.Time) {
	if inv.ended == nil {
		inv.checkAt(now)
	} else if !now.Before(inv.ended.until) {
		panic(errEnded)
	}
}
