package cmd_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/runnelhq/runnel/internal/guests"
)

// goReactor builds testdata/reactor.
func goReactor(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "reactor.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = "testdata/reactor"
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// deployment is what a deploy answers.
type deployment struct {
	Version   int
	WasmHash  string `json:"wasm_hash"`
	Unchanged bool
	Logs      []struct{ Message string }
}

func (r reply) deployment(t *testing.T) (d deployment) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &d); err != nil || d.WasmHash == "" {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return d
}

// A Go function that is deployed with a snapshot begins where its initialisation has
// ended: what that made is there, once; the clock, what is random, the environment and
// what a call changes are the call's own.
func TestFUNC_E2_AReactorDeployedWithASnapshotIsFreshInEachCall(t *testing.T) {
	t.Parallel()
	wasm := goReactor(t)
	s := newSystem(t)
	s.api()
	s.worker()
	config := map[string]any{"snapshot": true, "if_changed": true, "environment": map[string]string{"NAME": "one"}}
	d := s.upload("squares", wasm, config).deployment(t)
	sum := sha256.Sum256(wasm)
	if d.WasmHash == hex.EncodeToString(sum[:]) || len(d.Logs) != 1 || d.Logs[0].Message != "squares: 10000" {
		t.Errorf("the deploy answered %+v", d)
	}
	if again := s.upload("squares", wasm, config).deployment(t); again.Version != 1 || !again.Unchanged || again.WasmHash != d.WasmHash {
		t.Errorf("the same module again: %+v", again)
	}
	if got := one[string](s, `SELECT encode(sha256(wasm_bytes), 'hex') FROM runnel.modules`); got != d.WasmHash {
		t.Errorf("the module that is kept has the hash %s, the deploy answered %s", got, d.WasmHash)
	}

	const n = 20
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		random = make(map[string]bool) // guarded by mu
	)
	call := func(name string) {
		r := s.call("squares", `{}`)
		var got struct {
			Calls, Sum, Built, Now int64
			Random, Name           string
		}
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != 200 {
			t.Errorf("%d %s", r.status, r.body)
			return
		}
		if off := time.Since(time.Unix(got.Now, 0)); got.Calls != 1 || got.Sum != 333283335000 || got.Name != name || off < -5*time.Second || off > time.Minute {
			t.Errorf("answered %+v", got)
		}
		if got.Built != 1575504000 { // a snapshot is made on the day of WebAssembly 1.0
			t.Errorf("it was built at %d", got.Built)
		}
		mu.Lock()
		random[got.Random] = true
		mu.Unlock()
	}
	for range n {
		wg.Go(func() { call("one") })
	}
	wg.Wait()
	if r := s.admin("PATCH", "/admin/v1/functions/squares", `{"environment":{"NAME":"two"}}`); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	call("two") // it is not in the snapshot
	if len(random) != n+1 {
		t.Errorf("%d calls made %d random texts", n+1, len(random))
	}
	if got := one[int](s, `SELECT count(*)::int FROM runnel.function_invocations WHERE status = 'success' AND version = 1 AND wasm_hash = $1`, d.WasmHash); got != n+1 {
		t.Errorf("%d log rows of the snapshot, want %d", got, n+1)
	}
	s.audit(n + 1)
}

// What a snapshot would not keep is refused, and nothing is left of the deploy.
func TestSnapshotsThatAreRefused(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.api()
	s.worker()
	for name, c := range map[string]struct {
		wasm []byte
		says string
	}{
		"tables":   {guests.WritesTables(), "tables of functions"},
		"traps":    {guests.TrappingInit(), "the module fails when it is loaded"},
		"no init":  {guests.Echo(), "nothing to take a snapshot of"},
		"no bytes": {nil, "InvalidModule"},
		"endless":  {guests.EndlessInit(), "does not end in time"},
	} {
		r := s.upload("refused", c.wasm, map[string]any{"snapshot": true})
		if r.status != 400 || !strings.Contains(r.body, `"code":"InvalidModule"`) || !strings.Contains(r.body, c.says) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if got := one[int](s, `SELECT (SELECT count(*) FROM runnel.functions) + (SELECT count(*) FROM runnel.modules)`); got != 0 {
		t.Errorf("%d rows are left", got)
	}
	// Without a snapshot the table is nobody's concern.
	s.deploy("tables", guests.WritesTables(), map[string]any{"snapshot": false})
	if r := s.call("tables", `{}`); r.body != "3" {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.deploy("kept", guests.Counting(nil), map[string]any{"snapshot": true})
	for range 3 {
		if r := s.call("kept", `{}`); r.body != "3" {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	s.audit(4)
}

// An api that is killed while it makes a snapshot leaves nothing half made: what was
// there answers, and the deploy can be repeated.
func TestSnapshotsSurviveAnApiThatIsKilled(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	victim := s.api()
	s.worker()
	s.deploy("f", guests.Counting(nil), map[string]any{"snapshot": true})
	spent := cpuTime(t, victim.cmd.Process.Pid)
	answered := make(chan reply, 1)
	go func() { answered <- s.upload("f", guests.EndlessInit(), map[string]any{"snapshot": true}) }()
	s.eventually("the api is evaluating", func() bool { return cpuTime(t, victim.cmd.Process.Pid) > spent+300*time.Millisecond })
	victim.signal(t, syscall.SIGKILL, 5*time.Second)
	if r := <-answered; r.status != 0 {
		t.Errorf("the deploy was answered with %d %s", r.status, r.body)
	}
	s.api()
	if got := one[string](s, `SELECT (SELECT count(*) FROM runnel.function_versions) || ' ' || (SELECT count(*) FROM runnel.modules)`); got != "1 1" {
		t.Errorf("versions and modules: %s", got)
	}
	if r := s.call("f", `{}`); r.body != "3" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if d := s.upload("f", guests.Counting(nil), map[string]any{"snapshot": true}).deployment(t); d.Version != 2 {
		t.Errorf("deployed again: %+v", d)
	}
	s.audit(1)
}

// cpuTime is how much processor time a process has used. It skips the test where the
// kernel does not say.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skip(err)
	}
	_, after, _ := strings.Cut(string(b), ") ") // of the program's name
	fields := strings.Fields(after)
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 for all programs
}
