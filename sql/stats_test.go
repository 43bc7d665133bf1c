package sql_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
)

const logRow = `INSERT INTO runnel.function_invocations (id, attempt, created_at, function_id, function_name, trigger, status, role, duration_ms, started_at, finished_at)
	SELECT gen_random_uuid(), 1, now(), f.id, f.name, 'sql', $2, 'anon', n, now(), $3::timestamptz FROM runnel.functions f, generate_series(1, $4::int) n WHERE f.name = $1`

func TestStatsOutliveTheLog(t *testing.T) {
	b := setup(t)
	limited(b, "f", runnel.FlowConfig{})
	limited(b, "idle", runnel.FlowConfig{})
	now := time.Now()
	b.exec(logRow, "f", "success", now, 1000)
	b.exec(logRow, "f", "timeout", now, 3)
	b.exec(logRow, "f", "error", now.Add(-5*time.Hour), 7)
	b.exec(logRow, "f", "success", now.Add(-50*24*time.Hour), 10)
	b.exec(logRow, "f", "success", now.Add(-50*24*time.Hour-time.Hour), 10)
	b.exec(`INSERT INTO runnel.function_invocations (id, attempt, created_at, function_id, function_name, trigger, status, role, finished_at)
		SELECT gen_random_uuid(), 0, now(), id, name, 'sql', 'skipped', 'anon', now() FROM runnel.functions WHERE name = 'f'`)
	check := func(when string) {
		t.Helper()
		s, err := b.db.Stats(t.Context(), "f", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if s.Attempts != 1031 || s.ByStatus[runnel.StatusSuccess] != 1020 || s.ByStatus[runnel.StatusTimeout] != 3 || s.ByStatus[runnel.StatusError] != 7 ||
			s.ByStatus[runnel.StatusSkipped] != 1 || len(s.ByStatus) != 7 || math.Abs(s.ErrorRate-10.0/1030) > 1e-9 || s.LastAt == nil {
			t.Errorf("%s: %+v", when, s)
		}
		for got, want := range map[float64]float64{s.Duration.P50: 490, s.Duration.P95: 949, s.Duration.P99: 990, s.Duration.Mean: 486} {
			if got < want*0.9 || got > want*1.1 {
				t.Errorf("%s: %.0f ms, want %.0f: %+v", when, got, want, s.Duration)
			}
		}
		s, err = b.db.Stats(t.Context(), "f", now.Add(-time.Minute))
		if err != nil || s.Attempts != 1004 || s.Since == nil {
			t.Errorf("%s, lately: %+v, %v", when, s, err)
		}
	}
	check("counted")
	if n, err := b.db.CompactCounts(t.Context()); n == 0 || err != nil {
		t.Error(n, err)
	}
	check("added up")
	if n := get[int](b, `SELECT count(*)::int FROM runnel.invocation_counts_new`); n != 0 {
		t.Errorf("%d rows are left to be added up", n)
	}
	if n := get[int](b, `SELECT count(DISTINCT hour)::int FROM runnel.invocation_counts WHERE hour < now() - interval '35 days'`); n > 2 {
		t.Errorf("old counts are of %d times, want whole days", n)
	}
	b.exec(`TRUNCATE runnel.function_invocations`)
	check("without the log")
	if got := get[int](b, `SELECT attempts::int FROM runnel.function_stats WHERE function_name = 'f'`); got != 1031 {
		t.Errorf("the view counts %d", got)
	}
	if s, err := b.db.Stats(t.Context(), "idle", time.Time{}); err != nil || s.Attempts != 0 || s.LastAt != nil || s.ByStatus[runnel.StatusSuccess] != 0 {
		t.Errorf("idle: %+v, %v", s, err)
	}
	if _, err := b.db.Stats(t.Context(), "nobody", time.Time{}); runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
		t.Error(err)
	}
}

// Who may read the statistics needs no right to the tables behind them.
func TestStatsCanBeGranted(t *testing.T) {
	b := setup(t)
	limited(b, "f", runnel.FlowConfig{})
	b.exec(logRow, "f", "success", time.Now(), 2)
	role := "stats_" + b.db.Pool().Config().ConnConfig.Database[12:20]
	b.exec(`CREATE ROLE ` + role)
	t.Cleanup(func() {
		_, _ = b.db.Pool().Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role)
	})
	b.exec(`GRANT USAGE ON SCHEMA runnel TO ` + role + `; GRANT SELECT ON runnel.function_stats TO ` + role + `; GRANT EXECUTE ON FUNCTION runnel.stats TO ` + role)
	b.exec(`SET ROLE ` + role)
	if n := get[int](b, `SELECT attempts::int FROM runnel.function_stats`); n != 2 {
		t.Errorf("%d attempts", n)
	}
	if _, err := b.conn.Exec(t.Context(), `SELECT FROM runnel.invocation_counts_new`); err == nil {
		t.Error("the table can be read")
	}
}

