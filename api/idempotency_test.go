package api

import (
	"net/http"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
)

func TestIdempotencyKey(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"echo"}`, guests.Echo())
	h.function(`{"name":"teapot"}`, guests.Answer(`{"statusCode":418,"headers":{"x-pot":"1"},"body":"short and stout"}`))
	h.function(`{"name":"trap"}`, guests.Trap())
	h.function(`{"name":"open","verify_jwt":false}`, guests.Echo())
	count := func() (n int) {
		t.Helper()
		if err := h.db.Pool().QueryRow(t.Context(), `SELECT count(*) FROM runnel.river_job`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	same := func(what string, first, second reply) {
		t.Helper()
		if first.StatusCode != second.StatusCode || first.body != second.body ||
			first.Header.Get(headerInvocationID) != second.Header.Get(headerInvocationID) || first.Header.Get("X-Pot") != second.Header.Get("X-Pot") {
			t.Errorf("%s: first %v\nthen %v", what, first, second)
		}
		if first.Header.Get(headerReplayed) != "" || second.Header.Get(headerReplayed) != "true" {
			t.Errorf("%s: replayed %q, then %q", what, first.Header.Get(headerReplayed), second.Header.Get(headerReplayed))
		}
	}
	for _, name := range []string{"echo", "teapot", "trap"} {
		first := h.call("/functions/v1/"+name, `{"a":1}`, headerKey, "k-1", "Content-Type", "application/json")
		same(name, first, h.call("/functions/v1/invoke/"+name, `{"a":1}`, headerKey, "k-1", "Content-Type", "application/json"))
	}
	if n := count(); n != 3 {
		t.Errorf("%d invocations, want 3", n)
	}

	// Another request under the key, in each of its parts.
	for what, r := range map[string]reply{
		"body":         h.call("/functions/v1/echo", `{"a":2}`, headerKey, "k-1", "Content-Type", "application/json"),
		"path":         h.call("/functions/v1/echo/x", `{"a":1}`, headerKey, "k-1", "Content-Type", "application/json"),
		"query":        h.call("/functions/v1/echo?x", `{"a":1}`, headerKey, "k-1", "Content-Type", "application/json"),
		"content type": h.call("/functions/v1/echo", `{"a":1}`, headerKey, "k-1", "Content-Type", "text/plain"),
		"method": h.do(http.MethodPut, "/functions/v1/echo", `{"a":1}`, headerKey, "k-1", "Content-Type", "application/json",
			"Authorization", "Bearer "+mint(t, jwt.MapClaims{"role": runnel.RoleAuthenticated, "sub": "user-1"})),
	} {
		if r.StatusCode != http.StatusUnprocessableEntity || r.code() != runnel.CodeIdempotencyKeyReused || r.Header.Get(headerRelayError) != "true" {
			t.Errorf("another %s: %v", what, r)
		}
	}

	// Nobody gets another's response: users, roles, and callers who are nobody.
	before := count()
	for _, claims := range []jwt.MapClaims{{"role": "authenticated", "sub": "user-2"}, {"role": "anon", "sub": "user-1"}, {"role": "authenticated"}, {"role": "authenticated", "n": 1}} {
		r := h.do(http.MethodPost, "/functions/v1/echo", `{"a":1}`, headerKey, "k-1", "Content-Type", "application/json", "Authorization", "Bearer "+mint(t, claims))
		if r.StatusCode != 200 || r.Header.Get(headerReplayed) != "" {
			t.Errorf("%v: %v", claims, r)
		}
	}
	for _, header := range [][]string{{}, {"Apikey", "a"}, {"Apikey", "b"}, {"Cookie", "a"}, {"Authorization", "Basic a"}} {
		r := h.do(http.MethodPost, "/functions/v1/open", `{"a":1}`, append(header, headerKey, "k-1")...)
		if r.StatusCode != 200 || r.Header.Get(headerReplayed) != "" {
			t.Errorf("%v: %v", header, r)
		}
	}
	if n := count() - before; n != 9 {
		t.Errorf("%d invocations of 9 callers", n)
	}

	// Not waiting, waiting a while, and then waiting for the same run.
	async := h.call("/functions/v1/echo", `1`, headerKey, "k-2", "Prefer", "respond-async")
	if async.StatusCode != http.StatusAccepted || async.Header.Get(headerReplayed) != "" {
		t.Errorf("async: %v", async)
	}
	again := h.call("/functions/v1/echo", `1`, headerKey, "k-2", "Prefer", "respond-async")
	if again.StatusCode != http.StatusAccepted || again.body != async.body || again.Header.Get(headerReplayed) != "true" || again.Header.Get("Location") != async.Header.Get("Location") {
		t.Errorf("async again: %v", again)
	}
	waited := h.call("/functions/v1/echo", `1`, headerKey, "k-2", "Prefer", "wait=20")
	if waited.StatusCode != 200 || waited.Header.Get(headerInvocationID) != async.Header.Get(headerInvocationID) {
		t.Errorf("waited: %v", waited)
	}
}

// A call that was turned away has used no key.
func TestIdempotencyKey_OfAPausedFunction(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"echo","paused":true}`, guests.Echo())
	if r := h.call("/functions/v1/echo", `1`, headerKey, "k"); r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") == "" {
		t.Errorf("paused: %v", r)
	}
	if r := h.admin(http.MethodPatch, "/admin/v1/functions/echo", `{"paused":false}`); r.StatusCode != 200 {
		t.Fatal(r)
	}
	if r := h.call("/functions/v1/echo", `1`, headerKey, "k"); r.StatusCode != 200 || r.Header.Get(headerReplayed) != "" {
		t.Errorf("resumed: %v", r)
	}
}

