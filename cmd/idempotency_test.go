package cmd_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/runnelhq/runnel/internal/guests"
)

// Callers repeat their calls with one key, over two apis of which one is killed and
// comes back, until each has its answer: every key has run once, and everybody has
// the answer of that run.
func TestIdempotencyKey_RunsOnceThoughTheApiIsKilled(t *testing.T) {
	s := newSystem(t)
	s.api()
	steady := s.base
	victim := s.api()
	s.worker()
	s.deploy("slow", guests.Sleep(400), nil)
	var mu sync.Mutex
	bases := []string{steady, s.base}
	base := func(i int) string {
		mu.Lock()
		defer mu.Unlock()
		return bases[i%2]
	}

	const keys, callers = 30, 4
	var (
		ids      = map[string]map[string]int{} // by key; guarded by mu
		replayed int                           // guarded by mu
		repeated int                           // guarded by mu
		wg       sync.WaitGroup
	)
	deadline := time.Now().Add(time.Minute)
	for k := range keys {
		key := fmt.Sprintf("key-%d", k)
		for c := range callers {
			wg.Go(func() {
				for try := 0; time.Now().Before(deadline); try++ {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base(k+c+try)+"/functions/v1/slow", strings.NewReader(`{}`))
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set("Idempotency-Key", key)
					res, err := http.DefaultClient.Do(req)
					var body []byte
					if err == nil {
						body, err = io.ReadAll(res.Body)
						res.Body.Close()
					}
					if err != nil || res.StatusCode >= 500 { // it was killed, or is not back yet
						mu.Lock()
						repeated++
						mu.Unlock()
						time.Sleep(20 * time.Millisecond)
						continue
					}
					if res.StatusCode != http.StatusOK || string(body) != "true" {
						t.Errorf("%s: %d %s", key, res.StatusCode, body)
						return
					}
					mu.Lock()
					if ids[key] == nil {
						ids[key] = map[string]int{}
					}
					ids[key][res.Header.Get("X-Runnel-Invocation-Id")]++
					if res.Header.Get("Idempotent-Replayed") == "true" {
						replayed++
					}
					mu.Unlock()
					return
				}
				t.Errorf("%s: no answer within a minute", key)
			})
		}
	}
	s.eventually("some have run", func() bool {
		return one[int](s, `SELECT count(*)::int FROM runnel.function_invocations`) > 3
	})
	victim.signal(t, syscall.SIGKILL, 5*time.Second)
	s.api()
	mu.Lock()
	bases[1] = s.base
	mu.Unlock()
	wg.Wait()
	for key, got := range ids {
		if len(got) != 1 {
			t.Errorf("%s has answers of %d invocations", key, len(got))
		}
	}
	t.Logf("%d keys, %d callers: %d answers replayed, %d calls repeated over the kill", keys, keys*callers, replayed, repeated)
	s.audit(keys)
}
