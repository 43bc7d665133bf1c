package sql_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

// logs is the log as "attempt status code message", in order.
func (b *bundle) attempts(id string) []string {
	b.Helper()
	return column[string](b, `SELECT concat_ws(' ', attempt, status, error_code) FROM runnel.function_invocations WHERE id = $1::uuid ORDER BY attempt`, id)
}

func TestCancel(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{MaxAttempts: ptr(3)})
	invoke := func() string { return get[string](b, `SELECT runnel.invoke('hello')::text`) }
	cancel := func(id, want string) {
		t.Helper()
		if got, err := b.db.Cancel(t.Context(), id); err != nil || got != want {
			t.Errorf("cancelling: %q, %v, want %q", got, err, want)
		}
	}
	job := func(id string) string {
		t.Helper()
		return get[string](b, `SELECT concat_ws(' ', state, attempt, finalized_at IS NOT NULL, metadata ? 'cancel_attempted_at') FROM runnel.river_job WHERE args ->> 'id' = $1`, id)
	}

	queued := invoke()
	cancel(queued, sql.Cancelled)
	if got := job(queued); got != "cancelled 1 t t" {
		t.Errorf("queued: job %s", got)
	}
	if got := b.attempts(queued); !slices.Equal(got, []string{"1 cancelled Cancelled"}) {
		t.Errorf("queued: rows %q", got)
	}
	cancel(queued, sql.Finished)

	later := get[string](b, `SELECT runnel.invoke('hello', run_at => now() + interval '1 hour')::text`)
	cancel(later, sql.Cancelled)

	between := invoke()
	b.settle(b.fetch("w")[0].settlement(sql.StateRetryable, runnel.CodeTimeout))
	cancel(between, sql.Cancelled)
	if got := b.attempts(between); !slices.Equal(got, []string{"1 timeout Timeout", "2 cancelled Cancelled"}) {
		t.Errorf("between two attempts: rows %q", got)
	}

	running := invoke()
	a := b.fetch("w")[0]
	b.exec(`LISTEN "runnel.river_control"`)
	cancel(running, sql.Stopping)
	if n, err := b.conn.WaitForNotification(t.Context()); err != nil || !strings.Contains(n.Payload, fmt.Sprint(a.job)) {
		t.Errorf("workers are told %+v, %v", n, err)
	}
	if got := job(running); got != "running 1 f t" {
		t.Errorf("running: job %s", got)
	}
	_, cancelled, lost, err := b.db.Control(t.Context(), []sql.Running{{Job: 1, Attempt: 1}, {Job: a.job, Attempt: a.number}, {Job: a.job, Attempt: 7}})
	if err != nil || !slices.Equal(cancelled, []sql.Running{{Job: a.job, Attempt: a.number}}) ||
		!slices.Equal(lost, []sql.Running{{Job: 1, Attempt: 1}, {Job: a.job, Attempt: 7}}) {
		t.Errorf("control: cancelled %v, lost %v, %v", cancelled, lost, err)
	}
	// One that fails meanwhile is not tried again.
	b.settle(a.settlement(sql.StateRetryable, runnel.CodeTimeout))
	if got := job(running); got != "cancelled 1 t t" {
		t.Errorf("it failed while it was being cancelled: job %s", got)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.river_job WHERE finalized_at IS NULL`); n != 0 {
		t.Errorf("%d jobs are left", n)
	}

	for id, want := range map[string]runnel.Code{"x": runnel.CodeInvalidRequest, sql.NewID(): runnel.CodeNotFound} {
		if _, err := b.db.Cancel(t.Context(), id); runnel.CodeOf(err) != want {
			t.Errorf("cancelling %s: %v, want %s", id, err, want)
		}
	}
	b.refuses("P0002", "there is no invocation", `SELECT runnel.cancel($1::uuid)`, sql.NewID())
	b.refuses("P0002", "there is no invocation NULL", `SELECT runnel.cancel(NULL)`)
	var notice string
	conn := connectWith(t, b.url, func(n *pgconn.Notice) { notice = n.Message + "/" + n.Hint })
	execute(t, conn, `SELECT runnel.cancel($1::uuid)`, queued)
	if !strings.Contains(notice, "has ended (cancelled)") || !strings.Contains(notice, "nothing to cancel") {
		t.Errorf("notice %q", notice)
	}
}

func connectWith(t *testing.T, url string, notice func(*pgconn.Notice)) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notice(n) }
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func TestReplay(t *testing.T) {
	b := setup(t)
	fn := b.deploy("hello", runnel.Config{MaxAttempts: ptr(4)})
	body := `{"b":1,"a":1,"a":12345678901234567890.10,"s":"\u0000"}`
	old := b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(body), Respond: true, RequestID: "r-1",
		Caller: runnel.Caller{Role: runnel.RoleAuthenticated, UserID: "u", Claims: []byte(`{"sub":"u","n":1.0}`)}})
	b.settle(b.fetch("w")[0].settlement(sql.StateDiscarded, runnel.CodeTimeout))
	id, err := b.db.Replay(t.Context(), old)
	if err != nil || id == old {
		t.Fatalf("replay: %s, %v", id, err)
	}
	got := get[string](b, `SELECT concat_ws('|', convert_from(event, 'UTF8'), trigger, role, user_id, claims, request_id, respond, replay_of, function_id = $2::uuid)
		FROM runnel.invocation_events WHERE id = $1::uuid`, id, fn.ID)
	if want := body + `|http|authenticated|u|{"sub":"u","n":1.0}|r-1|f|` + old + `|t`; got != want {
		t.Errorf("event %s\nwant  %s", got, want)
	}
	if got := get[string](b, `SELECT concat_ws(' ', state, max_attempts, tags, queue) FROM runnel.river_job WHERE args ->> 'id' = $1`, id); got != "available 4 {hello,http} functions" {
		t.Errorf("job %s", got)
	}
	if again, err := b.db.Replay(t.Context(), old); err != nil || again == id {
		t.Errorf("replayed twice: %s, %v", again, err)
	}
	// A replay that is cancelled says what it replayed, without the worker's help.
	if _, err := b.db.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if rows, err := b.db.Invocation(t.Context(), id); err != nil || rows[0].ReplayOf != old {
		t.Errorf("rows %+v, %v", rows, err)
	}

	b.exec(`DELETE FROM runnel.invocation_events WHERE id = $1::uuid`, old)
	if _, err := b.db.Replay(t.Context(), old); runnel.CodeOf(err) != runnel.CodeConflict || !strings.Contains(err.Error(), "is gone") || !strings.Contains(err.Error(), "RUNNEL_LOG_RETENTION") {
		t.Errorf("without its event: %v", err)
	}
	if _, err := b.db.Configure(t.Context(), "hello", runnel.Config{Enabled: ptr(false)}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.db.Replay(t.Context(), id); runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
		t.Errorf("of a disabled function: %v", err)
	}
	if err := b.db.Delete(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.db.Replay(t.Context(), id); runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
		t.Errorf("of a deleted function: %v", err)
	}
	if _, err := b.db.Replay(t.Context(), sql.NewID()); runnel.CodeOf(err) != runnel.CodeNotFound {
		t.Errorf("of nothing: %v", err)
	}
}

// Nobody may cancel or replay by default; who is allowed to reaches their own only,
// and does not learn of others'.
func TestSteering_ReachesOnesOwn(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	call := func(role, user string) string {
		return b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Caller: runnel.Caller{Role: role, UserID: user}})
	}
	mine, theirs, anonymous, service := call("authenticated", "ann"), call("authenticated", "bob"), call("anon", ""), call("service_role", "ann")
	all := []string{mine, theirs, anonymous, service}
	app := b.session()
	as := func(role, claims string) {
		execute(t, app, `RESET ROLE`)
		execute(t, app, `SELECT set_config('request.jwt.claims', $1, false)`, claims)
		execute(t, app, `SET ROLE `+role)
	}
	functions := []string{"cancel(uuid)", "replay(uuid)", "redrive(uuid,text,text,timestamptz,timestamptz,int)", "purge(uuid,text,text,timestamptz,timestamptz)",
		"find_job(uuid)", "find_event(uuid)", "take_key(uuid,bytea,text,bytea,uuid)", "forget_keys()"}
	for _, role := range []string{"anon", "authenticated", "service_role"} {
		for _, f := range functions {
			if get[bool](b, `SELECT has_function_privilege($1, $2::text::regprocedure, 'EXECUTE')`, role, "runnel."+f) {
				t.Errorf("%s may call %s, and nobody granted it", role, f)
			}
		}
		b.exec(`GRANT USAGE ON SCHEMA runnel TO ` + role)
		b.exec(`GRANT EXECUTE ON FUNCTION runnel.cancel, runnel.replay TO ` + role)
	}
	as("authenticated", `{"sub":"ann"}`)
	for _, id := range []string{theirs, anonymous, service} {
		for _, f := range []string{"cancel", "replay"} {
			refuses(t, app, "P0002", "there is no invocation", `SELECT runnel.`+f+`($1::uuid)`, id)
		}
	}
	execute(t, app, `SELECT runnel.replay($1::uuid)`, mine)
	execute(t, app, `SELECT runnel.cancel($1::uuid)`, mine)
	as("authenticated", `{}`) // no sub: nobody's
	for _, id := range all {
		refuses(t, app, "P0002", "there is no invocation", `SELECT runnel.cancel($1::uuid)`, id)
	}
	as("anon", `{"sub":"ann"}`)
	for _, id := range all {
		refuses(t, app, "P0002", "there is no invocation", `SELECT runnel.cancel($1::uuid)`, id)
	}
	if got := column[string](b, `SELECT concat_ws(' ', state, args ->> 'id' = $1) FROM runnel.river_job WHERE state = 'cancelled'`, mine); !slices.Equal(got, []string{"cancelled t"}) {
		t.Errorf("cancelled: %q", got)
	}
	as("service_role", `{}`)
	for _, id := range []string{theirs, anonymous, service} {
		execute(t, app, `SELECT runnel.cancel($1::uuid)`, id)
	}
}

func TestDeadLetters(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{MaxAttempts: ptr(2)})
	b.deploy("other", runnel.Config{})
	var ids []string
	for i := range 5 {
		ids = append(ids, b.enqueue(sql.Enqueue{Function: []string{"hello", "other"}[i%2], Event: []byte(`{}`), Respond: true}))
	}
	for i, a := range b.fetch("w") {
		code := runnel.CodeTimeout
		if i == 2 {
			code = runnel.CodeFunctionError
		}
		b.settle(a.settlement(sql.StateDiscarded, code))
	}
	b.exec(`UPDATE runnel.river_job j SET finalized_at = now() - (10 - o.n) * interval '1 hour' FROM unnest($1::text[]) WITH ORDINALITY AS o(id, n) WHERE j.args ->> 'id' = o.id`, ids)
	list := func(f sql.DeadLetters) (got []string) {
		t.Helper()
		for {
			page, next, err := b.db.DeadLetters(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page {
				got = append(got, fmt.Sprint(slices.Index(ids, d.ID)))
			}
			if f.Cursor = next; next == "" {
				return got
			}
		}
	}
	for _, c := range []struct {
		filter sql.DeadLetters
		want   string
	}{
		{sql.DeadLetters{}, "4 3 2 1 0"},
		{sql.DeadLetters{Limit: 2}, "4 3 2 1 0"},
		{sql.DeadLetters{Function: "other"}, "3 1"},
		{sql.DeadLetters{Code: runnel.CodeFunctionError}, "2"},
		{sql.DeadLetters{Trigger: runnel.TriggerSQL}, ""},
		{sql.DeadLetters{ID: ids[1]}, "1"},
		{sql.DeadLetters{Since: time.Now().Add(-7*time.Hour - time.Minute)}, "4 3 2"},
		{sql.DeadLetters{Before: time.Now().Add(-7*time.Hour - time.Minute), Limit: 1}, "1 0"},
	} {
		if got := strings.Join(list(c.filter), " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.filter, got, c.want)
		}
	}

	redrive := func(f sql.DeadLetters, want ...string) {
		t.Helper()
		got, err := b.db.Redrive(t.Context(), f)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("redrive %+v: %v, %v, want %v", f, got, err, want)
		}
	}
	// The same invocation, with attempts as a new one has, and a new answer.
	redrive(sql.DeadLetters{ID: ids[0]}, ids[0])
	redrive(sql.DeadLetters{ID: ids[0]})
	if got := get[string](b, `SELECT concat_ws(' ', state, attempt, max_attempts, finalized_at) FROM runnel.river_job WHERE args ->> 'id' = $1`, ids[0]); got != "available 1 3" {
		t.Errorf("redriven job: %s", got)
	}
	if r, err := b.db.Responses(t.Context(), ids[:1]); err != nil || len(r) != 0 {
		t.Errorf("the old response is still there: %v, %v", r, err)
	}
	b.settle(b.fetch("w")[0].settlement(sql.StateCompleted, ""))
	if got := b.attempts(ids[0]); !slices.Equal(got, []string{"1 timeout Timeout", "2 success"}) {
		t.Errorf("rows %q", got)
	}
	redrive(sql.DeadLetters{Function: "other", Limit: 1}, ids[1])
	redrive(sql.DeadLetters{Code: runnel.CodeFunctionError}, ids[2])
	b.exec(`DELETE FROM runnel.invocation_events WHERE id = $1::uuid`, ids[3])
	redrive(sql.DeadLetters{Function: "other"}) // its event is gone
	if got := strings.Join(list(sql.DeadLetters{}), " "); got != "4 3" {
		t.Errorf("left: %s", got)
	}

	if n, err := b.db.Purge(t.Context(), sql.DeadLetters{ID: ids[4]}); err != nil || n != 1 {
		t.Errorf("purge one: %d, %v", n, err)
	}
	if n, err := b.db.Purge(t.Context(), sql.DeadLetters{Function: "hello"}); err != nil || n != 0 {
		t.Errorf("purge none: %d, %v", n, err)
	}
	if n, err := b.db.Purge(t.Context(), sql.DeadLetters{}); err != nil || n != 1 {
		t.Errorf("purge the rest: %d, %v", n, err)
	}
	if got := b.attempts(ids[4]); len(got) != 1 {
		t.Errorf("the purged invocation's rows: %q", got)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.function_invocations WHERE status = 'cancelled'`); n != 0 {
		t.Errorf("purging wrote %d rows", n)
	}
	if _, _, err := b.db.DeadLetters(t.Context(), sql.DeadLetters{Cursor: "x"}); runnel.CodeOf(err) != runnel.CodeInvalidRequest {
		t.Errorf("a wrong cursor: %v", err)
	}
}

