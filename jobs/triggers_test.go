package jobs_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
)

func TestFUNC_T3_InvokeWaitsForTheResult(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("echo", guests.Echo(), "")
	// Key order, duplicate keys, big numbers and escapes survive: no jsonb on
	// the way.
	const event = `{"b":1,"a":2,"a":3,"n":12345678901234567890123,"z":"\u0000\ud800"}`
	r := h.mustHTTP("echo", event)
	if r.Status != runnel.StatusSuccess || string(r.Result) != event {
		t.Fatalf("response = %+v %s", r, r.Result)
	}
	rows := h.rows(r.ID)
	if len(rows) != 1 || rows[0].Status != runnel.StatusSuccess || rows[0].Attempt != 1 || rows[0].Trigger != runnel.TriggerHTTP {
		t.Fatalf("rows = %+v", rows)
	}
	if rows[0].MemoryPeak < 64<<10 || rows[0].DurationMS <= 0 || rows[0].StartedAt == nil {
		t.Errorf("figures of the row: %+v", rows[0])
	}
	h.settledOnce(1)
}

func TestFUNC_E1_EveryTriggerLeavesOneRow(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("echo", guests.Echo(), "")

	h.mustHTTP("echo", `{"trigger":"http"}`)
	h.exec(`SELECT runnel.invoke('echo', '{"n": 1}')`)
	h.exec(`CREATE TABLE public.orders (id int PRIMARY KEY, total int)`)
	h.exec(`SELECT runnel.create_trigger('public.orders', 'echo')`)
	h.exec(`INSERT INTO public.orders VALUES (1, 100)`)
	h.settledOnce(3)
	h.exec(`SELECT runnel.schedule('each-second', '* * * * * *', 'echo', '{"s": 1}')`)
	until(h, true, `SELECT count(*) >= 2 FROM runnel.function_invocations WHERE trigger = 'schedule'`)
	h.exec(`SELECT runnel.unschedule('each-second')`)

	until(h, 0, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NULL`)
	h.settledOnce(one[int](h, `SELECT count(*)::int FROM runnel.river_job`))
	for _, trigger := range []string{"http", "sql", "database"} {
		if n := one[int](h, `SELECT count(*)::int FROM runnel.function_invocations WHERE trigger = $1 AND status = 'success'`, trigger); n != 1 {
			t.Errorf("%s: %d rows, want 1", trigger, n)
		}
	}
	if got := one[string](h, `SELECT result->'new'->>'total' FROM runnel.function_invocations WHERE trigger = 'database'`); got != "100" {
		t.Errorf("database event has total %s, want 100", got)
	}
	var event struct {
		Schedule      string          `json:"schedule"`
		Cron          string          `json:"cron"`
		Timezone      string          `json:"timezone"`
		ScheduledTime time.Time       `json:"scheduled_time"`
		ActualTime    time.Time       `json:"actual_time"`
		Payload       json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal([]byte(one[string](h, `SELECT result::text FROM runnel.function_invocations WHERE trigger = 'schedule' LIMIT 1`)), &event); err != nil {
		t.Fatal(err)
	}
	if event.Schedule != "each-second" || event.Cron != "* * * * * *" || event.Timezone != "UTC" || string(event.Payload) != `{"s": 1}` ||
		event.ScheduledTime.Nanosecond() != 0 || event.ActualTime.Before(event.ScheduledTime) {
		t.Errorf("schedule event = %+v", event)
	}
}

func TestFUNC_T2_TwoWorkersFireEachMatchOnce(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.worker("w2", 4)
	h.function("echo", guests.Echo(), "")
	h.exec(`SELECT runnel.schedule('each-second', '* * * * * *', 'echo')`)
	until(h, true, `SELECT count(*) >= 8 FROM runnel.schedule_ticks`)
	h.exec(`UPDATE runnel.schedules SET enabled = false`)
	until(h, 0, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NULL`)

	ticks := one[int](h, `SELECT count(*)::int FROM runnel.schedule_ticks WHERE outcome = 'fired'`)
	matches := one[int](h, `SELECT (extract(epoch FROM max(scheduled_time) - min(scheduled_time)) + 1)::int FROM runnel.schedule_ticks`)
	if ticks != matches {
		t.Errorf("%d ticks for %d matches", ticks, matches)
	}
	if n := one[int](h, `SELECT count(DISTINCT result->>'scheduled_time')::int FROM runnel.function_invocations`); n != ticks {
		t.Errorf("%d distinct matches were invoked, want %d", n, ticks)
	}
	h.settledOnce(ticks)
}

