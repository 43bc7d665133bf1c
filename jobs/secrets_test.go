package jobs_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sandbox"
)

func newRing(t *testing.T, keys ...string) *keyring.Ring {
	t.Helper()
	r, err := keyring.Parse(strings.Join(keys, ","))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keyedWorker starts a worker with a key ring.
func (h *house) keyedWorker(id string, keys *keyring.Ring) *jobs.Worker {
	h.t.Helper()
	rt, err := sandbox.New(h.t.Context(), sandbox.Config{})
	if err != nil {
		h.t.Fatal(err)
	}
	w, err := jobs.NewWorker(h.open(), rt, jobs.WorkerConfig{
		ID: id, Concurrency: 4, Keys: keys, Logger: quiet(h.t), Metrics: jobs.NewMetrics(prometheus.NewRegistry()),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := w.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.Stop(ctx); err != nil {
			h.t.Errorf("stop %s: %v", id, err)
		}
		if err := rt.Close(ctx); err != nil {
			h.t.Errorf("close sandbox: %v", err)
		}
	})
	return w
}

func (h *house) secret(keys *keyring.Ring, function, key, value string) {
	h.t.Helper()
	if _, _, err := h.db.SetSecret(h.t.Context(), function, key, func(id string) []byte { return keys.Seal([]byte(value), id, key) }); err != nil {
		h.t.Fatal(err)
	}
}

// A secret whose key looks harmless: its value is masked wherever it can be read,
// and the function still has it.
func TestFUNC_S1_SecretsReachTheGuestAndNothingElse(t *testing.T) {
	h := newHouse(t)
	old, current := keyring.Generate(), keyring.Generate()
	h.keyedWorker("w1", newRing(t, current, old))
	const value = `line one of "it"/+<&>` + "\n" + `and line two`
	h.function("tell", guests.Tell("DSN"), `{"environment":{"DSN":"superseded value","ENV":"test","MY_TOKEN":"another-secret"}}`)
	h.secret(newRing(t, old), "tell", "DSN", value)

	r := h.mustHTTP("tell", `{}`)
	rows := h.rows(r.ID)
	if len(rows) != 1 || rows[0].Environment["DSN"] != "***REDACTED***" || rows[0].Environment["MY_TOKEN"] != "***REDACTED***" || rows[0].Environment["ENV"] != "test" {
		t.Fatalf("rows %+v", rows)
	}
	// The guest logs what it reads: a mask stands there because the value did.
	if logs := rows[0].Logs; len(logs) == 0 || !strings.Contains(logs[0].Message, "***REDACTED***") {
		t.Errorf("logs %+v: the function did not read the secret", logs)
	}
	if shown := fmt.Sprintf("%s %+v", rows[0].Result, rows); strings.Contains(shown, "line one") || strings.Contains(shown, "line two") || strings.Contains(shown, "superseded") {
		t.Errorf("the log row shows the secret: %s", shown)
	}
	// Nowhere in the database but in the result that the caller gets.
	for _, table := range []string{"river_job", "function_invocations", "invocation_events", "environment", "functions", "secrets"} {
		dump := one[string](h, `SELECT coalesce(string_agg(t::text, ' '), '') FROM runnel.`+table+` t`)
		for _, text := range []string{"line one", "line two", hex.EncodeToString([]byte("line one"))} {
			if strings.Contains(dump, text) {
				t.Errorf("runnel.%s contains %q", table, text)
			}
		}
	}
}

func TestSecretsThatCannotBeDecryptedFailTheAttempt(t *testing.T) {
	h := newHouse(t)
	key := keyring.Generate()
	ring := newRing(t, key)
	h.keyedWorker("w1", ring)
	for _, name := range []string{"lost", "moved", "fine"} {
		h.function(name, guests.Answer(`"ran"`), "")
	}
	h.secret(newRing(t, keyring.Generate()), "lost", "DB_URL", "a value nobody can read")
	h.secret(ring, "fine", "DB_URL", "a value of fine")
	// A row copied from another function does not decrypt there.
	h.exec(`INSERT INTO runnel.secrets (function_id, key, value)
		SELECT m.id, s.key, s.value FROM runnel.functions m, runnel.secrets s JOIN runnel.functions f ON f.id = s.function_id
		WHERE m.name = 'moved' AND f.name = 'fine'`)
	for name, says := range map[string]string{"lost": "RUNNEL_SECRET_KEYS", "moved": "changed or moved"} {
		r := h.mustHTTP(name, `{}`)
		if r.Code != runnel.CodeUnavailable || !strings.Contains(r.Message, "secret DB_URL cannot be decrypted") || !strings.Contains(r.Message, says) || strings.Contains(r.Message, "a value") {
			t.Errorf("%s: %+v", name, r)
		}
		if rows := h.rows(r.ID); len(rows) != 1 || rows[0].Status != runnel.StatusError || rows[0].Environment["DB_URL"] != "***REDACTED***" {
			t.Errorf("%s: rows %+v", name, rows)
		}
	}
	if r := h.mustHTTP("fine", `{}`); string(r.Result) != `"ran"` {
		t.Errorf("fine: %+v", r)
	}
}

func TestWithoutKeysAFunctionWithSecretsFails(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 2)
	h.function("f", guests.Answer(`"ran"`), "")
	h.secret(newRing(t, keyring.Generate()), "f", "DB_URL", "a value of f")
	if r := h.mustHTTP("f", `{}`); r.Code != runnel.CodeUnavailable || !strings.Contains(r.Message, "RUNNEL_SECRET_KEYS") {
		t.Errorf("got %+v", r)
	}
}

// The whole way of http_fetch: from the guest through the worker to the guard.
func TestFUNC_S3_FunctionsReachNothingInside(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 2)
	h.function("fetch", guests.Fetch(), `{"allowed_hosts":["127.0.0.1","169.254.169.254"]}`)
	h.function("closed", guests.Fetch(), "")
	for _, url := range []string{"http://127.0.0.1/", "http://169.254.169.254/latest/", "https://example.com/", "http://[::1]/"} {
		for _, name := range []string{"fetch", "closed"} {
			r := h.mustHTTP(name, `{"url":"`+url+`"}`)
			if !strings.HasPrefix(string(r.Result), `{"error":{"code":"HostNotAllowed"`) {
				t.Errorf("%s: %s answered %s %s", url, name, r.Result, r.Message)
			}
		}
	}
}
