package sandbox

import (
	"context"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/meter"
)

// invocation is one run of one module: a fresh instance and everything it may
// touch. One goroutine owns it from start to end; host functions run on that
// goroutine too, so nothing here is locked.
type invocation struct {
	caller   context.Context // whose end is the guest's end
	closing  <-chan struct{} // the Runtime stops its guests
	call     Call
	started  time.Time
	deadline time.Time

	live       *atomic.Int32 // of the Runtime: invocations under way
	processors int           // GOMAXPROCS when it began

	memory *memory
	fuel   fuel
	depth  uintptr // of the native stack at the last tick, bytes
	logs   logs

	stdin    []byte  // what is left of the event
	stdout   []byte  // a command's result so far
	command  bool    // stdout is the result; otherwise it is a log
	closed   [3]bool // which standard streams the guest closed
	environ  []string
	response []byte // of the last host call, for result_read

	building bool // the module is evaluated for a snapshot
	port     port
	ask      Ask
	trace    func(string) string // nil without a source map
	overflow api.Global          // not zero: the guest trapped at the end of its own stack
	capture  func(context.Context, api.Module) error
	plugin   *plugin // of an Extism plug-in, otherwise nil

	stacks *stacks
	native *nativeStack // of an interpreter, otherwise nil
	ended  *lastWords   // the guest was stopped, and says where
}

type invocationKey struct{}

// invocationOf returns the invocation that a host call belongs to.
func invocationOf(ctx context.Context) *invocation {
	return ctx.Value(invocationKey{}).(*invocation)
}

// context returns what wazero needs to know of the invocation.
func (inv *invocation) context() context.Context {
	ctx := context.WithValue(inv.caller, invocationKey{}, inv)
	ctx = experimental.WithMemoryAllocator(ctx, inv.memory)
	return experimental.WithSnapshotter(ctx) // for stackProbe
}

// run executes the module and frees everything, whatever happens.
func (inv *invocation) run(r *Runtime, m *module) (out Outcome, err error) {
	inv.live.Add(1)
	defer inv.live.Add(-1)
	defer func() {
		// Only bugs and a failed reservation get here: what a guest does, or a
		// host function under it, is recovered by wazero.
		if p := recover(); p != nil {
			err = fromPanic(p)
		}
		inv.closePort()
		inv.memory.Free()
		if inv.plugin != nil {
			inv.plugin.blocks.memory.Free()
			inv.memory.peak = max(inv.memory.peak, inv.plugin.blocks.memory.peak)
		}
		inv.logs.flush()
		out.Logs = inv.logs.lines
		out.MemoryPeak = inv.memory.peak
		out.Fuel = inv.fuel.used
		out.Duration = time.Since(inv.started)
	}()

	if int64(m.memoryMin)*pageSize > inv.memory.limit {
		return out, outOfMemory(inv.memory.limit)
	}
	if m.kind == Extism {
		inv.startPlugin()
	}
	ctx := inv.context()
	instance, err := m.runtime.InstantiateModule(ctx, m.compiled, r.instance)
	if err != nil {
		return out, inv.failure(err)
	}
	defer func() {
		inv.closePort()
		inv.fuel.finish(int32(uint32(instance.ExportedGlobal(meter.FuelExport).Get())))
		_ = instance.Close(context.WithoutCancel(ctx)) // closes the memory; nothing in it can fail
	}()
	if inv.overflow = instance.ExportedGlobal(overflowExport); inv.overflow != nil {
		inv.native = inv.stacks.take()
		defer inv.stacks.put(inv.native)
	}
	defer func() { err = inv.explained(ctx, instance, err) }()
	if inv.building {
		return out, inv.capture(ctx, instance)
	}

	var result []byte
	switch m.kind {
	case Command:
		result, err = inv.runCommand(ctx, instance)
	case Reactor:
		result, err = inv.runReactor(ctx, instance)
	case Extism:
		result, err = inv.runExtism(ctx, instance, m.entry)
	}
	if err != nil {
		return out, err
	}
	out.Output, err = checkResult(result, m.kind)
	return out, err
}

// invoke calls an exported function and looks at the deadline afterwards as well:
// the last slice, or a bulk instruction in it, may have passed it unseen.
func (inv *invocation) invoke(ctx context.Context, f api.Function, params ...uint64) ([]uint64, error) {
	if inv.native != nil {
		defer inv.stacks.lend(f, inv.native)()
	}
	results, err := f.Call(ctx, params...)
	if err != nil {
		return nil, inv.failure(err)
	}
	return results, inv.interrupted(time.Now())
}

// check ends the guest when its time is up or nobody wants the result any more.
// Every host function that is not quick starts with it.
func (inv *invocation) check() {
	if inv.ended != nil {
		panic(errEnded)
	}
	inv.checkAt(time.Now())
}

func (inv *invocation) checkAt(now time.Time) {
	if err := inv.interrupted(now); err != nil {
		panic(err)
	}
}

// interrupted says why the guest must stop, or nil.
func (inv *invocation) interrupted(now time.Time) error {
	if err := inv.caller.Err(); err != nil {
		return cancelled(inv.caller)
	}
	select {
	case <-inv.closing:
		return runnel.Errorf(runnel.CodeCancelled, "the worker is shutting down and stopped the function: run it again").Because(ErrClosed)
	default:
	}
	if !now.Before(inv.deadline) {
		return runnel.Errorf(runnel.CodeTimeout, "the function ran longer than its timeout of %s: raise timeout, or do less in one call", inv.call.Timeout)
	}
	return nil
}

// sleep waits until t, or ends the guest at its deadline.
func (inv *invocation) sleep(t time.Time) {
	if t.After(inv.deadline) {
		t = inv.deadline
	}
	wait := time.Until(t)
	if wait <= 0 {
		runtime.Gosched()
		inv.check()
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-inv.caller.Done():
	case <-inv.closing:
	}
	inv.check()
}

// after returns the time that many nanoseconds from now, without overflow.
func after(now time.Time, nanoseconds uint64) time.Time {
	return now.Add(time.Duration(min(nanoseconds, math.MaxInt64)))
}

func cancelled(ctx context.Context) *runnel.Error {
	return runnel.Errorf(runnel.CodeCancelled, "the invocation was cancelled").Because(context.Cause(ctx))
}
