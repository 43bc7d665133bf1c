package compile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"
)

// Loader lets one wazero runtime load code from the store. Between the two is a
// directory that wazero takes for its cache and that is empty but for the code
// being loaded: so wazero sees nothing that was not verified, and writes nothing.
type Loader struct {
	compiler *Compiler
	dir      string
	cache    wazero.CompilationCache
	busy     chan struct{} // one load at a time
}

// NewLoader makes a Loader. Close it after the runtime.
func (c *Compiler) NewLoader() (*Loader, error) {
	dir, err := os.MkdirTemp(c.store.process, "loader-*")
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	return &Loader{compiler: c, dir: filepath.Join(dir, c.store.wazero), cache: cache, busy: make(chan struct{}, 1)}, nil
}

// Config is the configuration of the runtime that Load may be given.
func (l *Loader) Config() wazero.RuntimeConfig { return Engine().WithCompilationCache(l.cache) }

// Close releases wazero's engine, and all code.
func (l *Loader) Close(ctx context.Context) error { return l.cache.Close(ctx) }

// Load returns the module, compiled in a child if need be, and the size of its
// code. Errors are those of Compile.
func (l *Loader) Load(ctx context.Context, r wazero.Runtime, wasm []byte) (wazero.CompiledModule, int64, error) {
	var failed error
	for range 2 { // an entry may be trimmed, or be one that wazero does not take: then it is made anew
		e, err := l.compiler.compile(ctx, wasm)
		if err != nil {
			return nil, 0, err
		}
		m, size, err := l.load(ctx, r, wasm, e)
		if err == nil {
			return m, size, nil
		}
		_ = os.Remove(e.path)
		failed = err
	}
	return nil, 0, unavailable(failed)
}

func (l *Loader) load(ctx context.Context, r wazero.Runtime, wasm []byte, e entry) (wazero.CompiledModule, int64, error) {
	select {
	case l.busy <- struct{}{}:
		defer func() { <-l.busy }()
	case <-ctx.Done():
		return nil, 0, cancelled(ctx)
	}
	place := filepath.Join(l.dir, e.key)
	if err := os.Link(e.path, place); err != nil {
		return nil, 0, err
	}
	defer os.Remove(place)
	info, err := os.Lstat(place)
	if err != nil {
		return nil, 0, err
	}
	m, err := r.CompileModule(context.WithoutCancel(ctx), wasm)
	return m, info.Size(), err
}
