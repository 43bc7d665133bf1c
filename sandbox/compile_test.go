package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sandbox/compile"
)

// newCompiler returns a Compiler whose children are this test program.
func newCompiler(t testing.TB, o compile.Options) *compile.Compiler {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	var err error
	if o.Command, err = compile.Self(); err != nil {
		t.Fatal(err)
	}
	c, err := compile.New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// large is hello with that many functions that nobody calls, each of its own.
func large(functions int) []byte {
	g := newGuest("fd_write")
	g.Data(0, []byte("\x08\x00\x00\x00\x11\x00\x00\x00"+`{"hello":"world"}`))
	typ := g.Type([]byte{wasmtest.I32}, []byte{wasmtest.I32})
	for i := range functions {
		c := body().LocalGet(0)
		for range 30 {
			c.I32Const(int32(i)).Op(wasmtest.I32Add).LocalTee(0).LocalGet(0).Op(wasmtest.I32Mul)
		}
		g.Func(typ, nil, c.End())
	}
	return g.command(nil, body().
		I32Const(1).I32Const(0).I32Const(1).I32Const(64).Call(g.imports["fd_write"]).Op(wasmtest.Drop))
}

func TestLargeModulesAreCompiledInAChildOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var children atomic.Int64
	for range 2 {
		c := newCompiler(t, compile.Options{Dir: dir, Report: func(compile.Report) { children.Add(1) }})
		r := newRuntime(t, Config{Compiler: c})
		for _, wasm := range [][]byte{large(1000), hello()} { // the second is small
			out, err := run(t, r, wasm)
			if err != nil || string(out.Output) != `{"hello":"world"}` {
				t.Errorf("%s, %v", out.Output, err)
			}
		}
	}
	if children.Load() != 1 {
		t.Errorf("%d children, want 1", children.Load())
	}
}

func TestCodeFromTheStoreIsEvictedAndLoadedAgain(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{CacheBytes: 1, Compiler: newCompiler(t, compile.Options{})})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range 5 {
				if out, err := run(t, r, large(300+i%2)); err != nil || string(out.Output) != `{"hello":"world"}` {
					t.Errorf("%s, %v", out.Output, err)
				}
			}
		})
	}
	group.Wait()
}

func TestFUNC_I2_AModuleThatCompilesForTooLongIsRefusedOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wasm := large(2000)
	var children atomic.Int64
	o := compile.Options{
		Dir: dir, Report: func(compile.Report) { children.Add(1) },
		Limits: compile.Limits{CPU: time.Minute, Wall: time.Minute, Memory: 1 << 30, Output: 64 << 10},
	}
	for range 2 { // another process is a Runtime of its own, without this one's memory
		r := newRuntime(t, Config{Compiler: newCompiler(t, o)})
		for range 3 {
			_, err := run(t, r, wasm)
			wantCode(t, err, runnel.CodeInvalidModule)
			if !strings.Contains(err.Error(), "native code") {
				t.Errorf("error %v does not say why", err)
			}
		}
	}
	err := Precompile(context.Background(), newCompiler(t, o), wasm)
	wantCode(t, err, runnel.CodeInvalidModule)
	if children.Load() != 1 {
		t.Errorf("%d children, want 1", children.Load())
	}
}

func TestPrecompiledModulesAreLoaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var children atomic.Int64
	o := compile.Options{Dir: dir, Report: func(compile.Report) { children.Add(1) }}
	if err := Precompile(context.Background(), newCompiler(t, o), large(500)); err != nil {
		t.Fatal(err)
	}
	if err := Precompile(context.Background(), newCompiler(t, o), hello()); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, newRuntime(t, Config{Compiler: newCompiler(t, o)}), large(500)); err != nil {
		t.Error(err)
	}
	if children.Load() != 1 {
		t.Errorf("%d children, want 1", children.Load())
	}
}