func TestOldHoursBecomeDays(t *testing.T) {
	b := setup(t)
	limited(b, "f", runnel.FlowConfig{})
	b.exec(logRow, "f", "success", time.Now().Add(-20*24*time.Hour), 48)
	if _, err := b.db.CompactCounts(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.exec(`UPDATE runnel.invocation_counts SET hour = date_trunc('day', now() - interval '60 days', 'UTC') + (bucket % 24) * interval '1 hour'`)
	if _, err := b.db.CompactCounts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get[string](b, `SELECT count(DISTINCT hour) || ' ' || sum(attempts) FROM runnel.invocation_counts`); got != "1 48" {
		t.Errorf("times and attempts: %s", got)
	}
}

// Writers, several who add up and a reader at once: the reader never sees less than
// before, and in the end everything is counted once.
func TestCountsAreExactUnderFire(t *testing.T) {
	b := setup(t)
	limited(b, "f", runnel.FlowConfig{})
	const writers, batches, rows = 4, 40, 5
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var adding, writing sync.WaitGroup
	for range 3 {
		db := use(t, b.url).db
		adding.Go(func() {
			for ctx.Err() == nil {
				if _, err := db.CompactCounts(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	reader := use(t, b.url)
	adding.Go(func() {
		for last := int64(0); ctx.Err() == nil; {
			s, err := reader.db.Stats(ctx, "f", time.Time{})
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			if s.Attempts < last {
				t.Errorf("%d attempts after %d", s.Attempts, last)
			}
			last = s.Attempts
		}
	})
	for range writers {
		db := use(t, b.url).db
		writing.Go(func() {
			for range batches {
				if _, err := db.Pool().Exec(ctx, logRow, "f", "success", time.Now(), rows); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	cancel()
	adding.Wait()
	if s, err := b.db.Stats(t.Context(), "f", time.Time{}); err != nil || s.Attempts != writers*batches*rows {
		t.Errorf("%d attempts are counted, want %d (%v)", s.Attempts, writers*batches*rows, err)
	}
}

// Somebody reads the log for a long time while old days are dropped: writers go on.
func TestDroppingDoesNotBlockWriters(t *testing.T) {
	b := setup(t)
	limited(b, "f", runnel.FlowConfig{})
	b.exec(`CREATE TABLE runnel.function_invocations_20200101 PARTITION OF runnel.function_invocations FOR VALUES FROM ('2020-01-01Z') TO ('2020-01-02Z')`)
	b.exec(`CREATE TABLE runnel.invocation_events_20200101 PARTITION OF runnel.invocation_events FOR VALUES FROM ('2020-01-01Z') TO ('2020-01-02Z')`)
	reader := b.session()
	execute(t, reader, `BEGIN`)
	execute(t, reader, `SELECT count(*) FROM runnel.function_invocations`)
	dropped := make(chan error, 1)
	dropper := use(t, b.url).db
	go func() {
		_, err := dropper.DropPartitions(t.Context(), 24*time.Hour)
		dropped <- err
	}()
	var worst time.Duration
	for end := false; !end; {
		began := time.Now()
		b.exec(logRow, "f", "success", time.Now(), 1)
		worst = max(worst, time.Since(began))
		select {
		case err := <-dropped:
			if err != nil {
				t.Error(err)
			}
			end = true
		default:
		}
	}
	if worst > 1500*time.Millisecond {
		t.Errorf("a writer waited %s", worst)
	}
	if get[bool](b, `SELECT to_regclass('runnel.function_invocations_20200101') IS NULL`) {
		t.Error("the partition is gone although somebody reads it")
	}
	execute(t, reader, `COMMIT`)
	if n, err := b.db.DropPartitions(t.Context(), 24*time.Hour); n == 0 || err != nil {
		t.Error(n, err)
	}
	if get[bool](b, `SELECT to_regclass('runnel.function_invocations_20200101') IS NOT NULL`) {
		t.Error("the partition is still there")
	}
}

func TestLogShrinksFromItsOldestDay(t *testing.T) {
	b := setup(t)
	for _, day := range []string{"20200101", "20200102", "20200103"} {
		b.exec(`CREATE TABLE runnel.function_invocations_` + day + ` PARTITION OF runnel.function_invocations FOR VALUES FROM (date '` + day + `'::timestamp AT TIME ZONE 'UTC') TO ((date '` + day + `' + 1)::timestamp AT TIME ZONE 'UTC')`)
		b.exec(`INSERT INTO runnel.function_invocations (id, attempt, created_at, function_name, trigger, status, role, error_message, finished_at)
			SELECT gen_random_uuid(), 1, (date '` + day + `')::timestamp AT TIME ZONE 'UTC' + interval '1 h', 'f', 'sql', 'error', 'anon', repeat('x', 1000), now() FROM generate_series(1, 1000)`)
	}
	size := get[int64](b, `SELECT runnel.log_size()`)
	if day, left, err := b.db.ShrinkLog(t.Context(), size); !day.IsZero() || left != size || err != nil {
		t.Error(day, left, err)
	}
	day, left, err := b.db.ShrinkLog(t.Context(), size-1)
	if err != nil || day.Format("20060102") != "20200101" || left >= size {
		t.Errorf("dropped %s, %d of %d bytes left, %v", day, left, size, err)
	}
	if day, _, err = b.db.ShrinkLog(t.Context(), size-1); !day.IsZero() || err != nil {
		t.Error(day, err)
	}
	for range 3 { // to nothing: but today stays
		if _, _, err = b.db.ShrinkLog(t.Context(), 1); err != nil {
			t.Error(err)
		}
	}
	if got := get[string](b, `SELECT count(*) FILTER (WHERE c.relname ~ '_202001') || ' ' || bool_or(c.relname ~ to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')) FROM pg_class c WHERE c.relname ~ '^function_invocations_'`); got != "0 true" {
		t.Errorf("old partitions, and today's: %s", got)
	}
	if _, _, err = b.db.ShrinkLog(t.Context(), 0); err == nil {
		t.Error("a size of 0 was accepted")
	}
}
