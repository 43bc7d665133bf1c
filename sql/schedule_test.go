package sql_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
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
	old := get[bool](b, `SELECT cursor = '2020-01-01' FROM runnel.schedules`)
	b.exec(`SELECT runnel.schedule('nightly', '30 4 * * mon-fri', 'other')`)
	if moved := get[bool](b, `SELECT cursor > now() - interval '1 minute' FROM runnel.schedules`); !old || !moved {
		t.Errorf("cursor kept %v, moved with the timezone %v", old, moved)
	}
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
		{"0A000", "not available yet", `'n', '@daily', 'hello', overlap => 'queue'`},
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
	if !get[bool](b, `SELECT cursor = '2026-01-02 03:04:07Z' AND next_run > now() + interval '59 minutes' FROM runnel.schedules`) {
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
	for range 10 {
		b.exec(`UPDATE runnel.schedules SET next_run = NULL`)
		start := make(chan struct{})
		for _, db := range dbs {
			for range 2 {
				wg.Go(func() {
					<-start
					_, _, err := db.SweepSchedules(t.Context(), func(s sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
						return []sql.Tick{{Time: s.Cursor.Truncate(time.Second).Add(time.Second), Outcome: sql.TickFired}}, now.Add(time.Hour), nil
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
	step := func(n int, want ...string) {
		t.Helper()
		b.exec(`UPDATE runnel.schedules SET next_run = NULL`)
		b.exec(`DELETE FROM runnel.schedule_ticks WHERE outcome = 'skipped'`)
		b.sweep(ticks(sql.Tick{Time: someTime.Add(time.Duration(n) * time.Hour), Outcome: sql.TickCaughtUp}, sql.Tick{Time: someTime.Add(time.Duration(n)*time.Hour + time.Minute), Outcome: sql.TickFired}))
		if got := column[string](b, tickRows); !reflect.DeepEqual(got, want) {
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