func TestFUNC_I4_FunctionsRunWhileAModuleIsCompiled(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	c := newCompiler(t, compile.Options{})
	r := newRuntime(t, Config{Compiler: c})
	if _, err := run(t, r, hello()); err != nil {
		t.Fatal(err)
	}
	inner := r.modules.compile
	r.modules.compile = func(ctx context.Context, wasm []byte, free func()) (*module, error) {
		if len(wasm) < smallModule {
			return inner(ctx, wasm, free)
		}
		return inner(ctx, wasm, func() { free(); close(began); <-release })
	}
	done := make(chan error, 1)
	go func() { _, err := run(t, r, large(1000)); done <- err }()
	<-began
	// What is compiled runs, and what is small is compiled, though all is as if the
	// child took for ever.
	for i := range 20 {
		if _, err := run(t, r, hello()); err != nil {
			t.Error(err)
		}
		if _, err := run(t, r, numbered(i)); err != nil {
			t.Error(err)
		}
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestClosingEndsTheChild(t *testing.T) {
	t.Parallel()
	reports := make(chan compile.Report, 1)
	c := newCompiler(t, compile.Options{Report: func(r compile.Report) { reports <- r }})
	r, err := New(context.Background(), Config{Compiler: c})
	if err != nil {
		t.Fatal(err)
	}
	compiling := make(chan struct{})
	inner := r.modules.compile
	r.modules.compile = func(ctx context.Context, wasm []byte, free func()) (*module, error) {
		return inner(ctx, wasm, func() { free(); close(compiling) })
	}
	failed := make(chan error, 1)
	go func() { _, err := run(t, r, large(20_000)); failed <- err }()
	<-compiling
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
	wantCode(t, <-failed, runnel.CodeCancelled)
	select {
	case report := <-reports:
		wantCode(t, report.Err, runnel.CodeCancelled)
	default: // it had not been started
	}
}

func TestWarmCompilesAheadAndGivesWay(t *testing.T) {
	t.Parallel()
	var seen tally
	r := newRuntime(t, Config{Observer: &seen})
	ctx := context.Background()
	call := callOf(hello())
	for range 2 {
		if err := r.Warm(ctx, call.Hash, call.Revision, call.Load); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Run(ctx, call); err != nil || seen.compiles.Load() != 1 || seen.hits.Load() != 1 {
		t.Errorf("%v, %d compiles, %d hits", err, seen.compiles.Load(), seen.hits.Load())
	}
	// A module that a call waits for comes first.
	loading, release := make(chan struct{}), make(chan struct{})
	slow := callOf(numbered(1))
	load := slow.Load
	slow.Load = func(ctx context.Context) ([]byte, error) { close(loading); <-release; return load(ctx) }
	done := make(chan error, 1)
	go func() { _, err := r.Run(ctx, slow); done <- err }()
	<-loading
	other := callOf(numbered(2))
	if err := r.Warm(ctx, other.Hash, other.Revision, other.Load); err != ErrBusy {
		t.Errorf("error %v, want ErrBusy", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := r.Warm(ctx, other.Hash, other.Revision, other.Load); err != nil {
		t.Error(err)
	}
}

func TestGoGuestIsLoadedFasterThanCompiled(t *testing.T) {
	if raceEnabled {
		t.Skip("compiling a Go module takes minutes under the race detector")
	}
	wasm := buildGoGuest(t)
	dir := t.TempDir()
	var took []time.Duration
	for range 2 {
		r := newRuntime(t, Config{Compiler: newCompiler(t, compile.Options{Dir: dir, Report: func(r compile.Report) { t.Logf("child: %+v", r) }})})
		call := callOf(wasm)
		call.Memory = 64 << 20
		began := time.Now()
		if _, err := r.Run(context.Background(), call); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	entries, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	var size int64
	for _, e := range entries {
		if info, err := os.Stat(e); err == nil {
			size += info.Size()
		}
	}
	t.Logf("first call of a module of %d KB: %v compiled, %v loaded; %d KB of code", len(wasm)>>10, took[0], took[1], size>>10)
	if !slices.IsSortedFunc(took, func(a, b time.Duration) int { return int(b - a) }) {
		t.Errorf("loading took longer than compiling: %v", took)
	}
}
