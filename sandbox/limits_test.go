package sandbox

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
)

// slack is what a test allows on top of a limit. The promise is 100 ms; a shared
// test machine under the race detector is not the place to hold it to that, so the
// figures are logged and the benchmarks measure them.
const slack = 20 * time.Second

// recurse is a command that calls itself without end.
func recurse() []byte {
	g := newGuest()
	t := g.Type([]byte{wasmtest.I32}, []byte{wasmtest.I32})
	f := g.Func(t, nil, body().LocalGet(0).I32Const(1).Op(wasmtest.I32Add).Call(0).I32Const(1).Op(wasmtest.I32Add).End())
	return g.command(nil, body().I32Const(0).Call(f).Op(wasmtest.Drop))
}

// grow is a command that takes and touches one page after the other, and traps
// when it is refused one.
func grow() []byte {
	return newGuest().command([]byte{wasmtest.I32}, body().
		Loop(wasmtest.Empty).
		I32Const(1).MemoryGrow().LocalTee(0).
		I32Const(-1).Op(wasmtest.I32Eq).If(wasmtest.Empty).Op(wasmtest.Unreachable).End().
		LocalGet(0).I32Const(16).Op(wasmtest.I32Shl).I32Const(1).I32Store8(0).
		Br(0).End())
}

// started is a module whose start function is f of the guest.
func started(g guest, f uint32) []byte {
	g.Start(f)
	return g.command(nil, body())
}

// sleeper is a command that sleeps for d with one relative subscription.
func sleeper(d time.Duration) []byte {
	g := newGuest("poll_oneoff", "fd_write")
	return g.command(nil, body().
		I32Const(24).I64Const(int64(d)).Op(0x37, 3, 0). // i64.store
		I32Const(0).I32Const(64).I32Const(1).I32Const(128).Call(g.imports["poll_oneoff"]).
		If(wasmtest.Empty).Op(wasmtest.Unreachable).End())
}

