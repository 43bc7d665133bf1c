package compile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/runnelhq/runnel"
)

func TestAModuleIsCompiledByOneChild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var children atomic.Int64
	count := func(r Report) {
		children.Add(1)
		if r.Err != nil || r.Wall <= 0 || r.MaxMemory <= 0 {
			t.Errorf("report %+v", r)
		}
	}
	wasm := module(10)
	c := newCompiler(t, Options{Dir: dir, Report: count})
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if err := c.Compile(t.Context(), wasm); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	// Another process, or this one after it started again.
	if err := newCompiler(t, Options{Dir: dir, Report: count}).Compile(t.Context(), wasm); err != nil {
		t.Error(err)
	}
	if children.Load() != 1 {
		t.Errorf("%d children, want 1", children.Load())
	}
}

// load has a new runtime load the module and call one of its functions.
func load(t *testing.T, c *Compiler, wasm []byte) error {
	t.Helper()
	ctx := t.Context()
	l, err := c.NewLoader()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(ctx)
	r := wazero.NewRuntimeWithConfig(ctx, l.Config())
	defer r.Close(ctx)
	m, size, err := l.Load(ctx, r, wasm)
	if err != nil {
		return err
	}
	if size <= 0 {
		t.Errorf("%d bytes of code", size)
	}
	if left, _ := filepath.Glob(filepath.Join(l.dir, "*")); len(left) != 0 {
		t.Errorf("the loader has %v: wazero compiled by itself, or the link was left", left)
	}
	instance, err := r.InstantiateModule(ctx, m, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := instance.ExportedFunction("f2").Call(ctx); err != nil || got[0] != 82 {
		t.Errorf("f2() is %v, %v", got, err)
	}
	return nil
}

func TestALoaderRunsWhatTheChildCompiled(t *testing.T) {
	t.Parallel()
	c := newCompiler(t, Options{})
	for range 2 {
		if err := load(t, c, module(10)); err != nil {
			t.Error(err)
		}
	}
}

func TestFUNC_I2_AChildThatExceedsALimitIsKilledAndTheModuleRefused(t *testing.T) {
	t.Parallel()
	tight := Limits{CPU: time.Second, Wall: time.Minute, Memory: 256 << 20, Output: 8 << 20}
	soon := tight
	soon.Wall = 200 * time.Millisecond
	for _, c := range []struct {
		act    string
		limits Limits
		says   string
	}{
		{"spin", tight, "longer than 1s of processor time"},
		{"hog", tight, "more than 256 MB of memory"},
		{"sleep", soon, "longer than 200ms to compile"},
		{"flood", tight, "more than 8 MB of native code"},
		{"crash", tight, "crashed on it"},
		{"die", tight, "was killed"},
	} {
		t.Run(c.act, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var reports []Report
			o := Options{Dir: dir, Limits: c.limits, Command: acting(t, c.act), Report: func(r Report) { reports = append(reports, r) }}
			first := newCompiler(t, o)
			for _, compiler := range []*Compiler{first, first, newCompiler(t, o)} {
				err := compiler.Compile(t.Context(), one)
				if runnel.CodeOf(err) != runnel.CodeInvalidModule || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %v, want InvalidModule with %q", err, c.says)
				}
			}
			if len(reports) != 1 {
				t.Errorf("tried %d times, want once", len(reports))
			}
			t.Logf("%+v", reports)
			// Who allows more tries again, with another outcome here.
			o.Limits.CPU += time.Second
			o.Command = nil
			o.Limits.Wall = time.Minute
			o.Limits.Memory = DefaultLimits().Memory
			if err := newCompiler(t, o).Compile(t.Context(), one); err != nil {
				t.Errorf("with other limits: %v", err)
			}
		})
	}
}

func TestFUNC_I2_RealModulesMeetTheLimits(t *testing.T) {
	t.Parallel()
	large := module(4_000)
	for says, limits := range map[string]Limits{
		"more than 1 MB of native code": {CPU: time.Minute, Wall: time.Minute, Memory: 4 << 30, Output: 1 << 20},
		"longer than 100ms to compile":  {CPU: time.Minute, Wall: 100 * time.Millisecond, Memory: 4 << 30, Output: 64 << 20},
	} {
		err := newCompiler(t, Options{Limits: limits}).Compile(t.Context(), large)
		if runnel.CodeOf(err) != runnel.CodeInvalidModule || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want InvalidModule with %q", err, says)
		}
	}
}

func TestAnInvalidModuleIsRefusedWithWazerosReason(t *testing.T) {
	t.Parallel()
	err := newCompiler(t, Options{}).Compile(t.Context(), []byte("\x00asm\x01\x00\x00\x00\x63"))
	if runnel.CodeOf(err) != runnel.CodeInvalidModule || !strings.Contains(err.Error(), "section") {
		t.Errorf("error %v, want InvalidModule with a reason", err)
	}
}

