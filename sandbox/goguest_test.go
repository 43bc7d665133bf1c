package sandbox

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
)

func TestGoGuest(t *testing.T) {
	if raceEnabled {
		t.Skip("compiling 4 MB takes minutes under the race detector; small guests go the same way in the other tests")
	}
	t.Parallel()
	r := newRuntime(t, Config{})
	wasm := buildGoGuest(t)
	if info, err := Check(context.Background(), wasm); err != nil || info.Kind != Command {
		t.Fatalf("got %+v, %v", info, err)
	}
	call := func(do, value string) Call {
		c := callOf(wasm)
		c.Event, _ = json.Marshal(map[string]string{"do": do, "value": value})
		c.Env = map[string]string{"GREETING": "hello"}
		c.Memory = 64 << 20
		c.Timeout = time.Minute
		return c
	}
	// run returns the result's fields.
	run := func(t *testing.T, do, value string) map[string]any {
		t.Helper()
		out, err := r.Run(context.Background(), call(do, value))
		if err != nil {
			t.Fatal(err)
		}
		var result map[string]any
		if err := json.Unmarshal(out.Output, &result); err != nil {
			t.Fatal(err)
		}
		return result
	}
	run(t, "echo", "") // compiles

	t.Run("JSON in and out", func(t *testing.T) {
		t.Parallel()
		if got := run(t, "echo", "Grüße \u0000 <&>")["value"]; got != "Grüße \u0000 <&>" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("environment", func(t *testing.T) {
		t.Parallel()
		if got := run(t, "env", "GREETING"); got["value"] != "hello" || got["args"] != 1.0 { // a name, as programs expect
			t.Errorf("got %v", got)
		}
		if got := run(t, "env", "PATH")["value"]; got != "" {
			t.Errorf("the guest sees the worker's PATH: %q", got)
		}
	})
	t.Run("sleep", func(t *testing.T) {
		t.Parallel()
		if got := run(t, "sleep", "30ms")["value"]; got != true {
			t.Errorf("got %v", got)
		}
	})
	t.Run("sleep past the deadline", func(t *testing.T) {
		t.Parallel()
		c := call("sleep", "1h")
		c.Timeout = 300 * time.Millisecond
		out, err := r.Run(context.Background(), c)
		wantCode(t, err, runnel.CodeTimeout)
		if out.Duration > c.Timeout+slack {
			t.Errorf("took %v", out.Duration)
		}
	})
	t.Run("randomness", func(t *testing.T) {
		t.Parallel()
		first, second := run(t, "random", "")["value"], run(t, "random", "")["value"]
		if b, err := hex.DecodeString(first.(string)); err != nil || len(b) != 16 || first == second {
			t.Errorf("got %v and %v", first, second)
		}
	})
	t.Run("clock", func(t *testing.T) {
		t.Parallel()
		got := time.UnixMilli(int64(run(t, "clock", "")["value"].(float64)))
		if d := time.Since(got); d < -time.Second || d > time.Minute {
			t.Errorf("the guest's clock is %v behind", d)
		}
	})
	t.Run("goroutines", func(t *testing.T) {
		t.Parallel()
		if got := run(t, "goroutines", "")["value"]; got != 4950.0 {
			t.Errorf("got %v", got)
		}
	})
	t.Run("FUNC_S2 files are refused", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/etc/passwd", "go.mod", "/proc/self/environ", "/dev/null"} {
			for _, do := range []string{"open", "create"} {
				if got := run(t, do, path)["error"].(string); !strings.Contains(got, "Bad file number") && !strings.Contains(got, "not exist") && !strings.Contains(got, "ot supported") && !strings.Contains(got, "apable") {
					t.Errorf("%s %s: %s", do, path, got)
				}
			}
		}
	})
	t.Run("FUNC_S3 sockets are refused", func(t *testing.T) {
		t.Parallel()
		for _, address := range []string{"127.0.0.1:5432", "169.254.169.254:80", "localhost:80"} {
			if got := run(t, "dial", address)["error"]; got == "<nil>" {
				t.Errorf("dialled %s", address)
			}
		}
	})
	t.Run("logs", func(t *testing.T) {
		t.Parallel()
		out, err := r.Run(context.Background(), call("log", "one\ntwo"))
		if err != nil || len(out.Logs) != 2 || out.Logs[0].Message != "one" || out.Logs[1].Message != "two" {
			t.Errorf("got %+v, %v", out.Logs, err)
		}
	})
	t.Run("panic", func(t *testing.T) {
		t.Parallel()
		out, err := r.Run(context.Background(), call("panic", "no such order"))
		wantCode(t, err, runnel.CodeFunctionError)
		if !strings.Contains(err.Error(), "code 2: panic: no such order") || len(out.Logs) < 3 {
			t.Errorf("%v, %d lines of logs", err, len(out.Logs))
		}
	})
	t.Run("bad event", func(t *testing.T) {
		t.Parallel()
		c := call("echo", "")
		c.Event = []byte("[1")
		_, err := r.Run(context.Background(), c)
		wantCode(t, err, runnel.CodeFunctionError)
		if !strings.Contains(err.Error(), "code 3: bad event: ") {
			t.Error(err)
		}
	})
	t.Run("FUNC_I2 allocation", func(t *testing.T) {
		t.Parallel()
		c := call("allocate", "")
		c.Memory = 16 << 20
		out, err := r.Run(context.Background(), c)
		wantCode(t, err, runnel.CodeOutOfMemory)
		if out.MemoryPeak > c.Memory || out.MemoryPeak < c.Memory/2 {
			t.Errorf("peak is %d of %d bytes", out.MemoryPeak, c.Memory)
		}
	})
	t.Run("parallel", func(t *testing.T) {
		t.Parallel()
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if out, err := r.Run(context.Background(), call("echo", "x")); err != nil || string(out.Output) != `{"do":"echo","value":"x"}` {
					t.Errorf("got %s, %v", out.Output, err)
				}
			})
		}
		group.Wait()
	})
}
