package sql_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

func sqlEnqueue(function string) sql.Enqueue {
	return sql.Enqueue{Function: function, Event: []byte(`{}`)}
}

var someTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fireNow fires one tick, and again in an hour.
func fireNow(_ sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
	return []sql.Tick{{Time: someTime, Outcome: sql.TickFired}}, now.Add(time.Hour), nil
}

// ticks plans what it is given.
func ticks(ts ...sql.Tick) func(sql.Schedule, time.Time) ([]sql.Tick, time.Time, error) {
	return func(_ sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) { return ts, now.Add(time.Hour), nil }
}

func (b *bundle) sweep(plan func(sql.Schedule, time.Time) ([]sql.Tick, time.Time, error)) int {
	b.Helper()
	fired, _, err := b.db.SweepSchedules(b.Context(), plan)
	if err != nil {
		b.Fatal(err)
	}
	return fired
}

const tickRows = `SELECT concat_ws('|', scheduled_time AT TIME ZONE 'UTC', outcome, reason, job_id IS NOT NULL) FROM runnel.schedule_ticks ORDER BY scheduled_time`

func TestSchedule_CreateAndChange(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.deploy("other", runnel.Config{})
	id := get[int64](b, `SELECT runnel.schedule('nightly', ' 30  4 * * mon-fri', 'hello', '{"a":1}', 'europe/berlin', 'all', 'skip')`)
	row := `SELECT concat_ws('|', s.name, f.name, cron, timezone, payload, catch_up, overlap, s.enabled, next_run IS NULL) FROM runnel.schedules s JOIN runnel.functions f ON f.id = function_id`
	if got, want := get[string](b, row), `nightly|hello|30 4 * * mon-fri|Europe/Berlin|{"a": 1}|all|skip|t|t`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b.exec(`UPDATE runnel.schedules SET cursor = '2020-01-01', next_run = '2030-01-01'`)
	// The expression is the same: what was missed is still to be caught up.
	if again := get[int64](b, `SELECT runnel.schedule('nightly', '30 4 * * mon-fri', 'other', timezone => 'Europe/Berlin')`); again != id {
		t.Errorf("the id changed from %d to %d", id, again)
	}
	if got, want := get[string](b, row), `nightly|other|30 4 * * mon-fri|Europe/Berlin|null|latest|allow|t|t`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.schedule_revisions`); n != 1 {
		t.Errorf("another function and payload made %d revisions", n)
	}
	b.exec(`SELECT runnel.schedule('nightly', '30 4 * * mon-fri', 'other')`)
	b.exec(`SELECT runnel.disable_schedule('nightly')`)
	b.exec(`SELECT runnel.disable_schedule('nightly')`)
	b.exec(`SELECT runnel.schedule('nightly', '31 4 * * mon-fri', 'other')`) // stays disabled
	b.exec(`SELECT runnel.enable_schedule('nightly')`)
	want := []string{"30 4 * * mon-fri|Europe/Berlin|t", "30 4 * * mon-fri|UTC|t", "30 4 * * mon-fri|UTC|f", "31 4 * * mon-fri|UTC|f", "31 4 * * mon-fri|UTC|t"}
	if got := column[string](b, `SELECT concat_ws('|', cron, timezone, enabled) FROM runnel.schedule_revisions ORDER BY valid_from`); !reflect.DeepEqual(got, want) {
		t.Errorf("revisions %q, want %q", got, want)
	}
	// The sweep looks at all of it, from the cursor on.
	if !get[bool](b, `SELECT cursor = '2020-01-01' AND next_run IS NULL FROM runnel.schedules`) {
		t.Error("a change moved the cursor, or does not have the schedule swept")
	}
	b.sweep(func(s sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
		if len(s.Revisions) != 5 || !s.Enabled || s.Revisions[2].Enabled || s.Revisions[0].Timezone != "Europe/Berlin" || s.Revisions[4].From.Location() == nil {
			t.Errorf("plan was given %+v", s.Revisions)
		}
		return nil, now.Add(time.Hour), nil
	})
	b.exec(`SELECT runnel.disable_schedule('nightly')`)
	b.sweep(func(s sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
		if len(s.Revisions) != 2 || s.Enabled {
			t.Errorf("then plan was given %+v", s.Revisions)
		}
		return nil, time.Time{}, nil
	})
	b.refuses("42704", "no schedule 'daily'", `SELECT runnel.disable_schedule('daily')`)
	b.refuses("42704", "no schedule NULL", `SELECT runnel.enable_schedule(NULL)`)
	b.exec(`SELECT runnel.unschedule('nightly')`)
	b.refuses("42704", "no schedule 'nightly'", `SELECT runnel.unschedule('nightly')`)
}

func TestSchedule_Refusals(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	for _, c := range []struct{ sqlstate, part, args string }{
		{"22023", "InvalidCron", `'n', '61 * * * *', 'hello'`},
		{"42704", "function nobody", `'n', '@daily', 'nobody'`},
		{"22023", "timezone 'Mars/Phobos'", `'n', '@daily', 'hello', timezone => 'Mars/Phobos'`},
		{"22023", "timezone 'posix/UTC'", `'n', '@daily', 'hello', timezone => 'posix/UTC'`},
		{"22023", "timezone '+02:00'", `'n', '@daily', 'hello', timezone => '+02:00'`},
		{"22023", "timezone NULL", `'n', '@daily', 'hello', timezone => NULL`},
		{"22023", "catch_up 'some'", `'n', '@daily', 'hello', catch_up => 'some'`},
		{"22023", "overlap 'maybe'", `'n', '@daily', 'hello', overlap => 'maybe'`},
		{"22023", "name must have", `'', '@daily', 'hello'`},
		{"54000", "at most 6 MB", `'n', '@daily', 'hello', to_jsonb(repeat('x', 6291456))`},
	} {
		b.refuses(c.sqlstate, c.part, `SELECT runnel.schedule(`+c.args+`)`)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.schedules`); n != 0 {
		t.Errorf("refused calls made %d schedules", n)
	}
}

