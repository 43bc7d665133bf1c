package compile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
)

const (
	refusedSuffix = ".refused"
	processPrefix = "process-"
	// A process directory younger than this may not be locked yet by its owner.
	processAge = time.Minute
)

// store is the directory with native code.
type store struct {
	dir     string // of all engines and processes
	engine  string // of this engine, in dir
	wazero  string // the name of wazero's directory within its cache
	process string // of this process, in dir
	lock    io.Closer
	private bool // dir goes with the process
	budget  int64
	trimmed sync.Mutex
}

// entry is native code of one module.
type entry struct {
	path string
	key  string // wazero's name for it
	sum  string // of the file
}

func openStore(ctx context.Context, dir string, budget int64) (_ *store, err error) {
	s := &store{dir: dir, budget: budget}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "runnel-modules-*"); err != nil {
			return nil, fmt.Errorf("compile: %w: set RUNNEL_CACHE_DIR to a directory that can be written to", err)
		}
		s.private = true
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	defer func() {
		if err != nil {
			_ = s.close()
		}
	}()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("compile: %w: set RUNNEL_CACHE_DIR to a directory that can be written to", err)
	}
	if err := checkOwner(s.dir); err != nil {
		return nil, err
	}
	s.sweep()
	if s.process, err = os.MkdirTemp(s.dir, processPrefix+"*"); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	if s.lock, err = lockDir(s.process); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	if err := s.findEngine(ctx); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	return s, nil
}

// sweep removes what processes that died left behind.
func (s *store) sweep() {
	if !canLock {
		return
	}
	left, _ := filepath.Glob(filepath.Join(s.dir, processPrefix+"*"))
	for _, dir := range left {
		if info, err := os.Lstat(dir); err != nil || time.Since(info.ModTime()) < processAge {
			continue
		}
		if lock, err := lockDir(dir); err == nil {
			_ = os.RemoveAll(dir)
			_ = lock.Close()
		}
	}
}

// one is the module whose name in wazero's cache stands for the engine: one
// function that does nothing.
var one = []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x04\x01\x02\x00\x0b")

// findEngine compiles a module known to all and looks what wazero calls it.
func (s *store) findEngine(ctx context.Context) error {
	dir := filepath.Join(s.process, "probe")
	if err := build(ctx, one, dir); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file, err := onlyFile(dir)
	if err != nil {
		return err
	}
	s.wazero = filepath.Base(filepath.Dir(file))
	s.engine = filepath.Join(s.dir, s.wazero+"-"+filepath.Base(file)[:16])
	if err := os.MkdirAll(s.engine, 0o700); err != nil {
		return err
	}
	return checkOwner(s.engine)
}

// Engine is how modules are compiled, here and by whoever loads them: it is part
// of wazero's name for the code. Termination is the meter's business: wazero's own
// costs a factor and does not stop recursion.
func Engine() wazero.RuntimeConfig {
	return wazero.NewRuntimeConfigCompiler().WithCloseOnContextDone(false).WithDebugInfoEnabled(false)
}

// build compiles a module into a wazero cache in dir, on this goroutine only.
func build(ctx context.Context, wasm []byte, dir string) error {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return err
	}
	defer cache.Close(ctx)
	r := wazero.NewRuntimeWithConfig(ctx, Engine().WithCompilationCache(cache))
	defer r.Close(ctx)
	m, err := r.CompileModule(ctx, wasm)
	if err != nil {
		return err
	}
	return m.Close(ctx)
}

// onlyFile returns the one file that wazero left in a cache.
func onlyFile(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil {
		return "", err
	}
	if len(files) != 1 {
		return "", fmt.Errorf("wazero left %d files in its cache where one was expected: it has changed", len(files))
	}
	if info, err := os.Lstat(files[0]); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("wazero left %s, which is no file: %w", files[0], err)
	}
	return files[0], nil
}

