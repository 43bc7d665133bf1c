package sql_test

import (
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

// Through PgBouncer, by the transaction and with nothing set for it: every statement
// may come to another session.
func TestThroughPgBouncer(t *testing.T) {
	t.Parallel()
	direct := pgtest.Empty(t)
	url := pgtest.Pooler(t, direct)

	// Migrations, by many at once; none leaves its lock behind.
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := sql.Migrate(t.Context(), url, nil); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	wg.Wait()
	if err := sql.Migrate(t.Context(), url, nil); err != nil {
		t.Fatal(err)
	}

	db, err := sql.Open(t.Context(), url, sql.Options{MaxConns: 8, ApplicationName: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	plain := use(t, direct)
	if !db.Pooled() || plain.db.Pooled() {
		t.Errorf("pooled: %v through PgBouncer, %v without", db.Pooled(), plain.db.Pooled())
	}
	b := &bundle{T: t, url: url, db: db, conn: plain.conn}
	b.deploy("hello", runnel.Config{})
	b.exec(`SELECT runnel.schedule('s', '* * * * * *', 'hello', overlap => 'queue')`)

	// All that web and workers do, by many at once.
	for range 8 {
		wg.Go(func() {
			for range 20 {
				id := sql.NewID()
				errs, err := db.Enqueue(t.Context(), []sql.Enqueue{{ID: id, Function: "hello", Trigger: runnel.TriggerHTTP, Event: []byte(`{}`), Respond: true, Caller: runnel.Caller{Role: runnel.RoleAnon}}})
				if err != nil || errs[0] != nil {
					t.Error(err, errs)
				}
				if _, err := db.Function(t.Context(), "hello"); err != nil {
					t.Error(err)
				}
				if _, err := db.Responses(t.Context(), []string{id}); err != nil {
					t.Error(err)
				}
				if _, err := db.Heartbeat(t.Context(), "w1"); err != nil {
					t.Error(err)
				}
				if _, _, err := db.SweepSchedules(t.Context(), func(_ sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
					at := now.Truncate(time.Second)
					return []sql.Tick{{Time: at, Outcome: sql.TickFired}}, at.Add(time.Second), nil
				}); err != nil {
					t.Error(err)
				}
				if _, _, err := db.Invocations(t.Context(), sql.Filter{Function: "hello", Status: runnel.StatusError, Limit: 10}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	attempts := b.fetch("w1")
	if len(attempts) < 161 {
		t.Errorf("%d jobs, want 160 and those of the schedule", len(attempts))
	}
	b.finish(attempts...)
	if n := get[int](b, `SELECT count(*) FROM runnel.river_job WHERE state = 'completed'`); n != len(attempts) {
		t.Errorf("%d of %d settled", n, len(attempts))
	}
	ledger, err := db.Ledger(t.Context(), get[int64](b, `SELECT id FROM runnel.schedules`), time.Time{})
	if err != nil || len(ledger.Ticks) == 0 || ledger.Twice != 0 {
		t.Errorf("ledger: %+v, %v", ledger, err)
	}
	// Nothing was set for whoever is given the session next.
	conn := connect(t, url+"&default_query_exec_mode=simple_protocol")
	for range 10 {
		var mode string
		if err := conn.QueryRow(t.Context(), `SHOW plan_cache_mode`).Scan(&mode); err != nil || mode != "auto" {
			t.Fatalf("plan_cache_mode is %s, %v", mode, err)
		}
	}
}