func TestFUNC_S1_TheChildKnowsNothingOfItsParent(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://someone:hunter2-hunter2@127.0.0.1/db")
	secret := filepath.Join(t.TempDir(), "open-in-the-parent")
	f, err := os.Create(secret)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = newCompiler(t, Options{Command: acting(t, "tell")}).Compile(t.Context(), one)
	var told struct{ Environ, FDs []string }
	_, text, _ := strings.Cut(fmt.Sprint(err), "{")
	if json.Unmarshal([]byte("{"+text), &told) != nil {
		t.Fatalf("the child told %v", err)
	}
	if len(told.Environ) != 0 {
		t.Errorf("the child has the environment %q", told.Environ)
	}
	for _, fd := range told.FDs { // the Go runtime opens some by itself
		if !strings.HasPrefix(fd, "pipe:") && !strings.HasPrefix(fd, "anon_inode:") && !strings.HasPrefix(fd, "/proc/") && !strings.HasPrefix(fd, "/sys/fs/cgroup/") && fd != "/dev/null" {
			t.Errorf("the child has %s open", fd)
		}
	}
}

func TestWhatAChildSaysIsBounded(t *testing.T) {
	t.Parallel()
	err := newCompiler(t, Options{Command: acting(t, "shout")}).Compile(t.Context(), one)
	if runnel.CodeOf(err) != runnel.CodeInvalidModule || len(err.Error()) > 2*4<<10 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

func TestACancelledCompilationIsNoRefusal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pid := filepath.Join(t.TempDir(), "pid")
	c := newCompiler(t, Options{Dir: dir, Command: acting(t, "announce", pid)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.Compile(ctx, one) }()
	child := waitForPID(t, pid)
	cancel()
	if err := <-done; runnel.CodeOf(err) != runnel.CodeCancelled || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want Cancelled", err)
	}
	if err := syscall.Kill(child, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child is still there: %v", err)
	}
	if err := newCompiler(t, Options{Dir: dir}).Compile(t.Context(), one); err != nil {
		t.Errorf("the next try: %v", err)
	}
}

func TestACommandThatIsNotThereIsNoRefusal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := newCompiler(t, Options{Dir: dir, Command: []string{filepath.Join(dir, "none")}}).Compile(t.Context(), one)
	if runnel.CodeOf(err) != runnel.CodeUnavailable || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want Unavailable", err)
	}
	if err := newCompiler(t, Options{Dir: dir}).Compile(t.Context(), one); err != nil {
		t.Errorf("the next try: %v", err)
	}
}

func waitForPID(t *testing.T, path string) int {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(path); err == nil {
			pid, err := strconv.Atoi(string(b))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("the child did not begin")
	return 0
}

func TestFUNC_I4_AChildDiesWithItsParent(t *testing.T) {
	t.Parallel()
	pid, dir := filepath.Join(t.TempDir(), "pid"), t.TempDir()
	command := acting(t, "parent", dir, pid)
	var out bytes.Buffer
	parent := exec.Command(command[0], command[1:]...)
	parent.Stderr = &out
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	child := waitForPID(t, pid)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	deadline := time.Now().Add(30 * time.Second)
	for alive(child) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(child, syscall.SIGKILL)
			t.Fatalf("the child outlived its parent: %s", &out)
		}
		time.Sleep(5 * time.Millisecond)
	}
	// What the parent left behind goes when it is old enough.
	left, _ := filepath.Glob(filepath.Join(dir, processPrefix+"*"))
	if len(left) != 1 {
		t.Fatalf("left behind: %v", left)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left[0], old, old); err != nil {
		t.Fatal(err)
	}
	newCompiler(t, Options{Dir: dir})
	if _, err := os.Stat(left[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

// alive tells whether a process runs; one that nobody has waited for does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// Hostile modules that take their minute each hold all places but one, which is
// for small modules only.
func TestFUNC_I4_SmallModulesDoNotWaitForLargeOnes(t *testing.T) {
	t.Parallel()
	c := newCompiler(t, Options{})
	for range maxChildren {
		c.children <- struct{}{}
	}
	small, large := module(10), module(4000)
	if len(small) > quickModule || len(large) <= quickModule {
		t.Fatalf("modules of %d and %d bytes", len(small), len(large))
	}
	if err := c.Compile(t.Context(), small); err != nil {
		t.Errorf("the small one: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Compile(ctx, large); runnel.CodeOf(err) != runnel.CodeCancelled {
		t.Errorf("the large one did not wait: %v", err)
	}
}
