package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/compile"
)

// DefaultCacheBytes is the size of the module cache when Config does not say. A Go
// module of 3 MB takes about 20 MB.
const DefaultCacheBytes = 256 << 20

// ErrClosed is the cause of the errors of a Runtime that is closing or closed.
var ErrClosed = errors.New("sandbox: runtime closed")

// ErrBusy is what Warm returns while modules are compiled that calls wait for.
var ErrBusy = errors.New("sandbox: busy compiling for calls")

// Observer is told what the module cache does. Its methods are called from many
// goroutines, some under the cache's lock: they must return at once.
type Observer interface {
	CacheHit()
	CacheMiss()
	CacheEvicted()
	Compiled(time.Duration)
}

// Config configures a Runtime. The zero value is usable.
type Config struct {
	CacheBytes int64    // what compiled modules may take; 0: DefaultCacheBytes
	Observer   Observer // nil: nobody
	// Compiler compiles modules of more than a few KB in a child process with
	// limits. Without it all are compiled here, which a hostile one can make take
	// minutes and gigabytes: for tests and for modules that are trusted.
	Compiler *compile.Compiler
	// Ask answers what a script asks of the host and is answered at once. nil: nothing.
	Ask Ask
	// Trace returns a function that maps the positions in a text to those of the
	// sources, with the source map that a module carries. nil: no mapping.
	Trace func(sourceMap []byte) func(text string) string
}

// Call is one invocation of a function.
type Call struct {
	Hash     string // hex sha256 of the module
	Revision string // of the function, or whatever changes when the module's bytes may have
	// Load returns the module's bytes. It is called when Hash and Revision are not
	// in the cache, on another goroutine, for all calls that wait for the module.
	Load func(context.Context) ([]byte, error)

	Event   []byte            // JSON
	Env     map[string]string // what the guest reads as its environment
	Timeout time.Duration     // from the start of execution, without load and compilation; 0: runnel.DefaultTimeout
	Memory  int64             // bytes, rounded down to pages of 64 KB; 0: runnel.DefaultMemory

	// Query answers db_query with JSON; its errors are JSON too. The context ends
	// with the invocation. nil: every query is answered with RlsUnavailable.
	Query func(ctx context.Context, sql string, params []byte) []byte

	// Fetch answers http_fetch with JSON; errors are in it. It must return soon
	// after its context ends, which is when the guest has to end. nil: the guest
	// reads HostNotAllowed.
	Fetch func(ctx context.Context, request []byte) []byte

	About About // what a script reads of its invocation

	boot, source []byte // of Snapshot
}

// Outcome is what an invocation left behind.
type Outcome struct {
	Output     []byte // result JSON, nil for nothing
	Logs       []runnel.LogLine
	MemoryPeak int64         // bytes of linear memory
	Fuel       int64         // metered instructions
	Duration   time.Duration // of execution, instantiation included
}

// Runtime compiles and runs modules. It is safe for concurrent use; how many
// invocations run at once is the caller's decision.
type Runtime struct {
	wazero   wazero.Runtime
	loader   *compile.Loader // nil without a Compiler
	loading  wazero.Runtime  // of what loader loads: wazero's cache is either for all modules of a runtime or for none
	modules  *cache
	instance wazero.ModuleConfig
	observer Observer
	ask      Ask
	trace    func([]byte) func(string) string
	memories pool
	stacks   *stacks
	mapped   atomic.Int64 // bytes of address space of live instances
	live     atomic.Int32 // invocations under way

	mu      sync.Mutex
	closed  bool
	calls   sync.WaitGroup
	closing chan struct{} // closed when running guests must end
	kill    func()
	gone    chan struct{} // closed when everything is released
}

// New makes a Runtime. It fails on platforms without wazero's compiler, and with a
// wazero it does not know.
func New(ctx context.Context, config Config) (*Runtime, error) {
	ballast()
	r := &Runtime{
		wazero:   wazero.NewRuntimeWithConfig(ctx, compile.Engine()),
		instance: moduleConfig(),
		observer: config.Observer,
		ask:      config.Ask,
		trace:    config.Trace,
		closing:  make(chan struct{}),
		gone:     make(chan struct{}),
	}
	if r.observer == nil {
		r.observer = nobody{}
	}
	if config.CacheBytes <= 0 {
		config.CacheBytes = DefaultCacheBytes
	}
	r.kill = sync.OnceFunc(func() { close(r.closing) })
	r.modules = newCache(config.CacheBytes, max(1, runtime.GOMAXPROCS(0)/2), r.observer, r.compile)
	if err := r.start(ctx, config.Compiler); err != nil {
		_ = r.Close(ctx)
		return nil, err
	}
	return r, nil
}