func TestFUNC_I2_EveryLimitEndsWithItsOwnError(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	void := func(g guest) uint32 { return g.Type(nil, nil) }

	cases := map[string]struct {
		wasm    []byte
		code    runnel.Code
		says    string
		timeout time.Duration
	}{
		"loop":      {spin(), runnel.CodeTimeout, "timeout of 200ms", 200 * time.Millisecond},
		"recursion": {recurse(), runnel.CodeStackOverflow, "call stack", 0},
		"growth":    {grow(), runnel.CodeOutOfMemory, "16 MB", 0},
		"declared minimum": {func() []byte {
			g := newGuest()
			g.Memory(2000)
			g.ExportFunc("_start", g.Func(void(g), nil, body().End()))
			return g.Bytes()
		}(), runnel.CodeOutOfMemory, "raise max_memory", 0},
		"huge table": {func() []byte {
			g := newGuest()
			g.Table(wasmtest.FuncRef, 100_000_000)
			return g.command(nil, body())
		}(), runnel.CodeInvalidModule, "table", 0},
		"huge table by growth": {func() []byte {
			g := newGuest()
			g.Table(wasmtest.FuncRef, 1)
			return g.command(nil, body().
				Op(0xd0, wasmtest.FuncRef).I32Const(-1).Op(0xfc, 15, 0). // table.grow by 4 billion
				I32Const(-1).Op(wasmtest.I32Ne).If(wasmtest.Empty).Op(wasmtest.Unreachable).End())
		}(), "", "", 0},
		"4 billion locals": {func() []byte {
			g := newGuest()
			g.ExportFunc("_start", g.RawFunc(void(g), append(append([]byte{1}, wasmtest.Uint(4_000_000_000)...), wasmtest.I32, 0x0b)))
			return g.Bytes()
		}(), runnel.CodeInvalidModule, "local", 0},
		"trap":         {newGuest().command(nil, body().Op(wasmtest.Unreachable)), runnel.CodeFunctionError, "unreachable", 0},
		"divide":       {newGuest().command(nil, body().I32Const(1).I32Const(0).Op(wasmtest.I32DivU, wasmtest.Drop)), runnel.CodeFunctionError, "divide by zero", 0},
		"out of range": {newGuest().command(nil, body().I32Const(-1).I32Load(0).Op(wasmtest.Drop)), runnel.CodeFunctionError, "out of bounds", 0},
		"exit code": {func() []byte {
			g := newGuest("proc_exit")
			return g.command(nil, body().I32Const(7).Call(g.imports["proc_exit"]))
		}(), runnel.CodeFunctionError, "code 7", 0},
		"sleep": {sleeper(time.Hour), runnel.CodeTimeout, "timeout of 200ms", 200 * time.Millisecond},
		"fill": {newGuest().command(nil, body().
			Loop(wasmtest.Empty).I32Const(0).I32Const(1).I32Const(65536).MemoryFill().Br(0).End()), runnel.CodeTimeout, "", 200 * time.Millisecond},
		"random": {func() []byte {
			g := newGuest("random_get")
			return g.command(nil, body().Loop(wasmtest.Empty).I32Const(0).I32Const(65536).Call(g.imports["random_get"]).Op(wasmtest.Drop).Br(0).End())
		}(), runnel.CodeTimeout, "", 200 * time.Millisecond},
		"host calls": {func() []byte {
			g := newGuest("environ_sizes_get")
			return g.command(nil, body().Loop(wasmtest.Empty).I32Const(0).I32Const(4).Call(g.imports["environ_sizes_get"]).Op(wasmtest.Drop).Br(0).End())
		}(), runnel.CodeTimeout, "", 200 * time.Millisecond},
		"loop in start": {func() []byte {
			g := newGuest()
			return started(g, g.Func(void(g), nil, body().Loop(wasmtest.Empty).Br(0).End().End()))
		}(), runnel.CodeTimeout, "", 200 * time.Millisecond},
		"recursion in start": {func() []byte {
			g := newGuest()
			return started(g, g.Func(void(g), nil, body().Call(0).End()))
		}(), runnel.CodeStackOverflow, "", 0},
		"growth in start": {func() []byte {
			g := newGuest()
			return started(g, g.Func(void(g), nil, body().I32Const(1000).MemoryGrow().Op(wasmtest.Drop).End()))
		}(), runnel.CodeOutOfMemory, "", 0},
		"trap in start": {func() []byte {
			g := newGuest()
			return started(g, g.Func(void(g), nil, body().Op(wasmtest.Unreachable).End()))
		}(), runnel.CodeFunctionError, "unreachable", 0},
		"data outside of memory": {func() []byte {
			g := newGuest()
			g.Data(1<<20, []byte("x"))
			return g.command(nil, body())
		}(), runnel.CodeFunctionError, "data", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := callOf(c.wasm)
			limit := time.Duration(0)
			if c.timeout > 0 {
				call.Timeout, limit = c.timeout, c.timeout
			}
			out, err := r.Run(context.Background(), call)
			t.Logf("%v after %v: %v", runnel.CodeOf(err), out.Duration, err)
			if c.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantCode(t, err, c.code)
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
			for _, internals := range []string{"goroutine", ".go:", "wazero", "0x7"} {
				if strings.Contains(err.Error(), internals) {
					t.Errorf("error %q shows internals (%s)", err, internals)
				}
			}
			if out.Duration > limit+slack {
				t.Errorf("ended %v after its limit", out.Duration-limit)
			}
			if out.MemoryPeak > call.Memory {
				t.Errorf("memory peak %d is over the limit %d", out.MemoryPeak, call.Memory)
			}
			// FUNC-I4: the next invocation does not notice.
			if out, err := run(t, r, hello()); err != nil || string(out.Output) != `{"hello":"world"}` {
				t.Errorf("the next invocation got %s, %v", out.Output, err)
			}
		})
	}
}