// find returns a module's code. It is compared with its sum; what differs is
// removed, as if it had never been.
func (s *store) find(module string) (entry, bool) {
	files, _ := filepath.Glob(filepath.Join(s.engine, module+".*.*"))
	for _, path := range files {
		parts := strings.Split(filepath.Base(path), ".")
		if len(parts) != 3 {
			continue
		}
		e := entry{path: path, key: parts[1], sum: parts[2]}
		if sum, err := sumOf(path); err != nil || sum != e.sum {
			_ = os.Remove(path)
			continue
		}
		now := time.Now()
		_ = os.Chtimes(path, now, now) // trim looks at it
		return e, true
	}
	return entry{}, false
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// take moves the code that a child left in dir into the store.
func (s *store) take(module, dir string) (entry, error) {
	file, err := onlyFile(dir)
	if err != nil {
		return entry{}, err
	}
	if name := filepath.Base(filepath.Dir(file)); name != s.wazero {
		return entry{}, fmt.Errorf("the child compiled for %s, this process for %s: they are different programs", name, s.wazero)
	}
	e := entry{key: filepath.Base(file)}
	if e.sum, err = sumOf(file); err != nil {
		return entry{}, err
	}
	e.path = filepath.Join(s.engine, module+"."+e.key+"."+e.sum)
	if err := os.Rename(file, e.path); err != nil {
		return entry{}, err
	}
	s.trim(e.path)
	return e, nil
}

// trim removes what was not used for longest until the rest fits, of all engines,
// but not keep.
func (s *store) trim(keep string) {
	s.trimmed.Lock()
	defer s.trimmed.Unlock()
	type file struct {
		path string
		size int64
		used time.Time
	}
	var files []file
	var total int64
	paths, _ := filepath.Glob(filepath.Join(s.dir, "wazero-*", "*"))
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil {
			continue
		}
		total += info.Size() + 1<<10
		if path != keep {
			files = append(files, file{path, info.Size() + 1<<10, info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(a.used.Compare(b.used), strings.Compare(a.path, b.path)) })
	for _, f := range files {
		if total <= s.budget {
			return
		}
		if os.Remove(f.path) == nil {
			total -= f.size
		}
	}
}

// refused is the content of a .refused file.
type refused struct {
	Limits string
	Reason string
	Until  time.Time `json:",omitzero"`
}

// refuse keeps why a module is not compiled. That it cannot be kept costs another
// try.
func (s *store) refuse(module string, limits Limits, v verdict) {
	r := refused{Limits: limits.String(), Reason: v.reason}
	if v.after > 0 {
		r.Until = time.Now().Add(v.after)
	}
	b, err := json.Marshal(r)
	if err != nil {
		return
	}
	temporary := filepath.Join(s.process, module+refusedSuffix)
	if os.WriteFile(temporary, b, 0o600) != nil || os.Rename(temporary, s.refusedPath(module)) != nil {
		_ = os.Remove(temporary)
	}
}

// refused tells whether, and why, the module is not to be tried.
func (s *store) refused(module string, limits Limits) (reason string, ok bool) {
	b, err := os.ReadFile(s.refusedPath(module))
	if err != nil {
		return "", false
	}
	var r refused
	if json.Unmarshal(b, &r) != nil || r.Limits != limits.String() || !r.Until.IsZero() && time.Now().After(r.Until) {
		_ = os.Remove(s.refusedPath(module))
		return "", false
	}
	now := time.Now()
	_ = os.Chtimes(s.refusedPath(module), now, now)
	return r.Reason, true
}

func (s *store) refusedPath(module string) string {
	return filepath.Join(s.engine, module+refusedSuffix)
}

func (s *store) close() error {
	var errs []error
	if s.process != "" {
		errs = append(errs, os.RemoveAll(s.process))
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if s.private {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// errOpenDir says why a directory cannot hold code that is executed.
func errOpenDir(dir, why string) error {
	return fmt.Errorf("compile: %s %s; it holds native code that is executed: run chmod 700 and chown on it, or set RUNNEL_CACHE_DIR to another directory", dir, why)
}

// writableByOthers are the permissions a directory with code must not have.
const writableByOthers fs.FileMode = 0o022
