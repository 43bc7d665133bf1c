package meter_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/runnelhq/runnel/sandbox/meter"
)

// brief tells tests that compile for long to do a sample.
func brief() bool { return testing.Short() || raceDetector }

// rewrite rewrites a module that has to be accepted.
func rewrite(t testing.TB, wasm []byte) *meter.Module {
	t.Helper()
	m, err := meter.Rewrite(wasm, meter.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newRuntime returns a runtime as the sandbox uses it: nothing but the meter
// stops a guest.
func newRuntime(t testing.TB) wazero.Runtime {
	r := wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfig().WithCloseOnContextDone(false).WithMemoryLimitPages(1024))
	t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

// instantiateTick adds the meter's host module to a runtime. tick gets the fuel
// the guest has left and returns the next slice.
func instantiateTick(t testing.TB, r wazero.Runtime, tick func(ctx context.Context, stack []uint64) int32) {
	t.Helper()
	i32 := []api.ValueType{api.ValueTypeI32}
	_, err := r.NewHostModuleBuilder(meter.Namespace).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(ctx context.Context, stack []uint64) {
			stack[0] = uint64(uint32(tick(ctx, stack)))
		}), i32, i32).Export(meter.TickImport).Instantiate(context.Background())
	if err != nil {
		t.Fatal(err)
	}
}

// The causes a guard ends a guest with.
var (
	errDeadline = errors.New("deadline")
	errStack    = errors.New("stack")
)

// guard is a small host: it ends a guest after a deadline, or when its native
// stack is larger than a megabyte.
type guard struct {
	ctx   context.Context
	top   reflect.Value // where the guest's stack starts
	slice int32
	last  time.Time
}

func newGuard(ctx context.Context, f api.Function) *guard {
	return &guard{ctx: ctx, top: reflect.ValueOf(f).Elem().FieldByName("stackTop"), slice: 20_000, last: time.Now()}
}

// tick is called with a slice that lies on the guest's native stack, which tells
// how deep the guest is.
func (g *guard) tick(_ context.Context, stack []uint64) int32 {
	if g.top.Uint()-uint64(reflect.ValueOf(stack).Pointer()) > 1<<20 {
		panic(errStack)
	}
	if g.ctx.Err() != nil {
		panic(errDeadline)
	}
	runtime.Gosched()
	switch took := time.Since(g.last); {
	case took > 80*time.Microsecond:
		g.slice = max(g.slice/2, 20_000)
	case took < 25*time.Microsecond:
		g.slice = min(g.slice*2, 1_000_000)
	}
	g.last = time.Now()
	return g.slice
}

// outcome is the result of a call, or the first line of its error, which is
// followed by a stack trace.
func outcome(results []uint64, err error) string {
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return first
	}
	return fmt.Sprintf("%#x", results)
}