func TestFUNC_I2_PeakAndFuelAreReportedForFailuresToo(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	out, err := run(t, r, grow())
	wantCode(t, err, runnel.CodeOutOfMemory)
	if out.MemoryPeak != 16<<20 {
		t.Errorf("memory peak is %d, want the whole limit", out.MemoryPeak)
	}
	if out.Fuel < 256*5 {
		t.Errorf("fuel is %d for 256 rounds of a loop", out.Fuel)
	}
	call := callOf(grow())
	call.Memory = 3<<20 + 5 // rounded down to whole pages
	out, err = r.Run(context.Background(), call)
	wantCode(t, err, runnel.CodeOutOfMemory)
	if out.MemoryPeak != 3<<20 {
		t.Errorf("memory peak is %d under a limit of 3 MB and 5 bytes", out.MemoryPeak)
	}
}

func TestFUNC_I2_FuelIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	// Long enough for several slices, whose sizes differ from run to run.
	wasm := newGuest().command([]byte{wasmtest.I32}, body().
		I32Const(3_000_000).LocalSet(0).
		Loop(wasmtest.Empty).LocalGet(0).I32Const(1).Op(wasmtest.I32Sub).LocalTee(0).BrIf(0).End())
	var first int64
	for i := range 5 {
		out, err := run(t, r, wasm)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = out.Fuel
		}
		if out.Fuel != first || out.Fuel < 3_000_000 {
			t.Errorf("fuel is %d, then %d", first, out.Fuel)
		}
	}
}

func TestCancelledContextStopsAGuestAndKeepsItsCause(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	cause := errors.New("the operator said so")
	for name, wasm := range map[string][]byte{"spinning": spin(), "sleeping": sleeper(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(context.Background())
			call := callOf(wasm)
			load := call.Load
			call.Load = func(c context.Context) ([]byte, error) {
				time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
				return load(c)
			}
			call.Revision = name
			call.Timeout = time.Minute
			_, err := r.Run(ctx, call)
			wantCode(t, err, runnel.CodeCancelled)
			if !errors.Is(err, cause) {
				t.Errorf("error %v does not keep the cause", err)
			}
			if strings.Contains(err.Error(), cause.Error()) {
				t.Errorf("message %q shows the cause to the caller", err)
			}
		})
	}
}

func TestSleepTakesAsLongAsItSays(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	out, err := run(t, r, sleeper(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if out.Duration < 50*time.Millisecond {
		t.Errorf("slept %v, want 50ms or more", out.Duration)
	}
}

func TestFUNC_I4_HundredRunawaysAtOnce(t *testing.T) {
	r := newRuntime(t, Config{})
	const n = 100
	kinds := []struct {
		wasm    []byte
		timeout time.Duration
		code    runnel.Code
	}{
		{spin(), 500 * time.Millisecond, runnel.CodeTimeout},
		{sleeper(time.Hour), 500 * time.Millisecond, runnel.CodeTimeout},
		{recurse(), time.Minute, runnel.CodeStackOverflow},
		{grow(), time.Minute, runnel.CodeOutOfMemory},
	}
	late := make([]time.Duration, n)
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			call := callOf(kinds[i%len(kinds)].wasm)
			call.Timeout = kinds[i%len(kinds)].timeout
			out, err := r.Run(context.Background(), call)
			errs[i] = err
			late[i] = out.Duration - call.Timeout
		})
	}
	// The collector must get through while native code spins on every processor.
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for range 5 {
			runtime.GC()
		}
	}()
	group.Wait()
	<-collected
	for i, err := range errs {
		if want := kinds[i%len(kinds)].code; runnel.CodeOf(err) != want {
			t.Errorf("a guest ended with %v, want %s", err, want)
		}
	}
	if worst := slices.Max(late); worst > slack {
		t.Errorf("the latest guest ended %v after its deadline", worst)
	} else {
		t.Logf("the latest guest ended %v after its deadline", worst)
	}
	if n := r.Mapped(); n != 0 {
		t.Errorf("%d bytes of guest memory are still mapped", n)
	}
	if out, err := run(t, r, hello()); err != nil || string(out.Output) != `{"hello":"world"}` {
		t.Errorf("the next invocation got %s, %v", out.Output, err)
	}
}
