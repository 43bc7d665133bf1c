package sql_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

// take fetches jobs and answers their ids.
type take func(ctx context.Context, slots int) ([]int64, error)

// takers are River's own fetch and ours, on one database.
func takers(db *sql.DB) map[string]take {
	river := riverpgxv5.New(db.Pool()).GetExecutor()
	return map[string]take{
		"river": func(ctx context.Context, slots int) (ids []int64, err error) {
			got, err := river.JobGetAvailable(ctx, &riverdriver.JobGetAvailableParams{
				ClientID: "w", Kind: []string{sql.Kind}, MaxAttemptedBy: 100, MaxToLock: slots, Queue: sql.Queue, Schema: sql.Schema})
			if err != nil {
				return nil, err
			}
			for _, j := range got.Jobs {
				ids = append(ids, j.ID)
			}
			return ids, nil
		},
		"runnel": func(ctx context.Context, slots int) (ids []int64, err error) {
			got, err := db.Fetch(ctx, sql.Fetch{Worker: "w", Slots: slots, MaxAttemptedBy: 100})
			if err != nil {
				return nil, err
			}
			for _, j := range got.Jobs {
				ids = append(ids, j.ID)
			}
			return ids, nil
		},
	}
}

func benchDB(b *testing.B) *sql.DB {
	b.Helper()
	db, err := sql.Open(b.Context(), pgtest.Database(b), sql.Options{MaxConns: 8, ApplicationName: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(db.Close)
	return db
}

func fill(b *testing.B, pool *pgxpool.Pool, jobs, functions int) {
	b.Helper()
	_, err := pool.Exec(b.Context(), `INSERT INTO runnel.river_job (kind, queue, max_attempts, args)
		SELECT 'invoke', 'functions', 1, jsonb_build_object('id', runnel.uuid_v7(), 'function', 'f' || n % $2) FROM generate_series(1, $1) n`, jobs, functions)
	if err != nil {
		b.Fatal(err)
	}
}

// One fetch of ten jobs, and their end, which is not timed.
func BenchmarkFetch(b *testing.B) {
	for _, size := range []struct{ jobs, functions int }{{1_000, 1}, {10_000, 1}, {100_000, 1}, {100_000, 10}, {100_000, 100}, {100_000, 1000}, {100_000, 10_000}, {1_000_000, 1}} {
		db := benchDB(b)
		fill(b, db.Pool(), size.jobs+20_000, size.functions)
		if _, err := db.Pool().Exec(b.Context(), `VACUUM ANALYZE runnel.river_job`); err != nil {
			b.Fatal(err)
		}
		for _, name := range []string{"river", "runnel"} {
			b.Run(fmt.Sprintf("jobs=%d/functions=%d/%s", size.jobs, size.functions, name), func(b *testing.B) {
				take := takers(db)[name]
				for b.Loop() {
					ids, err := take(b.Context(), 10)
					if err != nil || len(ids) != 10 {
						b.Fatal(len(ids), err)
					}
					b.StopTimer()
					if _, err := db.Pool().Exec(b.Context(), `UPDATE runnel.river_job SET state = 'completed', finalized_at = now() WHERE id = ANY($1)`, ids); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			})
		}
	}
}

// One job that was just inserted, fetched alone: what a single call pays.
func BenchmarkFetchOne(b *testing.B) {
	db := benchDB(b)
	for _, name := range []string{"river", "runnel", "river", "runnel"} {
		b.Run(name, func(b *testing.B) {
			take := takers(db)[name]
			for b.Loop() {
				b.StopTimer()
				fill(b, db.Pool(), 1, 1)
				b.StartTimer()
				ids, err := take(b.Context(), 10)
				if err != nil || len(ids) != 1 {
					b.Fatal(len(ids), err)
				}
				b.StopTimer()
				if _, err := db.Pool().Exec(b.Context(), `UPDATE runnel.river_job SET state = 'completed', finalized_at = now() WHERE id = ANY($1)`, ids); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// 50,000 jobs that do nothing, through four workers of 100 slots.
func BenchmarkFetchThroughput(b *testing.B) {
	const jobs = 50_000
	for _, name := range []string{"river", "runnel", "river", "runnel"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				db := benchDB(b)
				fill(b, db.Pool(), jobs, 5)
				b.StartTimer()
				var done atomic.Int64
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						take := takers(db)[name]
						for done.Load() < jobs {
							ids, err := take(b.Context(), 100)
							if err == nil && len(ids) > 0 {
								_, err = db.Pool().Exec(b.Context(), `UPDATE runnel.river_job SET state = 'completed', finalized_at = now() WHERE id = ANY($1)`, ids)
							}
							if err != nil {
								b.Error(err)
								return
							}
							done.Add(int64(len(ids)))
						}
					})
				}
				wg.Wait()
			}
			b.ReportMetric(jobs*float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// A hundred attempts settled by one statement, with and without their being counted.
func BenchmarkSettle(b *testing.B) {
	db := benchDB(b)
	for _, what := range []string{"ENABLE", "DISABLE", "ENABLE", "DISABLE"} {
		b.Run(what, func(b *testing.B) {
			if _, err := db.Pool().Exec(b.Context(), `ALTER TABLE runnel.function_invocations `+what+` TRIGGER count_invocations`); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				fill(b, db.Pool(), 100, 3)
				ids, err := takers(db)["runnel"](b.Context(), 100)
				if err != nil {
					b.Fatal(err)
				}
				batch := make([]sql.Settlement, len(ids))
				for i, id := range ids {
					now := time.Now()
					batch[i] = sql.Settlement{JobID: id, Attempt: 1, State: sql.StateCompleted, Row: runnel.Invocation{
						ID: sql.NewID(), FunctionName: "f", Trigger: runnel.TriggerSQL, Status: runnel.StatusSuccess, Role: runnel.RoleAnon,
						DurationMS: float64(i) / 10, StartedAt: &now, FinishedAt: now, Result: []byte(`{"a":"result"}`)}}
				}
				b.StartTimer()
				if _, err := db.Settle(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
