package jobs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/jobs"
)

func TestRetriesSayWhen(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("busy", guests.Answer(`{"statusCode":429,"headers":{"Retry-After":"2"},"body":"too fast"}`), "")
	h.function("wrong", guests.Answer(`{"statusCode":422,"body":"no such order"}`), "")
	h.function("trap", guests.Trap(), `{"backoff":{"initial":"200ms","max":"400ms"}}`)
	h.function("echo", guests.Echo(), "")
	busy := one[string](h, `SELECT runnel.invoke('busy', max_attempts => 2)::text`)
	wrong := one[string](h, `SELECT runnel.invoke('wrong')::text`)
	trap := one[string](h, `SELECT runnel.invoke('trap', max_attempts => 4)::text`)
	echo := one[string](h, `SELECT runnel.invoke('echo', payload => '{"n":1}')::text`)
	until(h, 0, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NULL`)

	pauses := func(id string) (pauses []time.Duration) {
		rows := h.rows(id)
		for i := 1; i < len(rows); i++ {
			pauses = append(pauses, rows[i].StartedAt.Sub(rows[i-1].FinishedAt).Round(time.Millisecond))
		}
		return pauses
	}
	// Not before it was asked for, and soon after: River alone looks every 5 s.
	if got := pauses(busy); len(got) != 1 || got[0] < 2*time.Second || got[0] > 4*time.Second {
		t.Errorf("a retry after 2 s came after %v", got)
	}
	if rows := h.rows(busy); rows[0].ErrorCode != runnel.CodeFunctionError || rows[0].ErrorMessage != "the function answered with status 429: too fast" || rows[0].Status != runnel.StatusError {
		t.Errorf("row %+v", rows[0])
	}
	if rows := h.rows(wrong); len(rows) != 1 || rows[0].Status != runnel.StatusError || !strings.Contains(rows[0].ErrorMessage, "422: no such order") {
		t.Errorf("what does not heal was tried again: %+v", rows)
	}
	for i, got := range pauses(trap) {
		low := time.Duration(float64([]time.Duration{200, 400, 400}[i]) * 0.8 * float64(time.Millisecond))
		if got < low || got > low+2*time.Second {
			t.Errorf("pause %d was %s, want about %s", i+1, got, low)
		}
	}
	t.Logf("pauses: retry-after 2 s %v; backoff 200ms, 400ms, 400ms %v", pauses(busy), pauses(trap))
	if got := string(h.rows(echo)[0].Result); !strings.Contains(got, `"last_attempt": false`) && !strings.Contains(got, `"last_attempt":false`) {
		t.Errorf("event of the first of three attempts: %s", got)
	}
	// Over HTTP the same is the response.
	if r := h.mustHTTP("busy", `{}`); r.Status != runnel.StatusSuccess {
		t.Errorf("over HTTP: %+v", r)
	}
	if states := one[string](h, `SELECT string_agg(state::text, ',' ORDER BY id) FROM runnel.river_job`); states != "discarded,discarded,discarded,completed,completed" {
		t.Errorf("jobs %s", states)
	}
}

// A run_at is met within the second, not within River's five.
func TestRunAtIsPunctual(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("hello", guests.Answer(`"hello"`), "")
	h.exec(`SELECT runnel.invoke('hello', run_at => clock_timestamp() + interval '1500 ms') FROM generate_series(1, 3)`)
	until(h, 3, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NOT NULL`)
	late := one[float64](h, `SELECT extract(epoch FROM max(attempted_at - scheduled_at))::float8 FROM runnel.river_job`)
	t.Logf("%.0f ms late", late*1000)
	if late < 0 || late > 2 {
		t.Errorf("started %.3f s after run_at", late)
	}
}