func TestRedrive_Once(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	for range 50 {
		b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`)})
	}
	for _, a := range b.fetch("w") {
		b.settle(a.settlement(sql.StateDiscarded, runnel.CodeTimeout))
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				ids, err := b.db.Redrive(t.Context(), sql.DeadLetters{Limit: 7})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, id := range ids {
					seen[id]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was redriven %d times", id, n)
		}
	}
	if len(seen) != 50 {
		t.Errorf("%d were redriven, want 50", len(seen))
	}
}

// The fourth net: what no worker can run, and what disappears, has its row as well.
func TestFUNC_E1_UnreadableAndDeletedJobsHaveTheirRow(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	// As River ends a job whose arguments it cannot decode.
	for _, args := range []string{`[]`, `{"id":5}`, `{"id":"x","function":"hello"}`, `{"id":"` + sql.NewID() + `","function":7}`} {
		b.exec(`TRUNCATE runnel.river_job, runnel.function_invocations`)
		b.exec(`INSERT INTO runnel.river_job (kind, args, queue, max_attempts) VALUES ('invoke', $1, 'functions', 2)`, args)
		for _, state := range []string{"retryable", "discarded"} {
			b.exec(`UPDATE runnel.river_job SET state = 'running', attempt = attempt + 1, attempted_at = now()`)
			b.exec(`UPDATE runnel.river_job SET state = $1::text::runnel.river_job_state, finalized_at = CASE WHEN $1 = 'discarded' THEN now() END`, state)
		}
		got := column[string](b, `SELECT concat_ws(' ', attempt, status, error_code, count(*) OVER (PARTITION BY id)) FROM runnel.function_invocations ORDER BY attempt`)
		want := []string{"1 error InvalidRequest 2", "2 error InvalidRequest 2"}
		if strings.Contains(args, `"x"`) {
			want = []string{"1 lost WorkerLost 2", "2 lost WorkerLost 2"} // readable, if not by us
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: rows %q", args, got)
		}
	}

	b.exec(`TRUNCATE runnel.river_job, runnel.function_invocations`)
	waiting := b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Respond: true})
	b.exec(`DELETE FROM runnel.river_job`)
	running := b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Respond: true})
	stale := b.fetch("w")[0]
	b.exec(`DELETE FROM runnel.river_job`)
	done := b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`)})
	b.settle(b.fetch("w")[0].settlement(sql.StateCompleted, ""))
	b.exec(`DELETE FROM runnel.river_job`)
	for id, want := range map[string]string{waiting: "1 cancelled Cancelled", running: "1 cancelled Cancelled", done: "1 success"} {
		if got := b.attempts(id); !slices.Equal(got, []string{want}) {
			t.Errorf("rows %q, want %q", got, want)
		}
	}
	if got := b.settle(stale.settlement(sql.StateCompleted, "")); got[0] {
		t.Error("the deleted job was settled")
	}
	responses, err := b.db.Responses(t.Context(), []string{waiting, running})
	if err != nil || responses[waiting].Code != runnel.CodeCancelled || responses[running].Code != runnel.CodeCancelled {
		t.Errorf("the waiters get %+v, %v", responses, err)
	}
}

