package runnel_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
)

func TestBackoff(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                               "1s 5m0s",
		`{"initial":"2s"}`:                 "2s 5m0s",
		`{"initial":"10m"}`:                "10m0s 10m0s",
		`{"max":"500ms"}`:                  "500ms 500ms",
		`{"initial":0.5,"max":30}`:         "500ms 30s",
		`{"initial":"24h","max":"24h"}`:    "24h0m0s 24h0m0s",
		`{"initial":"10s","max":"1s"}`:     "",
		`{"initial":"1ms"}`:                "",
		`{"max":"25h"}`:                    "",
		`{"initial":"-1s"}`:                "",
		`{"initial":"100ms","max":"50ms"}`: "",
	} {
		var b runnel.Backoff
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			t.Fatal(text, err)
		}
		err := runnel.Config{Backoff: &b}.Check()
		if (err == nil) != (want != "") || err != nil && runnel.CodeOf(err) != runnel.CodeInvalidRequest {
			t.Errorf("%s: %v", text, err)
		}
		b = b.WithDefaults()
		if got := time.Duration(b.Initial).String() + " " + time.Duration(b.Max).String(); want != "" && got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		raw, err := json.Marshal(b)
		var again runnel.Backoff
		if err != nil || json.Unmarshal(raw, &again) != nil || again != b {
			t.Errorf("%s is written as %s, %v", text, raw, err)
		}
	}
}

func TestBackoffPause(t *testing.T) {
	b := runnel.Backoff{Initial: runnel.Duration(time.Second), Max: runnel.Duration(10 * time.Second)}
	seen := map[time.Duration]bool{}
	for n, want := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 4: 8, 5: 10, 60: 10, 1 << 30: 10} {
		for range 20 {
			got := b.Pause(n)
			seen[got] = true
			if low, high := want*800*time.Millisecond, want*1200*time.Millisecond; got < low || got > high {
				t.Errorf("after attempt %d: %s, want %s to %s", n, got, low, high)
			}
		}
	}
	if len(seen) < 100 {
		t.Errorf("only %d different pauses: invocations would come back together", len(seen))
	}
}
