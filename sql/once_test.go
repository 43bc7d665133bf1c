package sql_test

import (
	"sync"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

func callOf(function string) sql.Enqueue {
	return sql.Enqueue{ID: sql.NewID(), Function: function, Trigger: runnel.TriggerHTTP, Event: []byte(`{}`), Respond: true,
		Caller: runnel.Caller{Role: runnel.RoleAnon}}
}

func keyOf(text, scope, request string) sql.Key {
	return sql.Key{Text: text, Scope: []byte(scope), Request: []byte(request)}
}

func TestEnqueueOnce(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.deploy("other", runnel.Config{})
	once := func(function string, key sql.Key) (id string, first bool) {
		t.Helper()
		e := callOf(function)
		id, err := b.db.EnqueueOnce(t.Context(), e, key)
		if err != nil {
			t.Fatal(err)
		}
		return id, id == e.ID
	}
	a, first := once("hello", keyOf("k", "ann", "r"))
	if !first {
		t.Error("the first call was not the first")
	}
	if again, first := once("hello", keyOf("k", "ann", "r")); first || again != a {
		t.Errorf("the second call got %s, first %v", again, first)
	}
	for _, key := range []sql.Key{keyOf("k2", "ann", "r"), keyOf("k", "bob", "r")} {
		if _, first := once("hello", key); !first {
			t.Errorf("%s of %s is another's", key.Text, key.Scope)
		}
	}
	if _, first := once("other", keyOf("k", "ann", "r")); !first {
		t.Error("another function shares the key")
	}
	if _, err := b.db.EnqueueOnce(t.Context(), callOf("hello"), keyOf("k", "ann", "another")); runnel.CodeOf(err) != runnel.CodeIdempotencyKeyReused {
		t.Errorf("another request: %v", err)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.river_job`); n != 4 {
		t.Errorf("%d jobs, want 4", n)
	}

	// What is refused takes no key.
	if _, err := b.db.EnqueueOnce(t.Context(), callOf("nobody"), keyOf("k", "ann", "r")); runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
		t.Errorf("an unknown function: %v", err)
	}
	if _, err := b.db.Configure(t.Context(), "other", runnel.Config{Enabled: ptr(false)}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.db.EnqueueOnce(t.Context(), callOf("other"), keyOf("new", "ann", "r")); runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
		t.Errorf("a disabled function: %v", err)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.idempotent_calls WHERE key = 'new'`); n != 0 {
		t.Error("a refused call took its key")
	}

	// 24 hours later the key is free, also for another request.
	b.exec(`UPDATE runnel.idempotent_calls SET created_at = now() - interval '24 hours' WHERE key = 'k'`)
	if _, first := once("hello", keyOf("k", "ann", "another")); !first {
		t.Error("an expired key was not free")
	}
	if err := b.db.ForgetKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.idempotent_calls WHERE key = 'k'`); n != 1 {
		t.Errorf("%d keys left after they were forgotten, want the new one", n)
	}
}

// An infrastructure failure says nothing about the call, so its key is free again; an
// error of the function's own is the answer.
func TestEnqueueOnce_FreesKeysOfWhatNeverRan(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{MaxAttempts: ptr(2)})
	for _, c := range []struct {
		name string
		end  func(id string)
		free bool
	}{
		{"queued", func(string) {}, false},
		{"running", func(string) { b.fetch("w") }, false},
		{"success", func(string) { b.settle(b.fetch("w")[0].settlement(sql.StateCompleted, "")) }, false},
		{"its own error", func(string) { b.settle(b.fetch("w")[0].settlement(sql.StateDiscarded, runnel.CodeFunctionError)) }, false},
		{"timeout", func(string) { b.settle(b.fetch("w")[0].settlement(sql.StateDiscarded, runnel.CodeTimeout)) }, false},
		{"lost, to be retried", func(string) { b.settle(b.fetch("w")[0].settlement(sql.StateRetryable, runnel.CodeWorkerLost)) }, false},
		{"lost", func(string) { b.settle(b.fetch("w")[0].settlement(sql.StateDiscarded, runnel.CodeWorkerLost)) }, true},
		{"internal", func(string) { b.settle(b.fetch("w")[0].settlement(sql.StateDiscarded, runnel.CodeInternal)) }, true},
		{"cancelled before it began", func(id string) {
			if _, err := b.db.Cancel(t.Context(), id); err != nil {
				t.Error(err)
			}
		}, true},
		{"cancelled while it ran", func(string) {
			b.fetch("w")
			b.exec(`UPDATE runnel.river_job SET state = 'cancelled', finalized_at = now() WHERE state = 'running'`)
		}, false},
		{"redriven", func(id string) {
			b.settle(b.fetch("w")[0].settlement(sql.StateDiscarded, runnel.CodeWorkerLost))
			if _, err := b.db.Redrive(t.Context(), sql.DeadLetters{ID: id}); err != nil {
				t.Error(err)
			}
		}, false},
	} {
		b.exec(`TRUNCATE runnel.river_job, runnel.function_invocations, runnel.invocation_events, runnel.idempotent_calls, runnel.idempotency_keys`)
		first, err := b.db.EnqueueOnce(t.Context(), callOf("hello"), keyOf("k", "ann", "r"))
		if err != nil {
			t.Fatal(err)
		}
		c.end(first)
		second, err := b.db.EnqueueOnce(t.Context(), callOf("hello"), keyOf("k", "ann", "r"))
		if err != nil || (second != first) != c.free {
			t.Errorf("%s: second call got another id %v, %v; want %v", c.name, second != first, err, c.free)
		}
		b.exec(`TRUNCATE runnel.river_job, runnel.function_invocations, runnel.invocation_events`)
		// The same for keys of runnel.invoke.
		invoke := `SELECT runnel.invoke('hello', idempotency_key => 'k', max_attempts => 2)::text`
		first = get[string](b, invoke)
		c.end(first)
		if second := get[string](b, invoke); (second != first) != c.free {
			t.Errorf("%s: a second runnel.invoke got another id %v, want %v", c.name, second != first, c.free)
		}
	}
}

func TestEnqueueOnce_Hammered(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	const keys, callers = 20, 8
	var (
		mu  sync.Mutex
		ids = map[string]map[string]int{}
		wg  sync.WaitGroup
	)
	for range callers {
		wg.Go(func() {
			for k := range keys {
				key := keyOf(string(rune('a'+k)), "ann", "r")
				id, err := b.db.EnqueueOnce(t.Context(), callOf("hello"), key)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if ids[key.Text] == nil {
					ids[key.Text] = map[string]int{}
				}
				ids[key.Text][id]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for key, got := range ids {
		if len(got) != 1 {
			t.Errorf("key %s has %d invocations", key, len(got))
		}
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.river_job`); n != keys {
		t.Errorf("%d jobs for %d keys", n, keys)
	}
}
