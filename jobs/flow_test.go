package jobs_test

import (
	"errors"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/sql"
)

// The canary of fetch.go: a worker's River takes its jobs through sql.Fetch. Its
// own fetch would take the paused function's, and all of the limited one's.
func TestRiverTakesJobsThroughOurFetch(t *testing.T) {
	h := newHouse(t)
	h.function("paused", guests.Answer(`"paused"`), `{"paused":true}`)
	h.function("slow", guests.Sleep(300), `{"max_concurrency":1}`)
	h.function("hello", guests.Answer(`"hello"`), "")
	h.exec(`SELECT runnel.invoke(f) FROM unnest('{paused,paused,slow,slow}'::text[]) f`)
	h.worker("w1", 8)
	until(h, 1, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`)
	if r := h.mustHTTP("hello", `{}`); string(r.Result) != `"hello"` {
		t.Errorf("%+v", r)
	}
	if got := one[string](h, `SELECT string_agg(args->>'function' || ' ' || state, ', ' ORDER BY args->>'function', state) FROM runnel.river_job WHERE finalized_at IS NULL`); got != "paused available, paused available, slow available, slow running" && got != "paused available, paused available, slow running" && got != "paused available, paused available" {
		t.Errorf("jobs: %s", got)
	}
	until(h, 3, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'completed'`)
	off := false
	if _, err := h.db.Configure(t.Context(), "paused", runnel.Config{FlowConfig: runnel.FlowConfig{Paused: &off}}); err != nil {
		t.Fatal(err)
	}
	h.settledOnce(5) // nothing of the paused function is lost
	if n := one[int](h, `SELECT count(*)::int FROM runnel.function_invocations WHERE status = 'success'`); n != 5 {
		t.Errorf("%d successes", n)
	}
}

// A caller who waits hears at once that there is no room; one who does not has
// the job wait.
func TestFullFunctionsRefuseCallersAndKeepJobs(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 8)
	h.function("slow", guests.Sleep(700), `{"max_concurrency":1}`)
	h.function("hello", guests.Answer(`"hello"`), "")
	h.mustHTTP("hello", `{}`)
	first := make(chan sql.Response, 1)
	go func() { first <- h.mustHTTP("slow", `{}`) }()
	until(h, 1, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`)
	e := sql.Enqueue{ID: sql.NewID(), Function: "slow", Trigger: runnel.TriggerHTTP, Event: []byte(`{}`), Caller: runnel.Caller{Role: runnel.RoleAnon}, Now: true}
	_, err := h.invoker.Invoke(t.Context(), e, time.Minute)
	var ours *runnel.Error
	if !errors.As(err, &ours) || ours.Code != runnel.CodeTooManyRequests || ours.RetryAfter <= 0 {
		t.Errorf("second caller: %v", err)
	}
	e.ID, e.Now = sql.NewID(), false
	if err := h.invoker.Enqueue(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	h.exec(`SELECT runnel.invoke('slow')`)
	if r := <-first; r.Status != runnel.StatusSuccess {
		t.Errorf("first caller: %+v", r)
	}
	h.settledOnce(4)
}

// When an attempt ends, the next one starts then, not at River's next poll.
func TestLimitedFunctionsRunBackToBack(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.worker("w2", 4)
	h.function("one", guests.Answer(`1`), `{"max_concurrency":1}`)
	h.mustHTTP("one", `{}`)
	began := time.Now()
	h.exec(`SELECT runnel.invoke('one') FROM generate_series(1, 60)`)
	h.settledOnce(61)
	// At one for each poll it would be 30 s.
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("60 attempts took %s", took)
	}
	if n := one[int](h, `SELECT count(*)::int FROM (
		SELECT started_at, lag(finished_at) OVER (ORDER BY started_at) AS before FROM runnel.function_invocations) i WHERE started_at < before`); n != 0 {
		t.Errorf("%d attempts began before the last one had ended", n)
	}
}

// What a dead worker was running counts until it is known to be dead, and no
// longer.
func TestADeadWorkersAttemptsFreeTheirPlaces(t *testing.T) {
	h := newHouse(t)
	h.function("one", guests.Answer(`1`), `{"max_concurrency":1}`)
	h.exec(`SELECT runnel.invoke('one', max_attempts => 1) FROM generate_series(1, 2)`)
	if _, err := h.db.Fetch(t.Context(), sql.Fetch{Worker: "dead", Slots: 1, MaxAttemptedBy: 100}); err != nil {
		t.Fatal(err)
	}
	h.worker("w1", 4)
	h.function("hello", guests.Answer(`"hello"`), "")
	h.mustHTTP("hello", `{}`)
	if n := one[int](h, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'available'`); n != 1 {
		t.Fatalf("%d jobs wait, want 1", n)
	}
	h.exec(`UPDATE runnel.river_job SET attempted_at = now() - interval '1 hour' WHERE attempted_by = '{dead}'`)
	if n, err := h.db.Lost(t.Context(), time.Second); len(n) != 1 || err != nil {
		t.Fatal(n, err)
	}
	h.settledOnce(3)
	if got := one[string](h, `SELECT string_agg(status, ' ' ORDER BY status) FROM runnel.function_invocations WHERE function_name = 'one'`); got != "lost success" {
		t.Errorf("rows: %s", got)
	}
}

// One worker with one slot, a function with a backlog in front: the others run.
func TestABacklogStarvesNobody(t *testing.T) {
	h := newHouse(t)
	h.function("noisy", guests.Sleep(5), "")
	h.function("quiet", guests.Answer(`1`), `{"priority":4}`)
	h.exec(`SELECT runnel.invoke('noisy', priority => 1) FROM generate_series(1, 5000)`)
	h.worker("w1", 1)
	for range 20 {
		if r := h.mustHTTP("quiet", `{}`); r.Status != runnel.StatusSuccess {
			t.Errorf("%+v", r)
		}
	}
	if n := one[int](h, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'available'`); n == 0 {
		t.Error("the backlog was over before: this proves nothing")
	}
	h.exec(`DELETE FROM runnel.river_job WHERE state = 'available'`)
}

func TestRatesHoldAcrossWorkers(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 8)
	h.worker("w2", 8)
	h.function("rated", guests.Answer(`1`), `{"rate":{"per_second":20,"burst":5}}`)
	began := time.Now()
	h.exec(`SELECT runnel.invoke('rated') FROM generate_series(1, 45)`)
	h.settledOnce(45)
	if took := time.Since(began); took < 1900*time.Millisecond || took > 20*time.Second {
		t.Errorf("5 at once and 40 at 20/s took %s", took)
	}
}
