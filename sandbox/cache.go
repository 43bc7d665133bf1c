package sandbox

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/image"
)

// module is a compiled module. It is immutable and shared by its instances.
type module struct {
	shape
	core      *core // that compiled is of
	compiled  wazero.CompiledModule
	runtime   wazero.Runtime      // that it is of
	memoryMin uint32              // pages
	image     *image.Image        // the memory of a new instance; nil: compiled says it
	trace     func(string) string // maps stacks; nil without a source map
	size      int64               // what it is worth in the cache without its core, in bytes
}

// core is the compiled code that modules share which differ in their memory only.
// users is guarded by the cache's mu, the rest does not change once ready is closed.
type core struct {
	key       [sha256.Size]byte
	users     int // modules
	ready     chan struct{}
	err       error
	compiled  wazero.CompiledModule
	runtime   wazero.Runtime
	shape     shape
	memoryMin uint32
	size      int64

	writesTables bool
}

// How long, and for how many modules, the cache remembers that one is invalid. It
// saves loading and validating a broken module for each of its invocations; it is
// short because a new version of Runnel may accept it.
const (
	refusalTime = time.Minute
	maxRefusals = 1024
)

// Compiling in this process cannot be interrupted, and without a Compiler a hostile
// module of 1 MB can keep it busy for minutes. So nobody waits for one module longer
// than loadWait, and a compilation that takes longer than slotTime no longer keeps
// others from starting. It goes on, once, and its result is used by who asks later.
const (
	loadWait = time.Minute
	slotTime = 10 * time.Second
)

// moduleKey names a module in the cache. The revision is part of it so that bytes
// changed behind a hash are loaded, and then refused.
type moduleKey struct{ hash, revision string }

// cache holds compiled modules up to a number of bytes, least recently used out
// first. A module in use is never closed, so the bound is exceeded by at most what
// is running. Concurrent requests for one module share one load.
type cache struct {
	budget   int64
	observer Observer
	compile  compileFunc
	slots    chan struct{} // one for each compilation that may start at once

	ctx  context.Context // of all loads
	stop context.CancelCauseFunc
	wait sync.WaitGroup // for loads

	mu       sync.Mutex
	entries  map[moduleKey]*entry
	idle     list.List // of *entry without users, most recently used first
	bytes    int64     // of all loaded entries, and of all cores
	cores    map[[sha256.Size]byte]*core
	loads    int // under way
	refusals map[string]refusal
}

// compileFunc compiles verified bytes. It calls free when the rest of its work
// needs no slot; ctx ends when nothing is compiled any more.
type compileFunc func(ctx context.Context, wasm []byte, free func()) (*module, error)

// entry is a module that is loaded or being loaded. mu of the cache guards it.
type entry struct {
	key       moduleKey
	users     int           // invocations that have it or wait for it
	idle      *list.Element // in cache.idle, when loaded and without users
	cancel    context.CancelFunc
	compiling bool          // past the point where cancel has an effect
	loaded    chan struct{} // closed when module or err is set
	module    *module
	err       error
}

type refusal struct {
	err   error
	until time.Time
}

func newCache(budget int64, slots int, observer Observer, compile compileFunc) *cache {
	c := &cache{
		budget: budget, observer: observer, compile: compile, slots: make(chan struct{}, slots),
		entries: map[moduleKey]*entry{}, refusals: map[string]refusal{}, cores: map[[sha256.Size]byte]*core{},
	}
	c.ctx, c.stop = context.WithCancelCause(context.Background())
	return c
}

// acquire returns a module that stays compiled until done is called. load runs at
// most once at a time for a key, with a context that ends when no caller waits for
// it any more.
func (c *cache) acquire(ctx context.Context, key moduleKey, load func(context.Context) ([]byte, error)) (m *module, done func(), err error) {
	e, err := c.enter(key, load)
	if err != nil {
		return nil, nil, err
	}
	if err := c.await(ctx, e); err != nil {
		c.leave(e)
		return nil, nil, err
	}
	if e.err != nil {
		c.leave(e)
		return nil, nil, e.err
	}
	return e.module, func() { c.leave(e) }, nil
}