// Of concurrent calls with one key one runs, and all get its response.
func TestIdempotencyKey_Hammered(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"sleep"}`, guests.Sleep(300))
	const callers, keys = 12, 4
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]map[string]int{}
	fresh := 0
	for i := range callers * keys {
		key := string(rune('a' + i%keys))
		token := mint(t, jwt.MapClaims{"role": runnel.RoleAuthenticated, "sub": "user-1"})
		wg.Go(func() {
			r, err := h.try(t.Context(), http.MethodPost, "/functions/v1/sleep", `{}`, headerKey, key, "Authorization", "Bearer "+token)
			if err != nil || r.StatusCode != 200 || r.body != "true" {
				t.Errorf("%v, %v", r, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if ids[key] == nil {
				ids[key] = map[string]int{}
			}
			ids[key][r.Header.Get(headerInvocationID)]++
			if r.Header.Get(headerReplayed) == "" {
				fresh++
			}
		})
	}
	wg.Wait()
	for key, got := range ids {
		if len(got) != 1 {
			t.Errorf("key %s ran %d times", key, len(got))
		}
	}
	if fresh != keys {
		t.Errorf("%d responses say they are first, want %d", fresh, keys)
	}
}

// A run that nobody knows the end of frees its key: the next call runs.
func TestIdempotencyKey_FreeAfterALostWorker(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"echo"}`, guests.Echo())
	first := h.call("/functions/v1/echo", `1`, headerKey, "k", "Prefer", "respond-async")
	if _, err := h.db.Pool().Exec(t.Context(), `UPDATE runnel.river_job SET state = 'running', attempt = 1, attempted_by = '{gone}', attempted_at = now() - interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
	if n, err := h.db.Lost(t.Context(), 1); err != nil || len(n) != 1 {
		t.Fatalf("lost %+v, %v", n, err)
	}
	h.work()
	second := h.call("/functions/v1/echo", `1`, headerKey, "k")
	if second.StatusCode != 200 || second.Header.Get(headerReplayed) != "" || second.Header.Get(headerInvocationID) == first.Header.Get(headerInvocationID) {
		t.Errorf("after a lost run: %v", second)
	}
	third := h.call("/functions/v1/echo", `1`, headerKey, "k")
	if third.Header.Get(headerReplayed) != "true" || third.body != second.body {
		t.Errorf("then: %v", third)
	}
}