// A function that takes longer than its cron: with overlap queue its runs follow
// each other at once, whichever worker takes them, and never overlap.
func TestFUNC_T2_QueuedRunsFollowEachOther(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.worker("w2", 4)
	h.function("slow", guests.Spin(), `{"timeout":"1300ms"}`)
	h.exec(`SELECT runnel.schedule('each-second', '* * * * * *', 'slow', overlap => 'queue')`)
	until(h, true, `SELECT count(*) >= 5 FROM runnel.function_invocations WHERE status = 'timeout'`)
	h.exec(`SELECT runnel.unschedule('each-second')`) // cancels those that wait
	until(h, 0, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NULL`)
	// By the database's clock alone: what workers take it for differs by as much as a
	// heartbeat takes, and runs follow each other faster than that.
	if n := one[int](h, `SELECT count(*)::int FROM runnel.river_job a JOIN runnel.river_job b
		ON a.id < b.id AND a.attempted_at < b.finalized_at AND b.attempted_at < a.finalized_at WHERE a.state = 'discarded' AND b.state = 'discarded'`); n != 0 {
		t.Errorf("%d pairs of runs overlapped", n)
	}
	if n := one[int](h, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'discarded'`); n < 5 {
		t.Errorf("%d runs to compare, want 5 or more", n)
	}
	if n := one[int](h, `SELECT count(*)::int FROM runnel.function_invocations WHERE status NOT IN ('timeout', 'cancelled')`); n != 0 {
		t.Errorf("%d rows of another status", n)
	}
	// Matches were in order: what was due first ran first.
	if sorted := one[bool](h, `SELECT array_agg(request_id ORDER BY started_at) = array_agg(request_id ORDER BY request_id COLLATE "C")
		FROM runnel.function_invocations WHERE status = 'timeout'`); !sorted {
		t.Error("a later match ran before an earlier one")
	}
	if pause := one[float64](h, `SELECT coalesce(max(extract(epoch FROM started_at - before)), 0)::float8
		FROM (SELECT started_at, lag(finished_at) OVER (ORDER BY started_at) AS before FROM runnel.function_invocations WHERE status = 'timeout') r`); pause > 5 {
		t.Errorf("%.1f s between two runs", pause)
	}
	h.settledOnce(one[int](h, `SELECT count(*)::int FROM runnel.river_job`))
}

func TestFUNC_T1_NothingRunsAfterRollback(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("echo", guests.Echo(), "")
	h.exec(`CREATE TABLE public.orders (id int PRIMARY KEY)`)
	h.exec(`SELECT runnel.create_trigger('public.orders', 'echo')`)
	// The table and the calls in one transaction each; the simple protocol
	// takes several statements.
	h.exec(`BEGIN; INSERT INTO public.orders VALUES (1); SELECT runnel.invoke('echo', '"rolled back"'); ROLLBACK`)
	h.exec(`BEGIN; SELECT runnel.invoke('echo', '"kept"'); SAVEPOINT s; SELECT runnel.invoke('echo', '"dropped"');
		INSERT INTO public.orders VALUES (2); ROLLBACK TO s; INSERT INTO public.orders VALUES (3); COMMIT`)
	h.settledOnce(2)
	if got := one[string](h, `SELECT string_agg(coalesce(result->'new'->>'id', result->>'payload'), ',' ORDER BY trigger) FROM runnel.function_invocations`); got != "3,kept" {
		t.Errorf("what ran: %s, want 3,kept", got)
	}
}
