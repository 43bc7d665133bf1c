package sql_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	return ctx, stop
}

func TestFUNC_E1_LostWorker(t *testing.T) {
	b := setup(t)
	b.deploy("once", runnel.Config{})
	b.deploy("twice", runnel.Config{MaxAttempts: ptr(2)})
	for _, worker := range []string{"dead", "alive"} {
		if _, err := b.db.Heartbeat(t.Context(), worker); err != nil {
			t.Fatal(err)
		}
	}
	once := b.enqueue(sql.Enqueue{Function: "once", Event: []byte(`{}`), Respond: true, RequestID: "r", Caller: runnel.Caller{Role: "authenticated", UserID: "u"}})
	b.enqueue(sql.Enqueue{Function: "twice", Event: []byte(`{}`), Respond: true})
	stale := b.fetch("dead")
	b.enqueue(sql.Enqueue{Function: "once", Event: []byte(`{}`)})
	b.fetch("alive")

	if n, err := b.db.Lost(t.Context(), time.Hour); err != nil || len(n) != 0 {
		t.Fatalf("nobody is silent yet: %+v, %v", n, err)
	}
	b.exec(`UPDATE runnel.workers SET seen_at = now() - interval '1 hour' WHERE id = 'dead'`)
	b.exec(`UPDATE runnel.river_job SET attempted_at = now() - interval '2 hours', created_at = created_at`)
	b.exec(`LISTEN runnel_done`)
	// After a restart of the server everyone has been silent for a while.
	uptime := get[float64](b, `SELECT extract(epoch FROM now() - pg_postmaster_start_time())::float8`)
	if uptime < 3600 {
		if n, err := b.db.Lost(t.Context(), time.Duration((uptime+60)*float64(time.Second))); err != nil || len(n) != 0 {
			t.Fatalf("lost %+v, %v while the server is younger than the silence", n, err)
		}
	}
	silence := 10 * time.Millisecond
	execute(t, b.conn, `UPDATE runnel.workers SET seen_at = now() + interval '1 minute' WHERE id = 'alive'`)
	n, err := b.db.Lost(t.Context(), silence)
	slices.SortFunc(n, func(a, b sql.LostAttempt) int { return strings.Compare(a.Function, b.Function) })
	if err != nil || len(n) != 2 || n[0].Function != "once" || n[0].Status != runnel.StatusLost || n[0].Trigger != runnel.TriggerHTTP {
		t.Fatalf("lost %+v, %v; want 2", n, err)
	}
	if got, err := b.conn.WaitForNotification(t.Context()); err != nil || got.Payload != once {
		t.Errorf("notified %+v, %v", got, err)
	}
	b.want([]string{"discarded 1 t 1", "retryable 1 f 1", "running 1 f 0"}, []string{"1 lost WorkerLost", "1 lost WorkerLost"})
	rows, err := b.db.Invocation(t.Context(), once)
	if err != nil {
		t.Fatal(err)
	}
	if r := rows[0]; r.FunctionName != "once" || r.FunctionID == "" || r.Version != 1 || r.WasmHash == "" || r.Trigger != runnel.TriggerHTTP || r.UserID != "u" ||
		r.Role != "authenticated" || r.RequestID != "r" || r.StartedAt == nil || r.DurationMS < 7.1e6 || r.ErrorMessage == "" {
		t.Errorf("row %+v", r)
	}
	responses, err := b.db.Responses(t.Context(), []string{once, stale[1].id})
	if err != nil || len(responses) != 1 || responses[once].Code != runnel.CodeWorkerLost || responses[once].Status != runnel.StatusLost || responses[once].Message == "" {
		t.Errorf("responses %+v, %v", responses, err)
	}
	// The worker was only slow: what it brings home now is too late.
	if got := b.settle(stale[0].settlement(sql.StateCompleted, ""), stale[1].settlement(sql.StateCompleted, "")); got[0] || got[1] {
		t.Errorf("settled %v after they were lost", got)
	}
	if n, err := b.db.Lost(t.Context(), silence); err != nil || len(n) != 0 {
		t.Errorf("lost again: %+v, %v", n, err)
	}
}

func TestLost_WorkerThatNeverReported(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.enqueue(sqlEnqueue("hello"))
	b.fetch("unheard of")
	b.exec(`UPDATE runnel.river_job SET metadata = '{"cancel_attempted_at":"x"}', attempted_at = now() - interval '1 minute'`)
	if n, err := b.db.Lost(t.Context(), 10*time.Millisecond); err != nil || len(n) != 1 {
		t.Fatal(n, err)
	}
	b.want([]string{"cancelled 1 t 1"}, []string{"1 cancelled Cancelled"})
}

func TestWorkers_LiveAndRetired(t *testing.T) {
	b := setup(t)
	live := func(want int) {
		t.Helper()
		if n, err := b.db.LiveWorkers(t.Context(), time.Minute); err != nil || n != want {
			t.Errorf("%d live workers, %v; want %d", n, err, want)
		}
	}
	live(0)
	for range 2 {
		if _, err := b.db.Heartbeat(t.Context(), "w"); err != nil {
			t.Fatal(err)
		}
	}
	live(1)
	b.exec(`UPDATE runnel.workers SET seen_at = now() - interval '2 minutes'`)
	live(0)
	if _, err := b.db.Heartbeat(t.Context(), "w"); err != nil {
		t.Fatal(err)
	}
	live(1)
	if err := b.db.Retire(t.Context(), "w"); err != nil {
		t.Fatal(err)
	}
	live(0)
}