func TestPromote(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	promote := func(want int, low, high time.Duration) {
		t.Helper()
		n, next, err := b.db.Promote(t.Context(), 100)
		if err != nil || n != want || next < low || next > high {
			t.Errorf("promoted %d, next in %s, %v; want %d and %s to %s", n, next, err, want, low, high)
		}
	}
	promote(0, 0, 0)
	for priority, in := range map[int]string{1: "1 hour", 2: "1 minute", 4: "2 hours"} {
		b.exec(`SELECT runnel.invoke('hello', run_at => now() + $1::text::interval, priority => $2)`, in, priority)
	}
	promote(0, 50*time.Second, time.Minute)
	b.exec(`UPDATE runnel.river_job SET scheduled_at = now() - interval '1 second', state = CASE priority WHEN 4 THEN 'retryable' ELSE state END WHERE priority IN (2, 4)`)
	b.exec(`LISTEN "runnel.river_insert"`)
	promote(2, 59*time.Minute, time.Hour)
	if n, err := b.conn.WaitForNotification(t.Context()); err != nil || n.Payload != `{"queue":"functions"}` {
		t.Errorf("notified %+v, %v", n, err)
	}
	if got := column[string](b, `SELECT state::text FROM runnel.river_job ORDER BY priority`); !slices.Equal(got, []string{"scheduled", "available", "available"}) {
		t.Errorf("states %q", got)
	}
}