// Cancel is heard of, not polled for: whatever the guest does, computing, sleeping or
// waiting for a query.
func TestCancelStopsWhatRunsAtOnce(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("spin", guests.Spin(), `{"timeout":"120s"}`)
	h.function("sleep", guests.Sleep(60_000), `{"timeout":"120s"}`)
	h.function("query", guests.Query(`SELECT pg_sleep(60)`, `[]`), `{"timeout":"120s"}`)
	const runs = 5
	var queries []time.Duration
	for _, name := range []string{"spin", "sleep", "query"} {
		var took []time.Duration
		for range runs {
			id := one[string](h, `SELECT runnel.invoke($1)::text`, name)
			until(h, 1, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`)
			if name == "query" {
				until(h, 1, `SELECT count(*)::int FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'`)
			}
			began := time.Now()
			if what, err := h.db.Cancel(t.Context(), id); err != nil || what != "stopping" {
				t.Fatalf("cancel: %s, %v", what, err)
			}
			for one[int](h, `SELECT count(*)::int FROM runnel.function_invocations WHERE id = $1::uuid`, id) == 0 {
				if time.Since(began) > 20*time.Second {
					t.Fatalf("%s was not stopped", name)
				}
				time.Sleep(time.Millisecond)
			}
			took = append(took, time.Since(began))
			if name == "query" { // and Postgres has stopped as well
				until(h, 0, `SELECT count(*)::int FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'`)
				queries = append(queries, time.Since(began).Round(time.Millisecond))
			}
			if rows := h.rows(id); len(rows) != 1 || rows[0].Status != runnel.StatusCancelled || rows[0].ErrorCode != runnel.CodeCancelled {
				t.Errorf("%s: %+v", name, rows)
			}
		}
		slices.Sort(took)
		t.Logf("%s: cancelled and logged within %v", name, took)
		if took[0] > 100*time.Millisecond || took[runs/2] > 400*time.Millisecond {
			t.Errorf("%s was cancelled within %v: it was not heard of", name, took)
		}
	}
	t.Logf("their queries had ended after %v", queries)
	h.settledOnce(3 * runs)
}

// A worker whose attempt was settled by others, because it was taken for dead, stops
// it as soon as it can tell, and writes nothing.
func TestFUNC_F3_AnAttemptThatSomebodyElseEndedIsStopped(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("query", guests.Query(`SELECT pg_sleep(60)`, `[]`), `{"timeout":"120s"}`)
	id := one[string](h, `SELECT runnel.invoke('query', max_attempts => 1)::text`)
	until(h, 1, `SELECT count(*)::int FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'`)
	// As another worker's sweep does with the jobs of a silent one.
	h.exec(`UPDATE runnel.workers SET seen_at = now() - interval '1 hour'`)
	h.exec(`UPDATE runnel.river_job SET attempted_at = now() - interval '1 hour'`)
	if n, err := h.db.Lost(t.Context(), 10*time.Millisecond); err != nil || len(n) != 1 {
		t.Fatalf("lost %+v, %v", n, err)
	}
	until(h, 0, `SELECT count(*)::int FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'`)
	h.function("hello", guests.Answer(`"hello"`), "")
	h.mustHTTP("hello", `{}`) // and the worker goes on
	if rows := h.rows(id); len(rows) != 1 || rows[0].Status != runnel.StatusLost {
		t.Errorf("rows %+v", rows)
	}
	h.settledOnce(2)
}

// River discards jobs that it cannot decode; each of their attempts has a row.
func TestFUNC_E1_WhatRiverCannotDecodeHasItsRow(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	for i, args := range []string{`[]`, `{"id":7}`, `{"function":{}}`} {
		h.exec(`INSERT INTO runnel.river_job (kind, args, queue, max_attempts) VALUES ('invoke', $1::jsonb, 'functions', 1)`, args)
		h.settledOnce(i + 1)
	}
	if got := one[string](h, `SELECT string_agg(DISTINCT status || ' ' || error_code, ',') FROM runnel.function_invocations`); got != "error InvalidRequest" {
		t.Errorf("rows: %s", got)
	}
	if got := one[string](h, `SELECT string_agg(DISTINCT state::text, ',') FROM runnel.river_job`); got != "discarded" {
		t.Errorf("jobs: %s", got)
	}
}

// A replay runs on behalf of the same user, through the worker, and says what it is.
func TestReplayRunsAsTheSameUser(t *testing.T) {
	h := newHouse(t)
	h.notes()
	h.worker("w1", 4)
	h.function("write", guests.Query(`INSERT INTO note (text) VALUES ('x')`, `[]`), "")
	first := h.as(userID(1), "write")
	again, err := h.db.Replay(t.Context(), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.settledOnce(2)
	if got := one[string](h, `SELECT string_agg(DISTINCT owner::text, ',') || ' ' || count(*) FROM note`); got != userID(1)+" 2" {
		t.Errorf("notes: %s", got)
	}
	if rows := h.rows(again); rows[0].ReplayOf != first.ID || rows[0].UserID != userID(1) || rows[0].Status != runnel.StatusSuccess {
		t.Errorf("row %+v", rows[0])
	}
	client, err := jobs.NewRiverClient(h.db, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	// Retried by hand in River UI after it had succeeded: another attempt, another row.
	if _, err := client.JobRetry(t.Context(), one[int64](h, `SELECT max(id) FROM runnel.river_job`)); err != nil {
		t.Fatal(err)
	}
	until(h, 2, `SELECT count(*)::int FROM runnel.function_invocations WHERE id = $1::uuid`, again)
	h.settledOnce(2)
	if fmt.Sprint(one[int](h, `SELECT count(*)::int FROM note`)) != "3" {
		t.Error("the retry did not run")
	}
}