// The third net: River ends jobs too, and each such attempt has its row.
func TestFUNC_E1_RiverEndsAnAttempt(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{MaxAttempts: ptr(3)})
	client, err := river.NewClient(riverpgxv5.New(b.db.Pool()), &river.Config{Schema: sql.Schema})
	if err != nil {
		t.Fatal(err)
	}
	cancel := func(job int64) {
		t.Helper()
		if _, err := client.JobCancel(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	// Cancelled while it waits.
	waiting := b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Respond: true})
	cancel(get[int64](b, `SELECT id FROM runnel.river_job`))
	b.want([]string{"cancelled 1 t 0"}, []string{"1 cancelled Cancelled"})
	if r, err := b.db.Responses(t.Context(), []string{waiting}); err != nil || r[waiting].Status != runnel.StatusCancelled {
		t.Errorf("the waiter gets %v, %v", r, err)
	}

	// Cancelled between two attempts: the first keeps its row, the second, which does
	// not take place, has one too, and the waiter is told.
	b.exec(`TRUNCATE runnel.river_job, runnel.function_invocations`)
	between := b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Respond: true})
	a := b.fetch("w")[0]
	b.settle(a.settlement(sql.StateRetryable, runnel.CodeTimeout))
	cancel(a.job)
	b.want([]string{"cancelled 2 t 1"}, []string{"1 timeout Timeout", "2 cancelled Cancelled"})
	if r, err := b.db.Responses(t.Context(), []string{between}); err != nil || r[between].Status != runnel.StatusCancelled {
		t.Errorf("the waiter gets %v, %v", r, err)
	}

	// Rescued by River, with attempts left and without.
	b.exec(`TRUNCATE runnel.river_job, runnel.function_invocations`)
	b.enqueue(sqlEnqueue("hello"))
	rescue := func(state string) {
		t.Helper()
		b.exec(`UPDATE runnel.river_job SET state = $1::text::runnel.river_job_state, errors = array_append(errors, '{"error":"Stuck job rescued by Rescuer"}'),
			finalized_at = CASE WHEN $1 = 'discarded' THEN now() END, scheduled_at = now()`, state)
	}
	b.fetch("w")
	rescue("retryable")
	b.fetch("w")
	rescue("discarded")
	b.want([]string{"discarded 2 t 2"}, []string{"1 lost WorkerLost", "2 lost WorkerLost"})

	// Retried by hand in River UI: another attempt, another row.
	if _, err := client.JobRetry(t.Context(), a.job+1); err != nil {
		t.Fatal(err)
	}
	b.settle(b.fetch("w")[0].settlement(sql.StateCompleted, ""))
	if got := b.log(); len(got) != 3 || got[2] != "3 success" {
		t.Errorf("log %q", got)
	}
}

// A job that Runnel did not make, in its queue or of its kind, is River's to end, and
// has its row. One of another queue and kind is none of its business.
func TestFUNC_E1_JobsOfOthersInTheQueueHaveTheirRow(t *testing.T) {
	b := setup(t)
	b.exec(`INSERT INTO runnel.river_job (kind, args, state, attempt, queue) VALUES ('other', '{}', 'running', 1, 'default'), ('other', '{"function":"f"}', 'running', 1, 'functions'),
		('invoke', '{}', 'running', 1, 'default'), ('invoke', '{"id":"x"}', 'running', 1, 'functions'), ('invoke', '{"id":null}', 'running', 1, 'functions')`)
	b.exec(`UPDATE runnel.river_job SET state = 'discarded', finalized_at = now()`)
	if got := column[string](b, `SELECT concat_ws(' ', attempt, status, error_code, function_name) FROM runnel.function_invocations ORDER BY job_id`); !slices.Equal(got,
		[]string{"1 error InvalidRequest f", "1 error InvalidRequest ", "1 error InvalidRequest ", "1 error InvalidRequest "}) {
		t.Errorf("log %q", got)
	}
	b.exec(`INSERT INTO runnel.river_job (kind, args, queue) VALUES ('other', '[]', 'functions')`)
	b.exec(`UPDATE runnel.river_job SET state = 'cancelled', finalized_at = now() WHERE state = 'available'`)
	if got := b.log(); len(got) != 5 || got[4] != "1 cancelled Cancelled" {
		t.Errorf("log %q", got)
	}
}

// The event may be older than the retention of events.
func TestNet_EventIsGone(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.enqueue(sqlEnqueue("hello"))
	b.fetch("w")
	b.exec(`TRUNCATE runnel.invocation_events`)
	b.exec(`UPDATE runnel.river_job SET state = 'discarded', finalized_at = now()`)
	if got := get[string](b, `SELECT concat_ws('|', function_name, trigger, role, status) FROM runnel.function_invocations`); got != "hello|http|anon|lost" {
		t.Errorf("row %s", got)
	}
}
