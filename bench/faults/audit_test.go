package main

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// healthy makes ledgers that agree: three keys from SQL that ran and succeeded, one
// of them at the second attempt; one that was rolled back; one called over HTTP; two
// ticks of a schedule.
func healthy(t *testing.T) *pgxpool.Pool {
	t.Helper()
	url := pgtest.Database(t)
	db, err := sql.Open(t.Context(), url, sql.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := jobs.NewDeployer(db).Deploy(t.Context(), sql.Deploy{Name: "quick", Wasm: guests.Answer(`1`)}); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if _, err := pool.Exec(t.Context(), ledgerSQL); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), history); err != nil {
		t.Fatal(err)
	}
	return pool
}

const history = `
SELECT runnel.invoke('quick', jsonb_build_object('key', k, 'not_before', now())) FROM unnest('{a,b,c}'::text[]) k;
SELECT runnel.schedule('s', '* * * * * *', 'quick');
DO $$
DECLARE f runnel.functions; t timestamptz := date_trunc('second', now()); call uuid := runnel.uuid_v7(); ticks uuid[] := ARRAY[runnel.uuid_v7(), runnel.uuid_v7()];
BEGIN
  SELECT * INTO f FROM runnel.functions WHERE name = 'quick';
  PERFORM runnel.enqueue(f, 'http', ARRAY[call], ARRAY['{"body":{"key":"h"}}']);
  INSERT INTO faults.sent (key, trigger, outcome, status, id) VALUES ('h', 'http', 'committed', 200, call);
  PERFORM runnel.enqueue(f, 'schedule', ticks, ARRAY(
    SELECT format('{"schedule":"s","scheduled_time":"%s"}', to_char((t + n * interval '1 s') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) FROM generate_series(0, 1) n));
  INSERT INTO runnel.schedule_ticks (schedule_id, scheduled_time, outcome, invocation_id)
  SELECT s.id, t + n * interval '1 s', 'fired', ticks[n + 1] FROM runnel.schedules s, generate_series(0, 1) n;
END $$;
INSERT INTO faults.sent (key, trigger, outcome) VALUES ('a', 'sql', 'committed'), ('b', 'sql', 'committed'), ('c', 'sql', 'unknown'), ('never', 'sql', 'refused'), ('lost in doubt', 'sql', 'unknown');
INSERT INTO faults.ran (event) SELECT convert_from(event, 'UTF8')::jsonb FROM runnel.invocation_events;
INSERT INTO faults.ran (event) SELECT convert_from(event, 'UTF8')::jsonb FROM runnel.invocation_events e WHERE faults.key(convert_from(e.event, 'UTF8')::jsonb) = 'b';
SET runnel.settling = 'on';
UPDATE runnel.river_job j SET state = 'completed', finalized_at = now(), attempt = CASE WHEN e.key = 'b' THEN 2 ELSE 1 END
FROM (SELECT id, faults.key(convert_from(event, 'UTF8')::jsonb) AS key FROM runnel.invocation_events) e WHERE e.id = (j.args ->> 'id')::uuid;
RESET runnel.settling;
INSERT INTO runnel.function_invocations (id, attempt, created_at, function_name, trigger, status, job_id, role, finished_at, error_code)
SELECT e.id, n, e.created_at, e.function_name, e.trigger, CASE WHEN n = j.attempt THEN 'success' ELSE 'lost' END, j.id, e.role, now(), CASE WHEN n < j.attempt THEN 'WorkerLost' END
FROM runnel.invocation_events e JOIN runnel.river_job j ON (j.args ->> 'id')::uuid = e.id CROSS JOIN LATERAL generate_series(1, j.attempt) n;
`