// warm has a module loaded that nobody asked for yet. It does nothing for one that
// is known, and gives way to what was asked for.
func (c *cache) warm(ctx context.Context, key moduleKey, load func(context.Context) ([]byte, error)) error {
	c.mu.Lock()
	_, known := c.entries[key]
	refusal, refused := c.refusals[key.hash]
	busy := c.loads > 0
	c.mu.Unlock()
	switch {
	case known:
		return nil
	case refused && time.Now().Before(refusal.until):
		return nil
	case busy:
		return ErrBusy
	}
	_, done, err := c.acquire(ctx, key, load)
	if err != nil {
		return err
	}
	done()
	return nil
}

// await returns when the entry is loaded or has failed to, or with an error.
func (c *cache) await(ctx context.Context, e *entry) error {
	select {
	case <-e.loaded:
		return nil
	default:
	}
	timer := time.NewTimer(loadWait)
	defer timer.Stop()
	select {
	case <-e.loaded:
		return nil
	case <-ctx.Done():
		return cancelled(ctx)
	case <-c.ctx.Done():
		return cancelled(c.ctx)
	case <-timer.C:
		return runnel.Errorf(runnel.CodeUnavailable, "the function's module is not compiled after %s: try again later, and split very large functions if this goes on", loadWait)
	}
}

// enter makes the caller a user of the key's entry and starts a load for a new one.
func (c *cache) enter(key moduleKey, load func(context.Context) ([]byte, error)) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.refusals[key.hash]; ok {
		if time.Now().Before(r.until) {
			return nil, r.err
		}
		delete(c.refusals, key.hash)
	}
	if e := c.entries[key]; e != nil {
		if e.idle != nil {
			c.idle.Remove(e.idle)
			e.idle = nil
		}
		e.users++
		c.observer.CacheHit()
		return e, nil
	}
	ctx, cancel := context.WithCancel(c.ctx)
	e := &entry{key: key, users: 1, cancel: cancel, loaded: make(chan struct{})}
	c.entries[key] = e
	c.loads++
	c.observer.CacheMiss()
	c.wait.Go(func() {
		defer cancel()
		m, err := c.load(ctx, e, load)
		c.finish(e, m, err)
	})
	return e, nil
}

// leave ends a use. The last user to give up on a load cancels it, and the last
// one of a module makes it a candidate for eviction.
func (c *cache) leave(e *entry) {
	c.mu.Lock()
	e.users--
	if e.users > 0 {
		c.mu.Unlock()
		return
	}
	if e.module == nil {
		if !e.compiling {
			e.cancel()
			c.forget(e)
		}
		c.mu.Unlock()
		return
	}
	e.idle = c.idle.PushFront(e)
	evicted := c.evict()
	c.mu.Unlock()
	c.close(evicted)
}

// finish publishes the outcome of a load.
func (c *cache) finish(e *entry, m *module, err error) {
	c.mu.Lock()
	c.loads--
	e.module, e.err = m, err
	close(e.loaded)
	var evicted []*module
	if err != nil {
		c.forget(e)
	} else {
		c.bytes += m.size
		if e.users == 0 {
			e.idle = c.idle.PushFront(e)
		}
		evicted = c.evict()
	}
	c.mu.Unlock()
	c.close(evicted)
}

// forget removes an entry, unless the key has got another since.
func (c *cache) forget(e *entry) {
	if c.entries[e.key] == e {
		delete(c.entries, e.key)
	}
}

// refuse remembers that the module with this hash, verified, is invalid.
func (c *cache) refuse(hash string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refusals) >= maxRefusals {
		clear(c.refusals)
	}
	c.refusals[hash] = refusal{err, time.Now().Add(refusalTime)}
}

