package sql_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

const partitions = `SELECT count(*) FROM pg_inherits WHERE inhparent = 'runnel.function_invocations'::regclass`

func TestPartitions_MadeAhead(t *testing.T) {
	b := setup(t)
	today := time.Now().UTC()
	for _, d := range []int{-1, 0, 1, 7} {
		name := "runnel.function_invocations_" + today.AddDate(0, 0, d).Format("20060102")
		if !get[bool](b, `SELECT to_regclass($1) IS NOT NULL`, name) {
			t.Errorf("%s is missing after Migrate", name)
		}
	}
	before := get[int](b, partitions)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := b.db.EnsurePartitions(t.Context(), 12); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := get[int](b, partitions); n != before+5 {
		t.Errorf("%d partitions, want %d", n, before+5)
	}
}

// A writer never fails because a partition is missing; when the partition comes,
// its rows move there.
func TestPartitions_DefaultTakesTheRest(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	for _, table := range []string{"function_invocations", "invocation_events", "invocation_responses"} {
		for d := range 9 {
			b.exec(`DROP TABLE IF EXISTS runnel.` + table + `_` + time.Now().UTC().AddDate(0, 0, d-1).Format("20060102"))
		}
	}
	b.exec(`CREATE TABLE orders (id int); SELECT runnel.create_trigger('orders', 'hello'); INSERT INTO orders VALUES (1);`)
	id := b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Respond: true})
	check := func(want string) {
		t.Helper()
		if got := get[string](b, `SELECT concat_ws(' ', (SELECT count(*) FROM runnel.invocation_events_default), (SELECT count(*) FROM runnel.function_invocations_default),
			(SELECT count(*) FROM runnel.invocation_responses_default), (SELECT count(*) FROM runnel.invocation_events), (SELECT count(*) FROM runnel.function_invocations))`); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	a := b.fetch("w")
	s := a[1].settlement(sql.StateCompleted, "")
	s.Respond = true
	if got := b.settle(s, a[0].settlement(sql.StateCompleted, "")); !got[0] || !got[1] {
		t.Errorf("settled %v", got)
	}
	check("2 2 1 2 2")
	if err := b.db.EnsurePartitions(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	check("0 0 0 2 2")
	if r, err := b.db.Responses(t.Context(), []string{id}); err != nil || len(r) != 1 {
		t.Errorf("responses %v, %v", r, err)
	}
}

// oldDay makes partitions for a day in the past and returns an instant in it.
func (b *bundle) oldDay(days int) time.Time {
	b.Helper()
	day := time.Now().UTC().AddDate(0, 0, -days).Truncate(24 * time.Hour)
	for _, table := range []string{"function_invocations", "invocation_events", "invocation_responses"} {
		b.exec(fmt.Sprintf(`CREATE TABLE runnel.%[1]s_%[2]s PARTITION OF runnel.%[1]s FOR VALUES FROM ('%[3]s') TO ('%[4]s')`,
			table, day.Format("20060102"), day.Format(time.RFC3339), day.AddDate(0, 0, 1).Format(time.RFC3339)))
	}
	return day.Add(12 * time.Hour)
}

func TestDropPartitions(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	recent, old, needed := b.oldDay(3), b.oldDay(40), b.oldDay(50)
	for _, at := range []time.Time{recent, old, needed, time.Now().AddDate(0, 0, -60)} {
		b.exec(`INSERT INTO runnel.function_invocations (id, attempt, created_at, function_name, trigger, status, role, finished_at) VALUES (gen_random_uuid(), 1, $1, 'hello', 'sql', 'success', 'anon', now())`, at)
		b.exec(`INSERT INTO runnel.invocation_responses (id, created_at, status) VALUES (gen_random_uuid(), $1, 'success')`, at)
		b.exec(`WITH e AS (INSERT INTO runnel.invocation_events (id, created_at, function_id, function_name, trigger, event, role) VALUES (gen_random_uuid(), $1, gen_random_uuid(), 'hello', 'sql', '{}', 'anon') RETURNING id)
			INSERT INTO runnel.river_job (kind, args, created_at, state, finalized_at, scheduled_at) SELECT 'invoke', jsonb_build_object('id', id), $1,
			CASE WHEN $2 THEN 'scheduled' ELSE 'completed' END::runnel.river_job_state, CASE WHEN $2 THEN NULL ELSE now() END, now() + interval '1 day' FROM e`, at, at == needed)
	}
	b.exec(`SELECT runnel.invoke('hello', idempotency_key => 'old'), runnel.invoke('hello', idempotency_key => 'new')`)
	b.exec(`UPDATE runnel.idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old'`)

	if err := b.db.ForgetKeys(t.Context()); err != nil {
		t.Error(err)
	}
	dropped, err := b.db.DropPartitions(t.Context(), 30*24*time.Hour)
	// Two days of the log, one of events, all three of responses.
	if err != nil || dropped != 6 {
		t.Errorf("dropped %d, %v; want 6", dropped, err)
	}
	if got := get[string](b, `SELECT concat_ws(' ', (SELECT count(*) FROM runnel.function_invocations), (SELECT count(*) FROM runnel.invocation_events WHERE created_at < now() - interval '1 day'),
		(SELECT count(*) FROM runnel.invocation_responses), (SELECT string_agg(key, ',') FROM runnel.idempotency_keys))`); got != "1 2 0 new" {
		t.Errorf("log, events, responses and keys left: %s, want 1 2 0 new", got)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.invocation_events WHERE created_at = $1`, needed); n != 1 {
		t.Error("the event of a job that is still to run was dropped")
	}
	b.exec(`UPDATE runnel.river_job SET state = 'completed', finalized_at = now() WHERE created_at < now() - interval '1 day'`)
	if dropped, err := b.db.DropPartitions(t.Context(), 30*24*time.Hour); err != nil || dropped != 1 {
		t.Errorf("then dropped %d, %v; want the one that was needed", dropped, err)
	}
	if _, err := b.db.DropPartitions(t.Context(), 0); runnel.CodeOf(err) != runnel.CodeInvalidRequest {
		t.Errorf("got %v", err)
	}
}

// A reader in the way must not make maintenance hang, nor fail.
func TestDropPartitions_PassesByWhatIsLocked(t *testing.T) {
	b := setup(t)
	b.oldDay(40)
	b.exec(`BEGIN; SELECT FROM runnel.function_invocations`)
	start := time.Now()
	dropped, err := b.db.DropPartitions(t.Context(), 30*24*time.Hour)
	if err != nil || dropped != 2 || time.Since(start) > 20*time.Second {
		t.Errorf("dropped %d after %s, %v; want the two that nobody reads", dropped, time.Since(start), err)
	}
	b.exec(`COMMIT`)
	if dropped, err := b.db.DropPartitions(t.Context(), 30*24*time.Hour); err != nil || dropped != 1 {
		t.Errorf("then dropped %d, %v; want 1", dropped, err)
	}
}