func (r *Runtime) start(ctx context.Context, compiler *compile.Compiler) error {
	if compiler != nil {
		loader, err := compiler.NewLoader()
		if err != nil {
			return err
		}
		r.loader = loader
		r.loading = wazero.NewRuntimeWithConfig(ctx, loader.Config())
	}
	for _, engine := range r.engines() {
		if err := instantiateHost(ctx, engine); err != nil {
			return fmt.Errorf("sandbox: host modules: %w", err)
		}
		if err := instantiateTick(ctx, engine); err != nil {
			return err
		}
	}
	var err error
	r.stacks, err = newStacks(ctx, r.wazero)
	return err
}

func (r *Runtime) engines() []wazero.Runtime {
	if r.loading == nil {
		return []wazero.Runtime{r.wazero}
	}
	return []wazero.Runtime{r.wazero, r.loading}
}

// release frees everything. No instance is left.
func (r *Runtime) release() {
	ctx := context.Background()
	r.memories.close()
	for _, engine := range r.engines() {
		_ = engine.Close(ctx) // it frees instances, of which there are none, and code
	}
	if r.loader != nil {
		_ = r.loader.Close(ctx)
	}
}

// moduleConfig is how all modules are instantiated: without a name, so that any
// number can live at once, and without wazero calling _start by itself. The source
// of randomness is never read, but without one wazero seeds a generator for every
// instance, which takes as long as all the rest of a small invocation.
func moduleConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader)
}

// closeGrace is how long Close waits for stopped guests: far longer than the bulk
// instruction that one of them may be in.
const closeGrace = 5 * time.Second

// Close refuses new calls and waits for the running ones. When ctx ends first it
// stops them; they end with CodeCancelled. Then it releases everything. Closing
// again waits for the same end.
//
// Its one error is that a module was being compiled in this process when ctx ended:
// that cannot be stopped, so it goes on until the process exits.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		go func() {
			defer close(r.gone)
			r.calls.Wait()
			r.modules.shutdown()
			r.release()
		}()
	}
	r.mu.Unlock()
	select {
	case <-r.gone:
		return nil
	case <-ctx.Done():
	}
	r.kill()
	r.modules.stop(ErrClosed)
	select {
	case <-r.gone:
		return nil
	case <-time.After(closeGrace):
		return fmt.Errorf("sandbox: a module is still being compiled, exit the process to stop that: %w", context.Cause(ctx))
	}
}

// Mapped returns the bytes of address space that live instances reserve: zero when
// nothing runs.
func (r *Runtime) Mapped() int64 { return r.mapped.Load() }

// Run executes a module once in a fresh instance. The Outcome is filled in also
// with an error, which is always a *runnel.Error: CodeTimeout, CodeOutOfMemory,
// CodeStackOverflow, CodeFunctionError, CodeInvalidModule, CodeTooLarge,
// CodeHashMismatch, CodeCancelled (ctx ended, or the Runtime was closed under the
// function), CodeUnavailable (the module could not be loaded, no address space, or
// the Runtime is closed), CodeInternal, or the code of an error that Load returned.
func (r *Runtime) Run(ctx context.Context, call Call) (Outcome, error) {
	if err := r.enter(); err != nil {
		return Outcome{}, err
	}
	defer r.calls.Done()

	m, done, err := r.modules.acquire(ctx, moduleKey{call.Hash, call.Revision}, call.Load)
	if err != nil {
		return Outcome{}, err
	}
	defer done()

	return r.newInvocation(ctx, call, m).run(r, m)
}

// Warm compiles a module ahead of its first call; the parameters are those of a
// Call. It returns at once when the module is in the cache, or known to be invalid,
// and ErrBusy rather than to compete with modules that calls wait for. Other errors
// are those of Run.
func (r *Runtime) Warm(ctx context.Context, hash, revision string, load func(context.Context) ([]byte, error)) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.calls.Done()
	return r.modules.warm(ctx, moduleKey{hash, revision}, load)
}

