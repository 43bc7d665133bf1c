package sandbox

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/runnelhq/runnel"
)

// DefaultCacheBytes is the size of the module cache when Config does not say. A Go
// module of 3 MB takes about 20 MB.
const DefaultCacheBytes = 256 << 20

// ErrClosed is the cause of the errors of a Runtime that is closing or closed.
var ErrClosed = errors.New("sandbox: runtime closed")

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
	modules  *cache
	observer Observer
	compiles chan struct{} // a slot per compilation that may run at once
	mapped   atomic.Int64  // bytes of address space of live instances

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
	r := &Runtime{
		wazero:   wazero.NewRuntimeWithConfig(ctx, engineConfig()),
		observer: config.Observer,
		compiles: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
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
	r.modules = newCache(config.CacheBytes, r.observer, r.compile)
	if err := r.start(ctx); err != nil {
		_ = r.Close(ctx)
		return nil, err
	}
	return r, nil
}

func (r *Runtime) start(ctx context.Context) error {
	if err := instantiateHost(ctx, r.wazero); err != nil {
		return fmt.Errorf("sandbox: host modules: %w", err)
	}
	return instantiateTick(ctx, r.wazero)
}

// engineConfig is how all modules are compiled. Termination is the meter's
// business: wazero's own costs a factor and does not stop recursion.
func engineConfig() wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().WithCloseOnContextDone(false).WithDebugInfoEnabled(false)
}

// moduleConfig is how all modules are instantiated: without a name, so that any
// number can live at once, and without wazero calling _start by itself.
func moduleConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions()
}

// Close refuses new calls and waits for the running ones. When ctx ends first it
// stops them; they end with CodeCancelled. Then it releases everything. A
// compilation cannot be stopped, so Close can outlast ctx by one. Closing again
// waits for the same end.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	r.mu.Unlock()
	var err error
	if first {
		go func() {
			defer close(r.gone)
			r.calls.Wait()
			r.modules.shutdown()
			err = r.wazero.Close(context.WithoutCancel(ctx))
		}()
	}
	select {
	case <-r.gone:
	case <-ctx.Done():
		r.kill()
		r.modules.stop(ErrClosed)
		<-r.gone
	}
	return err
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
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return Outcome{}, runnel.Errorf(runnel.CodeUnavailable, "the worker is shutting down: try again").Because(ErrClosed)
	}
	r.calls.Add(1)
	r.mu.Unlock()
	defer r.calls.Done()

	m, done, err := r.modules.acquire(ctx, moduleKey{call.Hash, call.Revision}, call.Load)
	if err != nil {
		return Outcome{}, err
	}
	defer done()

	return r.newInvocation(ctx, call, m.kind).run(r.wazero, m)
}

// newInvocation starts the clock of a call.
func (r *Runtime) newInvocation(ctx context.Context, call Call, kind Kind) *invocation {
	if call.Timeout <= 0 {
		call.Timeout = runnel.DefaultTimeout
	}
	if call.Memory <= 0 {
		call.Memory = runnel.DefaultMemory
	}
	now := time.Now()
	return &invocation{
		caller: ctx, closing: r.closing, call: call,
		started: now, deadline: now.Add(call.Timeout),
		memory:  newMemory(call.Memory, &r.mapped),
		stdin:   call.Event,
		command: kind == Command,
	}
}

// nativeFactor is how many bytes of code and tables wazero keeps per byte of a
// rewritten module, and moduleOverhead what it keeps for any. Measured on Go and C
// modules; wazero does not say.
const (
	nativeFactor   = 6
	moduleOverhead = 64 << 10
)

// compile turns verified bytes into a module. It is single-threaded on purpose: a
// panic on one of wazero's compilation workers could not be recovered.
func (r *Runtime) compile(ctx context.Context, wasm []byte) (*module, error) {
	select {
	case r.compiles <- struct{}{}:
		defer func() { <-r.compiles }()
	case <-ctx.Done():
		return nil, cancelled(ctx)
	}
	began := time.Now()
	m, kind, err := prepare(wasm)
	if err != nil {
		return nil, err
	}
	compiled, err := r.wazero.CompileModule(ctx, m.Wasm)
	if err != nil {
		return nil, invalidModule(err)
	}
	r.observer.Compiled(time.Since(began))
	return &module{
		compiled: compiled, kind: kind, memoryMin: m.MemoryMin,
		size: int64(len(m.Wasm))*nativeFactor + moduleOverhead,
	}, nil
}

type nobody struct{}

func (nobody) CacheHit()              {}
func (nobody) CacheMiss()             {}
func (nobody) CacheEvicted()          {}
func (nobody) Compiled(time.Duration) {}