// Each way of being wrong has to be seen, and as what it is.
func TestFUNC_E1_TheAuditSeesWhatIsWrong(t *testing.T) {
	const (
		ofB    = ` (SELECT (args ->> 'id')::uuid FROM runnel.river_job WHERE attempt = 2)`
		ofH    = ` (SELECT id FROM faults.sent WHERE key = 'h')`
		silent = `SET LOCAL runnel.settling = 'on'; `
	)
	for name, tt := range map[string]struct{ doctor, want string }{
		"nothing":                       {`SELECT 1`, ""},
		"an event gone":                 {`DELETE FROM runnel.invocation_events WHERE id = ` + ofH, "lost: committed by its client, never enqueued: h"},
		"a job gone":                    {`DELETE FROM runnel.river_job WHERE attempt = 2`, "lost: enqueued without a job"},
		"a job left running":            {silent + `UPDATE runnel.river_job SET state = 'running', finalized_at = NULL WHERE attempt = 2`, "lost: never finished: running"},
		"no row":                        {`DELETE FROM runnel.function_invocations WHERE id = ` + ofH, "lost: finished without a row"},
		"no row of the lost attempt":    {`DELETE FROM runnel.function_invocations WHERE status = 'lost'`, "unaccounted: 1 rows for 2 attempts"},
		"a success that did not run":    {`DELETE FROM faults.ran WHERE faults.key(event) = 'a'`, "lost: logged as a success, never ran"},
		"a tick that became no job":     {`UPDATE runnel.invocation_events SET event = convert_to('{"schedule":"other","scheduled_time":"x"}', 'UTF8') WHERE trigger = 'schedule' AND id = (SELECT min(invocation_id::text)::uuid FROM runnel.schedule_ticks)`, "lost: a tick fired that was not enqueued"},
		"a match without a tick":        {`UPDATE runnel.schedule_ticks SET scheduled_time = scheduled_time + interval '3 s' WHERE scheduled_time = (SELECT max(scheduled_time) FROM runnel.schedule_ticks)`, "lost: a match of the schedule without a tick"},
		"an event twice":                {`INSERT INTO runnel.invocation_events SELECT runnel.uuid_v7(), created_at, function_id, function_name, trigger, event, role FROM runnel.invocation_events WHERE id = ` + ofH, "duplicated: enqueued 2 times: h"},
		"rolled back and there":         {`UPDATE faults.sent SET outcome = 'refused' WHERE key = 'a'`, "duplicated: enqueued though its client did not commit it: a"},
		"a row twice":                   {`INSERT INTO runnel.function_invocations (id, attempt, created_at, function_name, trigger, status, job_id, role, finished_at) SELECT id, attempt, created_at - interval '1 day', function_name, trigger, status, job_id, role, finished_at FROM runnel.function_invocations WHERE id = ` + ofH, "duplicated: attempt 1 has 2 rows"},
		"ran once too often":            {`INSERT INTO faults.ran (event) SELECT event FROM faults.ran WHERE faults.key(event) = 'a'`, "duplicated: ran 2 times in 1 attempts: a"},
		"two successes":                 {`UPDATE runnel.function_invocations SET status = 'success' WHERE status = 'lost'`, "duplicated: succeeded 2 times"},
		"an attempt after the success":  {`UPDATE runnel.function_invocations SET status = CASE WHEN attempt = 1 THEN 'success' ELSE 'error' END WHERE id = ` + ofB, "duplicated: an attempt after the success"},
		"job and row disagree":          {silent + `UPDATE runnel.river_job SET state = 'discarded' WHERE attempt = 2`, "unaccounted: the job is discarded, its last row success"},
		"ran, never enqueued":           {`INSERT INTO faults.ran (event) VALUES ('{"body":{"key":"ghost"}}')`, "unaccounted: ran, never enqueued: ghost"},
		"ran early":                     {`UPDATE faults.ran SET at = at - interval '1 minute' WHERE faults.key(event) = 'a'`, "unaccounted: ran before its time: a"},
		"200 for a failure":             {`UPDATE runnel.function_invocations SET status = 'error' WHERE id = ` + ofH, "unaccounted: the caller got 200, the log says error"},
		"somebody else's answer":        {`UPDATE faults.sent SET own = false WHERE key = 'h'`, "unaccounted: the caller got another answer than its own: h"},
		"another code than the log's":   {`UPDATE faults.sent SET status = 502, code = 'WorkerLost' WHERE key = 'h'`, "unaccounted: the caller got WorkerLost, the log says success"},
		"another invocation's id":       {`UPDATE faults.sent SET id = (SELECT max(invocation_id::text)::uuid FROM runnel.schedule_ticks) WHERE key = 'h'`, "unaccounted: the caller heard of another invocation: h"},
		"said that it did not run":      {`UPDATE faults.sent SET unrun = true WHERE key = 'h'`, "unaccounted: the caller was told that it did not run: h"},
		"a row that was not counted":    {`DELETE FROM runnel.invocation_counts_new`, "unaccounted: counted 0 times in the statistics, logged"},
		"cancelled, and logged as lost": {silent + `UPDATE runnel.river_job SET state = 'cancelled' WHERE attempt = 2; UPDATE runnel.function_invocations SET status = 'lost' WHERE id = ` + ofB, "unaccounted: the job is cancelled, its last row lost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := healthy(t)
			if err := doctor(t.Context(), pool, tt.doctor); err != nil {
				t.Fatal(err)
			}
			a, err := newAudit(t.Context(), pool, auditOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				if a.verdict() != "0 / 0 / 0" || a.Enqueued != 6 || a.Ran != 7 {
					t.Errorf("healthy ledgers: %s, %d enqueued, %d ran\n%s", a.verdict(), a.Enqueued, a.Ran, a.details())
				}
				return
			}
			if d := a.details(); !strings.Contains(d, tt.want) || a.verdict() == "0 / 0 / 0" {
				t.Errorf("want %q, got %s\n%s", tt.want, a.verdict(), d)
			}
		})
	}
}

func doctor(ctx context.Context, pool *pgxpool.Pool, statements string) error {
	_, err := pool.Exec(ctx, statements) // one transaction
	return err
}