// Every timezone that the database accepts must exist for the scheduler.
func TestSchedule_TimezonesExistInGo(t *testing.T) {
	b := setup(t)
	names := column[string](b, `SELECT name FROM pg_timezone_names WHERE name !~ '^(posix|right)/' AND name NOT IN ('posixrules', 'localtime', 'Factory')`)
	if len(names) < 300 {
		t.Fatalf("only %d names", len(names))
	}
	for _, name := range names {
		if _, err := time.LoadLocation(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFUNC_T2_TickBecomesOneJob(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	id := get[int64](b, `SELECT runnel.schedule('it''s "nightly"', '*/5 * * * * *', 'hello', '{"a":1}', 'Europe/Berlin')`)
	var seen sql.Schedule
	fired, wait, err := b.db.SweepSchedules(t.Context(), func(s sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
		seen = s
		if d := time.Since(now).Abs(); d > time.Minute || now.Before(s.Cursor) {
			t.Errorf("now is %s off, cursor %s", d, s.Cursor)
		}
		return []sql.Tick{
			{Time: someTime, Outcome: sql.TickSkipped, Reason: "missed"},
			{Time: someTime.Add(time.Second), Outcome: sql.TickCaughtUp},
			{Time: someTime.Add(2 * time.Second), Outcome: sql.TickFired},
		}, now.Add(time.Hour), nil
	})
	if err != nil || fired != 2 || wait > time.Hour || wait < 59*time.Minute {
		t.Errorf("fired %d, wait %s, %v", fired, wait, err)
	}
	if seen.ID != id || seen.Name != `it's "nightly"` || seen.Function != "hello" || seen.Cron != "*/5 * * * * *" || seen.Timezone != "Europe/Berlin" ||
		seen.CatchUp != "latest" || seen.Overlap != "allow" || !seen.NextRun.IsZero() {
		t.Errorf("plan was given %+v", seen)
	}
	want := []string{"2026-01-02 03:04:05|skipped|missed|f", "2026-01-02 03:04:06|caught_up|t", "2026-01-02 03:04:07|fired|t"}
	if got := column[string](b, tickRows); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !get[bool](b, `SELECT cursor > now() - interval '1 minute' AND next_run > now() + interval '59 minutes' FROM runnel.schedules`) {
		t.Error("the schedule did not move on")
	}
	event := b.events()[0]
	actual, err := time.Parse(time.RFC3339Nano, fmt.Sprint(event["actual_time"]))
	if err != nil || time.Since(actual).Abs() > time.Minute {
		t.Errorf("actual_time %v", event["actual_time"])
	}
	delete(event, "actual_time")
	got, _ := json.Marshal(event)
	if want := `{"cron":"*/5 * * * * *","payload":{"a":1},"schedule":"it's \"nightly\"","scheduled_time":"2026-01-02T03:04:06Z","timezone":"Europe/Berlin","trigger":"schedule"}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.schedule_ticks t JOIN runnel.river_job j ON j.id = t.job_id AND j.args ->> 'id' = t.invocation_id::text
		JOIN runnel.invocation_events e ON e.id = t.invocation_id AND e.created_at = j.created_at AND e.role = 'anon'
		WHERE j.unique_states = B'11111111' AND j.max_attempts = 1`); n != 2 {
		t.Errorf("%d ticks lead to their job and event, want 2", n)
	}
	if fired := b.sweep(fireNow); fired != 0 {
		t.Errorf("a schedule that is not due fired %d", fired)
	}
}

func TestFUNC_T2_TickIsNeverDoubled(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`SELECT runnel.schedule('s', '@daily', 'hello')`)
	again := func() int {
		t.Helper()
		b.exec(`UPDATE runnel.schedules SET next_run = NULL, cursor = '2020-01-01'`) // someone moves it back
		return b.sweep(fireNow)
	}
	if fired := b.sweep(fireNow); fired != 1 {
		t.Fatalf("fired %d, want 1", fired)
	}
	if fired := again(); fired != 0 {
		t.Errorf("the same tick fired again, %d jobs", fired)
	}
	for _, state := range []string{"discarded", "cancelled", "completed", "running", "retryable"} {
		b.exec(`UPDATE runnel.river_job SET state = $1::text::runnel.river_job_state, finalized_at = CASE WHEN $1 IN ('running', 'retryable') THEN NULL ELSE now() END`, state)
		b.exec(`DELETE FROM runnel.schedule_ticks`) // even without its row
		if fired := again(); fired != 0 {
			t.Errorf("a %s tick fired again, %d jobs", state, fired)
		}
	}
	if n := len(b.events()); n != 1 {
		t.Errorf("%d jobs, want 1", n)
	}
}

func TestFUNC_T2_ManySweepersAtOnce(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`SELECT runnel.schedule('s' || g, '* * * * * *', 'hello') FROM generate_series(1, 20) g`)
	dbs := []*sql.DB{b.db, use(t, b.url).db, use(t, b.url).db}
	var wg sync.WaitGroup
	for round := range 10 {
		b.exec(`UPDATE runnel.schedules SET next_run = NULL`)
		start := make(chan struct{})
		for _, db := range dbs {
			for range 2 {
				wg.Go(func() {
					<-start
					_, _, err := db.SweepSchedules(t.Context(), func(s sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
						return []sql.Tick{{Time: someTime.Add(time.Duration(round) * time.Second), Outcome: sql.TickFired}}, now.Add(time.Hour), nil
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		close(start)
		wg.Wait()
	}
	got := get[string](b, `SELECT concat_ws(' ', count(*), count(DISTINCT (schedule_id, scheduled_time)), min(n), max(n)) FROM (SELECT *, count(*) OVER (PARTITION BY schedule_id) n FROM runnel.schedule_ticks) t`)
	if got != "200 200 10 10" {
		t.Errorf("ticks, distinct, fewest and most per schedule: %s, want 200 200 10 10", got)
	}
	if n := len(b.events()); n != 200 {
		t.Errorf("%d jobs, want 200", n)
	}
}

// A sweep that is under way keeps its schedules to itself; others go on.
func TestFUNC_T2_LockedScheduleIsPassedBy(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`SELECT runnel.schedule(n, '@daily', 'hello') FROM unnest('{a,b}'::text[]) n`)
	b.exec(`BEGIN; SELECT FROM runnel.schedules WHERE name = 'a' FOR UPDATE`)
	fired, wait, err := b.db.SweepSchedules(t.Context(), fireNow)
	if err != nil || fired != 1 || wait < 59*time.Minute {
		t.Errorf("fired %d, wait %s, %v: want one job and no busy waiting for the other", fired, wait, err)
	}
	b.exec(`COMMIT`)
	if fired := b.sweep(fireNow); fired != 1 {
		t.Errorf("then fired %d, want 1", fired)
	}
}

func TestFUNC_T2_SkipsAreRecorded(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{Enabled: ptr(false), CanBypassRLS: ptr(true)})
	b.exec(`SELECT runnel.schedule('s', '@daily', 'hello', overlap => 'skip')`)
	b.exec(`INSERT INTO runnel.schedule_ticks (schedule_id, scheduled_time, outcome, reason)
		SELECT id, '2027-01-01'::timestamptz + g * interval '1 second', 'skipped', 'later ones do not hide the run' FROM runnel.schedules, generate_series(1, 300) g`)
	step := func(n int, want ...string) {
		t.Helper()
		b.exec(`UPDATE runnel.schedules SET next_run = NULL`)
		b.exec(`DELETE FROM runnel.schedule_ticks WHERE outcome = 'skipped' AND scheduled_time < '2027-01-01'`)
		b.sweep(ticks(sql.Tick{Time: someTime.Add(time.Duration(n) * time.Hour), Outcome: sql.TickCaughtUp}, sql.Tick{Time: someTime.Add(time.Duration(n)*time.Hour + time.Minute), Outcome: sql.TickFired}))
		if got := column[string](b, strings.Replace(tickRows, "ORDER", "WHERE scheduled_time < '2027-01-01' ORDER", 1)); !reflect.DeepEqual(got, want) {
			t.Errorf("step %d: got %q, want %q", n, got, want)
		}
	}
	step(0, "2026-01-02 03:04:05|skipped|function disabled|f", "2026-01-02 03:05:05|skipped|function disabled|f")
	b.exec(`UPDATE runnel.functions SET enabled = true`)
	first := "2026-01-02 04:04:05|caught_up|t"
	step(1, first, "2026-01-02 04:05:05|skipped|overlap|f")
	step(2, first, "2026-01-02 05:04:05|skipped|overlap|f", "2026-01-02 05:05:05|skipped|overlap|f")
	b.exec(`UPDATE runnel.river_job SET state = 'discarded', finalized_at = now()`)
	step(3, first, "2026-01-02 06:04:05|caught_up|t", "2026-01-02 06:05:05|skipped|overlap|f")
	if role := get[string](b, `SELECT DISTINCT role FROM runnel.invocation_events`); role != "service_role" {
		t.Errorf("a function that may bypass RLS runs as %s", role)
	}
}

func TestSweep_PlanFailsForOne(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`SELECT runnel.schedule(n, '@daily', 'hello') FROM unnest('{a,b,c}'::text[]) n`)
	fired, _, err := b.db.SweepSchedules(t.Context(), func(s sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
		if s.Name == "b" {
			return nil, time.Time{}, errors.New("no such hour")
		}
		return fireNow(s, now)
	})
	if fired != 2 || runnel.CodeOf(err) != runnel.CodeInvalidCron {
		t.Errorf("fired %d, %v; want 2 and InvalidCron", fired, err)
	}
	if got := get[string](b, `SELECT error || (next_run > now()) FROM runnel.schedules WHERE name = 'b'`); got != "no such hourtrue" {
		t.Errorf("recorded %q", got)
	}
}

func TestSweep_Waits(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	sweep := func(next time.Duration) time.Duration {
		t.Helper()
		_, wait, err := b.db.SweepSchedules(t.Context(), func(_ sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
			if next == 0 {
				return nil, time.Time{}, nil
			}
			return nil, now.Add(next), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return wait
	}
	if wait := sweep(0); wait < 1000*time.Hour {
		t.Errorf("without a schedule: wait %s", wait)
	}
	b.exec(`SELECT runnel.schedule('s', '@daily', 'hello')`)
	if wait := sweep(time.Minute); wait > time.Minute || wait < 50*time.Second {
		t.Errorf("due in a minute: wait %s", wait)
	}
	b.exec(`UPDATE runnel.schedules SET next_run = NULL`)
	if wait := sweep(0); wait < 1000*time.Hour {
		t.Errorf("never due again: wait %s", wait)
	}
	b.exec(`SELECT runnel.schedule('s' || g, '@daily', 'hello') FROM generate_series(1, 130) g`)
	if wait := sweep(time.Minute); wait != 0 {
		t.Errorf("more than one sweep's worth is due: wait %s", wait)
	}
	if wait := sweep(time.Minute); wait < 50*time.Second {
		t.Errorf("all swept: wait %s", wait)
	}
}

// overlap = queue: one run at a time, in order, whatever becomes of the one before.
func TestFUNC_T2_QueuedRunsWaitForTheOneBefore(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`SELECT runnel.schedule('s', '@daily', 'hello', overlap => 'queue')`)
	at := func(n int) sql.Tick {
		return sql.Tick{Time: someTime.Add(time.Duration(n) * time.Minute), Outcome: sql.TickFired}
	}
	states := func(want string) {
		t.Helper()
		got := get[string](b, `SELECT string_agg(j.state || CASE WHEN t.waiting THEN ' waiting' ELSE '' END, ', ' ORDER BY t.scheduled_time)
			FROM runnel.schedule_ticks t JOIN runnel.river_job j ON j.id = t.job_id`)
		if got != want {
			t.Errorf("runs are %s, want %s", got, want)
		}
	}
	idle := func() { b.sweep(fireNow) } // nothing is due; it only releases
	end := func(state string) {
		t.Helper()
		b.exec(`UPDATE runnel.river_job SET state = $1::text::runnel.river_job_state, finalized_at = CASE WHEN $1 = 'retryable' THEN NULL ELSE now() END
			WHERE state IN ('available', 'running', 'retryable')`, state)
	}
	if fired := b.sweep(ticks(at(0), at(1), at(2))); fired != 3 {
		t.Errorf("fired %d, want 3", fired)
	}
	states("available, pending waiting, pending waiting")
	if n := len(b.fetch("w1")); n != 1 {
		t.Errorf("River can fetch %d runs, want 1", n)
	}
	idle()
	states("running, pending waiting, pending waiting")
	end("retryable") // it will be tried again, so it has not finished
	idle()
	states("retryable, pending waiting, pending waiting")
	end("discarded")
	idle()
	states("discarded, available, pending waiting")
	b.exec(`UPDATE runnel.schedules SET next_run = NULL`)
	b.sweep(ticks(at(3)))
	states("discarded, available, pending waiting, pending waiting")
	// Cancelled while it waits, as River does it: the log says so, and the next is not held up.
	b.exec(`UPDATE runnel.river_job SET state = 'cancelled', finalized_at = now() WHERE id = (SELECT min(id) FROM runnel.river_job WHERE state = 'pending')`)
	end("completed")
	idle()
	states("discarded, completed, cancelled, available")
	if got := column[string](b, `SELECT concat_ws('|', status, error_code, attempt, trigger) FROM runnel.function_invocations WHERE error_code = 'Cancelled' ORDER BY attempt`); !slices.Equal(got, []string{"cancelled|Cancelled|1|schedule", "cancelled|Cancelled|2|schedule"}) {
		t.Errorf("logged %q", got)
	}
	// Bounded.
	many := make([]sql.Tick, 120)
	for i := range many {
		many[i] = at(10 + i)
	}
	b.exec(`UPDATE runnel.schedules SET next_run = NULL`)
	if fired := b.sweep(ticks(many...)); fired != 100 {
		t.Errorf("%d runs wait, want 100", fired)
	}
	if got := get[string](b, `SELECT count(*) || min(reason) FROM runnel.schedule_ticks WHERE outcome = 'skipped'`); got != "20overlap: 100 runs wait already" {
		t.Errorf("skipped: %s", got)
	}
	// Nobody would start one whose tick is gone, or whose schedule is, and neither with
	// the function.
	b.exec(`DELETE FROM runnel.schedule_ticks WHERE job_id = (SELECT min(id) FROM runnel.river_job WHERE state = 'pending')`)
	if n := get[int](b, `SELECT count(*) FROM runnel.river_job WHERE state = 'pending'`); n != 99 {
		t.Errorf("%d wait after one's tick was deleted, want 99", n)
	}
	b.exec(`SELECT runnel.unschedule('s')`)
	if got := get[string](b, `SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) n FROM runnel.river_job GROUP BY 1) s`); got != "available 1, cancelled 101, completed 1, discarded 1" {
		t.Errorf("after unschedule: %s", got)
	}
}

// Whatever happens to run at once, no two runs of a schedule are under way.
func TestFUNC_T2_QueueHoldsWithManySweepers(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`SELECT runnel.schedule('s', '* * * * * *', 'hello', overlap => 'queue')`)
	dbs := []*sql.DB{b.db, use(t, b.url).db, use(t, b.url).db}
	for round := range 30 {
		b.exec(`UPDATE runnel.schedules SET next_run = NULL`)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for _, db := range dbs {
			for range 2 {
				wg.Go(func() {
					<-start
					_, _, err := db.SweepSchedules(t.Context(), func(s sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
						return []sql.Tick{{Time: someTime.Add(time.Duration(round) * time.Second), Outcome: sql.TickFired}}, now, nil // due again at once
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Go(func() { // a run ends meanwhile
			<-start
			if _, err := b.db.Pool().Exec(t.Context(), `UPDATE runnel.river_job SET state = 'completed', finalized_at = now() WHERE state = 'available'`); err != nil {
				t.Error(err)
			}
		})
		close(start)
		wg.Wait()
		if n := get[int](b, `SELECT count(*) FROM runnel.river_job WHERE state IN ('available', 'running')`); n > 1 {
			t.Fatalf("round %d: %d runs are under way", round, n)
		}
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.river_job`); n != 30 {
		t.Errorf("%d runs, want 30", n)
	}
}
