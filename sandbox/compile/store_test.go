package compile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestADirectoryThatOthersCanWriteIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, mode := range []os.FileMode{0o777, 0o770, 0o702} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		c, err := New(context.Background(), Options{Dir: dir, Command: acting(t)})
		if err == nil {
			c.Close()
			t.Errorf("mode %s is accepted", mode)
		} else if !strings.Contains(err.Error(), "writable by others") || !strings.Contains(err.Error(), "RUNNEL_CACHE_DIR") {
			t.Errorf("mode %s: %v", mode, err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if c, err := New(context.Background(), Options{Dir: link, Command: acting(t)}); err == nil {
		c.Close()
		t.Error("a symbolic link is accepted")
	}
}

func TestADirectoryOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chown(dir, 12345, -1); err != nil {
		t.Skip("only root can give a directory away")
	}
	if c, err := New(context.Background(), Options{Dir: dir, Command: acting(t)}); err == nil || !strings.Contains(err.Error(), "another user") {
		if err == nil {
			c.Close()
		}
		t.Errorf("error %v", err)
	}
}

func TestWithoutADirectoryThereIsAPrivateOneForAWhile(t *testing.T) {
	t.Parallel()
	c, err := New(t.Context(), Options{Command: acting(t)})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(c.store.dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := c.Compile(t.Context(), one); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.store.dir); err == nil {
		t.Error("it is still there after Close")
	}
}

// Every byte of an entry is verified, also those that wazero does not look at.
func TestFUNC_I5_ADamagedEntryIsCompiledAgain(t *testing.T) {
	t.Parallel()
	var children atomic.Int64
	c := newCompiler(t, Options{Report: func(Report) { children.Add(1) }})
	wasm := module(10)
	if err := load(t, c, wasm); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(c.store.engine, "*"))
	if len(files) != 1 {
		t.Fatalf("the store has %v", files)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	tried := int64(1)
	for name, damage := range map[string]func([]byte) []byte{
		"empty":                func([]byte) []byte { return nil },
		"half":                 func(b []byte) []byte { return b[:len(b)/2] },
		"number of functions":  func(b []byte) []byte { b[6+1+int(b[6])+3] = 0xff; return b },
		"offset of a function": func(b []byte) []byte { b[6+1+int(b[6])+4] ^= 1; return b },
		"code":                 func(b []byte) []byte { b[len(b)-40] ^= 1; return b },
		"last byte":            func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"more":                 func(b []byte) []byte { return append(b, 0) },
	} {
		if err := os.WriteFile(files[0], damage([]byte(string(good))), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := load(t, c, wasm); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if tried++; children.Load() != tried {
			t.Errorf("%s: %d children, want %d", name, children.Load(), tried)
			tried = children.Load()
		}
	}
}

func TestTheStoreIsBounded(t *testing.T) {
	t.Parallel()
	var children atomic.Int64
	dir := t.TempDir()
	c := newCompiler(t, Options{Dir: dir, Bytes: 1, Report: func(Report) { children.Add(1) }})
	for i := range 3 {
		if err := load(t, c, module(10+i)); err != nil {
			t.Error(err)
		}
		if files, _ := filepath.Glob(filepath.Join(c.store.engine, "*")); len(files) != 1 {
			t.Errorf("the store keeps %v", files)
		}
	}
	// With room for two, what was not used for longest goes.
	c = newCompiler(t, Options{Dir: dir, Bytes: 1 << 30, Report: func(Report) { children.Add(1) }})
	for _, n := range []int{10, 11} {
		if err := c.Compile(t.Context(), module(n)); err != nil {
			t.Error(err)
		}
	}
	files, _ := filepath.Glob(filepath.Join(c.store.engine, "*"))
	total := int64(0)
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size() + 1<<10
		past := time.Now().Add(-time.Hour)
		if err := os.Chtimes(f, past, past); err != nil {
			t.Fatal(err)
		}
	}
	used, ok := c.store.find(moduleOf(module(11)))
	if !ok {
		t.Fatal("not in the store")
	}
	c.store.budget = total
	before := children.Load()
	if err := c.Compile(t.Context(), module(15)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(used.path); err != nil || children.Load() != before+1 {
		t.Errorf("what was just used is gone: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(c.store.engine, "*")); len(left) >= len(files)+1 {
		t.Errorf("%d entries before, %d after", len(files), len(left))
	}
}

func TestADirectoryInUseIsNotTakenForLeftBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newCompiler(t, Options{Dir: dir})
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(c.store.process, old, old); err != nil {
		t.Fatal(err)
	}
	newCompiler(t, Options{Dir: dir})
	if _, err := os.Stat(c.store.process); err != nil {
		t.Error(err)
	}
}