// enter counts a call that Close waits for, unless it is too late.
func (r *Runtime) enter() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return runnel.Errorf(runnel.CodeUnavailable, "the worker is shutting down: try again").Because(ErrClosed)
	}
	r.calls.Add(1)
	return nil
}

// newInvocation starts the clock of a call.
func (r *Runtime) newInvocation(ctx context.Context, call Call, m *module) *invocation {
	if call.Timeout <= 0 {
		call.Timeout = runnel.DefaultTimeout
	}
	if call.Memory <= 0 {
		call.Memory = runnel.DefaultMemory
	}
	now := time.Now()
	inv := &invocation{
		caller: ctx, closing: r.closing, call: call, ask: r.ask, trace: m.trace,
		started: now, deadline: now.Add(call.Timeout), live: &r.live, processors: runtime.GOMAXPROCS(0),
		memory:  newMemory(call.Memory, m.image, &r.memories, &r.mapped),
		stdin:   call.Event,
		command: m.kind == Command,
		stacks:  r.stacks,
	}
	return inv
}

// nativeFactor is how many bytes of code and tables wazero keeps per byte of a
// rewritten module, and moduleOverhead what it keeps for any. Measured on Go and C
// modules; wazero does not say.
const (
	nativeFactor   = 6
	moduleOverhead = 64 << 10
)

// smallModule is the size, rewritten, up to which a module is compiled in this
// process even if there is a Compiler. Starting a child costs 20 to 40 ms; the worst
// modules of this size that the meter lets pass took 0.4 s and 45 MB, those of 50 KB
// 0.6 s and 70 MB, on a busy machine. Honest ones of this size take a millisecond.
const smallModule = 16 << 10

// compile turns verified bytes into a module. Modules that differ only in the
// memory they start with share one core.
func (r *Runtime) compile(ctx context.Context, wasm []byte, free func()) (*module, error) {
	p, err := take(wasm)
	if err != nil {
		return nil, err
	}
	core, err := r.modules.core(p.key(), func() (*core, error) { return r.compileCore(ctx, p, free) })
	if err != nil {
		return nil, err
	}
	m := &module{core: core, compiled: core.compiled, shape: core.shape, runtime: core.runtime, memoryMin: core.memoryMin, size: moduleOverhead / 8}
	if r.trace != nil && p.sourceMap != nil {
		m.trace = traceOnce(r.trace, bytes.Clone(p.sourceMap)) // not the whole module
		m.size += traceFactor * int64(len(p.sourceMap))
	}
	if p.image != nil {
		m.image, m.memoryMin = p.image, uint32(p.image.Pages)
		m.size += int64(p.image.Bytes())
	}
	return m, nil
}

// compileCore is single-threaded on purpose: a panic on one of wazero's compilation
// workers could not be recovered.
func (r *Runtime) compileCore(ctx context.Context, p taken, free func()) (*core, error) {
	began := time.Now()
	prepared, shape, err := p.prepare()
	if err != nil {
		return nil, err
	}
	c := &core{
		shape: shape, memoryMin: prepared.MemoryMin, runtime: r.wazero,
		size:         int64(len(prepared.Wasm))*nativeFactor + moduleOverhead,
		writesTables: prepared.WritesTables,
	}
	if r.loader != nil && len(prepared.Wasm) > smallModule {
		free() // the Compiler has slots of its own
		var native int64
		c.runtime = r.loading
		c.compiled, native, err = r.loader.Load(ctx, r.loading, prepared.Wasm)
		c.size = max(c.size, native+2*int64(len(prepared.Wasm)))
	} else if c.compiled, err = r.wazero.CompileModule(context.Background(), prepared.Wasm); err != nil {
		err = invalidModule(err)
	}
	if err != nil {
		return nil, err
	}
	r.observer.Compiled(time.Since(began))
	return c, nil
}

// traceFactor is how much larger a source map is when it is decoded, at most.
const traceFactor = 8

// traceOnce decodes a source map when it is first needed, which is when something
// fails.
func traceOnce(trace func([]byte) func(string) string, sourceMap []byte) func(string) string {
	decoded := sync.OnceValue(func() func(string) string { return trace(sourceMap) })
	return func(text string) string { return decoded()(text) }
}

type nobody struct{}

func (nobody) CacheHit()              {}
func (nobody) CacheMiss()             {}
func (nobody) CacheEvicted()          {}
func (nobody) Compiled(time.Duration) {}