// evict takes modules without users out until the rest fits.
func (c *cache) evict() (evicted []*module) {
	for c.bytes > c.budget && c.idle.Len() > 0 {
		e := c.idle.Remove(c.idle.Back()).(*entry)
		c.forget(e)
		c.bytes -= e.module.size
		if c.unused(e.module.core) {
			evicted = append(evicted, e.module)
		}
		c.observer.CacheEvicted()
	}
	return evicted
}

// unused ends a module's use of its core and tells whether that was the last one.
func (c *cache) unused(shared *core) bool {
	if shared == nil {
		return true
	}
	if shared.users--; shared.users > 0 {
		return false
	}
	if c.cores[shared.key] == shared {
		delete(c.cores, shared.key)
	}
	c.bytes -= shared.size
	return true
}

// core returns the core with this key for one more module, made by build when
// there is none.
func (c *cache) core(key [sha256.Size]byte, build func() (*core, error)) (*core, error) {
	c.mu.Lock()
	shared := c.cores[key]
	if shared != nil {
		shared.users++
		c.mu.Unlock()
		select {
		case <-shared.ready:
			return shared, shared.err // a core with an error was never counted
		case <-c.ctx.Done():
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		select {
		case <-shared.ready:
			return shared, shared.err
		default:
		}
		shared.users--
		return nil, cancelled(c.ctx)
	}
	shared = &core{key: key, users: 1, ready: make(chan struct{})}
	c.cores[key] = shared
	c.mu.Unlock()

	err := internal(errors.New("a module's compilation ended early"))
	var built *core
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			shared.err = err
			delete(c.cores, key)
		} else {
			shared.compiled, shared.runtime, shared.shape = built.compiled, built.runtime, built.shape
			shared.memoryMin, shared.size, shared.writesTables = built.memoryMin, built.size, built.writesTables
			c.bytes += shared.size
		}
		close(shared.ready)
	}()
	built, err = build()
	return shared, err
}

func (c *cache) close(modules []*module) {
	for _, m := range modules {
		_ = m.compiled.Close(context.Background()) // it frees code and cannot fail
	}
}

// load gets a module's bytes, verifies them and compiles them.
func (c *cache) load(ctx context.Context, e *entry, load func(context.Context) ([]byte, error)) (m *module, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, internal(fmt.Errorf("panic while loading module %s: %v\n%s", e.key.hash, p, debug.Stack()))
		}
	}()
	wasm, err := load(ctx)
	if err != nil {
		var known *runnel.Error
		switch {
		case errors.As(err, &known):
			return nil, known
		case ctx.Err() != nil:
			return nil, cancelled(ctx)
		}
		return nil, runnel.Errorf(runnel.CodeUnavailable, "the function's module could not be loaded: try again").Because(err)
	}
	if got := hash(wasm); got != e.key.hash {
		return nil, runnel.Errorf(runnel.CodeHashMismatch, "the function's module has sha256 %s where %s was deployed, so it was changed or damaged and is not run: deploy the function again", got, e.key.hash)
	}
	free, err := c.slot(ctx, e)
	if err != nil {
		return nil, err
	}
	defer free()
	m, err = c.compile(c.ctx, wasm, free)
	if code := runnel.CodeOf(err); err != nil && (code == runnel.CodeInvalidModule || code == runnel.CodeTooLarge) {
		c.refuse(e.key.hash, err)
	}
	return m, err
}

// slot waits until a compilation may start. From then on the load is not cancelled
// any more.
func (c *cache) slot(ctx context.Context, e *entry) (free func(), err error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, cancelled(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		<-c.slots
		return nil, cancelled(ctx)
	}
	e.compiling = true
	giveBack := sync.OnceFunc(func() { <-c.slots })
	timer := time.AfterFunc(slotTime, giveBack)
	return func() { timer.Stop(); giveBack() }, nil
}

// shutdown cancels all loads, waits for them and closes all modules. Nothing may
// be acquired or in use any more.
func (c *cache) shutdown() {
	c.stop(ErrClosed)
	c.wait.Wait()
	c.mu.Lock()
	c.budget = -1
	evicted := c.evict()
	c.mu.Unlock()
	c.close(evicted)
}
