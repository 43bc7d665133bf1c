package sandbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
)

// tally counts what a cache reports.
type tally struct{ hits, misses, evictions, compiles atomic.Int64 }

func (c *tally) CacheHit()              { c.hits.Add(1) }
func (c *tally) CacheMiss()             { c.misses.Add(1) }
func (c *tally) CacheEvicted()          { c.evictions.Add(1) }
func (c *tally) Compiled(time.Duration) { c.compiles.Add(1) }

// numbered is a command that prints n; each n is another module.
func numbered(n int) []byte { return printer(fmt.Sprint(n)) }

func TestCacheCompilesOnce(t *testing.T) {
	t.Parallel()
	var seen tally
	r := newRuntime(t, Config{Observer: &seen})
	var loads atomic.Int64
	call := callOf(hello())
	load := call.Load
	call.Load = func(ctx context.Context) ([]byte, error) { loads.Add(1); return load(ctx) }
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if _, err := r.Run(context.Background(), call); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if loads.Load() != 1 || seen.compiles.Load() != 1 || seen.misses.Load() != 1 || seen.hits.Load() != 49 {
		t.Errorf("%d loads, %d compiles, %d misses, %d hits", loads.Load(), seen.compiles.Load(), seen.misses.Load(), seen.hits.Load())
	}
	call.Revision = "2"
	if _, err := r.Run(context.Background(), call); err != nil || loads.Load() != 2 {
		t.Errorf("another revision: %d loads, %v", loads.Load(), err)
	}
}

func TestCacheEvictsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	var seen tally
	// Room for two of these small modules, which count little more than the overhead.
	r := newRuntime(t, Config{CacheBytes: moduleOverhead*2 + moduleOverhead/2, Observer: &seen})
	use := func(n int) (missed bool) {
		before := seen.misses.Load()
		if out, err := run(t, r, numbered(n)); err != nil || string(out.Output) != fmt.Sprint(n) {
			t.Errorf("module %d: %s, %v", n, out.Output, err)
		}
		return seen.misses.Load() > before
	}
	for i, step := range []struct {
		module int
		missed bool
	}{{1, true}, {2, true}, {1, false}, {3, true}, {1, false}, {2, true}, {1, false}, {3, true}} {
		if missed := use(step.module); missed != step.missed {
			t.Errorf("step %d: module %d missed is %v", i, step.module, missed)
		}
	}
	if seen.evictions.Load() != 3 {
		t.Errorf("%d evictions", seen.evictions.Load())
	}
}

func TestCacheNeverClosesAModuleInUse(t *testing.T) {
	t.Parallel()
	var seen tally
	r := newRuntime(t, Config{CacheBytes: 1, Observer: &seen}) // nothing fits
	ctx := context.Background()
	call := callOf(hello())
	m, done, err := r.modules.acquire(ctx, moduleKey{call.Hash, "1"}, call.Load)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := run(t, r, numbered(i)); err != nil {
			t.Fatal(err)
		}
	}
	// Still there, for its holder and for everybody else.
	if out, err := r.newInvocation(ctx, call, m).run(r, m); err != nil || len(out.Output) == 0 {
		t.Errorf("the held module: %+v, %v", out, err)
	}
	misses := seen.misses.Load()
	if _, err := r.Run(ctx, call); err != nil || seen.misses.Load() != misses {
		t.Errorf("the held module was loaded again, %v", err)
	}
	done()
	if r.modules.bytes != 0 || len(r.modules.entries) != 0 || seen.evictions.Load() != 11 {
		t.Errorf("%d bytes and %d modules are left, %d evicted", r.modules.bytes, len(r.modules.entries), seen.evictions.Load())
	}
}

func TestCacheUnderEvictionLoad(t *testing.T) {
	t.Parallel()
	var seen tally
	r := newRuntime(t, Config{CacheBytes: 3 * moduleOverhead, Observer: &seen})
	const modules, workers, rounds = 12, 8, 40
	calls := make([]Call, modules)
	for i := range calls {
		calls[i] = callOf(numbered(i))
	}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			for range rounds {
				i := random.IntN(modules)
				ctx, cancel := context.WithCancel(context.Background())
				if random.IntN(10) == 0 {
					cancel() // leaves while others load
				}
				out, err := r.Run(ctx, calls[i])
				if ctx.Err() != nil {
					wantCancelled(t, err)
				} else if err != nil || string(out.Output) != fmt.Sprint(i) {
					t.Errorf("module %d: %s, %v", i, out.Output, err)
				}
				cancel()
			}
		})
	}
	group.Wait()
	if seen.evictions.Load() == 0 || r.modules.bytes > 3*moduleOverhead {
		t.Errorf("%d evictions, %d bytes kept", seen.evictions.Load(), r.modules.bytes)
	}
}

func wantCancelled(t *testing.T, err error) {
	t.Helper()
	if runnel.CodeOf(err) != runnel.CodeCancelled || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Cancelled", err)
	}
}

func TestCacheRemembersInvalidModulesForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuntime(t, Config{})
		wasm := []byte("this is not WebAssembly")
		loads := 0
		call := callOf(wasm)
		call.Load = func(context.Context) ([]byte, error) { loads++; return wasm, nil }
		for _, revision := range []string{"1", "1", "2"} {
			call.Revision = revision
			_, err := r.Run(context.Background(), call)
			wantCode(t, err, runnel.CodeInvalidModule)
		}
		if loads != 1 {
			t.Errorf("%d loads", loads)
		}
		time.Sleep(refusalTime)
		_, err := r.Run(context.Background(), call)
		wantCode(t, err, runnel.CodeInvalidModule)
		if loads != 2 {
			t.Errorf("%d loads after the memory has passed", loads)
		}
	})
}

func TestCacheDoesNotRememberLoadErrors(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	call := callOf(hello())
	broken := errors.New("connection refused to 10.0.0.1")
	for _, c := range []struct {
		load error
		want runnel.Code
	}{
		{broken, runnel.CodeUnavailable},
		{runnel.Errorf(runnel.CodeFunctionNotFound, "gone"), runnel.CodeFunctionNotFound},
		{fmt.Errorf("wrapped: %w", runnel.Errorf(runnel.CodeInvalidModule, "the row is gone")), runnel.CodeInvalidModule},
	} {
		bad := call
		bad.Load = func(context.Context) ([]byte, error) { return nil, c.load }
		_, err := r.Run(context.Background(), bad)
		wantCode(t, err, c.want)
		if c.load == broken && (!errors.Is(err, broken) || strings.Contains(err.Error(), "10.0.0.1")) {
			t.Errorf("error %q loses the cause or shows it", err)
		}
	}
	bad := call
	bad.Load = func(context.Context) ([]byte, error) { panic("a bug in Load") }
	_, err := r.Run(context.Background(), bad)
	wantCode(t, err, runnel.CodeInternal)
	if _, err := r.Run(context.Background(), call); err != nil {
		t.Errorf("after the errors: %v", err)
	}
}

func TestCacheLoadEndsWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuntime(t, Config{})
		call := callOf(hello())
		load := call.Load
		ended := make(chan struct{})
		call.Load = func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()
			close(ended)
			return nil, ctx.Err()
		}
		first, stopFirst := context.WithCancel(context.Background())
		second, stopSecond := context.WithCancel(context.Background())
		var group sync.WaitGroup
		for _, ctx := range []context.Context{first, second} {
			group.Go(func() {
				_, err := r.Run(ctx, call)
				wantCancelled(t, err)
			})
		}
		synctest.Wait()
		stopFirst()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("the load ended although one caller still waits")
		default:
		}
		stopSecond()
		<-ended
		group.Wait()
		call.Load = load
		if _, err := r.Run(context.Background(), call); err != nil {
			t.Errorf("after an abandoned load: %v", err)
		}
	})
}

// TestFUNC_I4_SlowCompilationHoldsNobodyUp has one slot and one module that takes
// an hour to compile, as hostile ones can.
func TestFUNC_I4_SlowCompilationHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuntime(t, Config{})
		compiles := 0
		c := newCache(1<<30, 1, nobody{}, func(ctx context.Context, wasm []byte, free func()) (*module, error) {
			if string(wasm) == "slow" {
				compiles++
				time.Sleep(time.Hour)
			}
			return r.compile(ctx, hello(), free)
		})
		defer c.shutdown()
		ctx := context.Background()
		get := func(ctx context.Context, name string) (time.Duration, error) {
			began := time.Now()
			_, done, err := c.acquire(ctx, moduleKey{hash([]byte(name)), ""}, func(context.Context) ([]byte, error) { return []byte(name), nil })
			if err == nil {
				done()
			}
			return time.Since(began), err
		}
		slow := make(chan struct{})
		go func() {
			defer close(slow)
			took, err := get(ctx, "slow")
			if runnel.CodeOf(err) != runnel.CodeUnavailable || took != loadWait {
				t.Errorf("the slow module: %v after %v", err, took)
			}
		}()
		synctest.Wait()
		if took, err := get(ctx, "quick"); err != nil || took != slotTime {
			t.Errorf("another module: %v after %v", err, took)
		}
		<-slow
		impatient, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := get(impatient, "slow"); runnel.CodeOf(err) != runnel.CodeCancelled {
			t.Errorf("an impatient caller: %v", err)
		}
		time.Sleep(time.Hour)
		if took, err := get(ctx, "slow"); err != nil || took != 0 || compiles != 1 {
			t.Errorf("when it is compiled: %v after %v, %d compilations", err, took, compiles)
		}
	})
}

func TestCacheKeepsAModuleThatTrapped(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	wasm := newGuest().command(nil, body().Op(wasmtest.Unreachable))
	if _, err := run(t, r, wasm); runnel.CodeOf(err) != runnel.CodeFunctionError {
		t.Error(err)
	}
	if n := len(r.modules.entries); n != 1 {
		t.Errorf("%d entries: a trap says nothing against the module", n)
	}
}
