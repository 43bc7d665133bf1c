package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/runnelhq/runnel/sql"
)

// backlogRow is a queue of a million jobs.
func backlogRow() row {
	return row{
		name:     "a backlog of 1,000,000 jobs",
		promised: "workers take jobs at the speed of an empty queue; a call over HTTP meanwhile is answered within its wait",
		own:      true,
		options:  auditOptions{unfinished: true},
		fault:    backlog,
	}
}

func backlog(ctx context.Context, b *bed) error {
	if err := b.upload(ctx, "bulk", emptyAnswer(), nil); err != nil {
		return err
	}
	// Nobody works while it is made, so that a fetch can be measured at each size.
	for _, w := range b.workers {
		if err := w.end(syscall.SIGTERM, 30*time.Second); err != nil {
			return err
		}
	}
	db, err := sql.Open(ctx, b.url, sql.Options{MaxConns: 1, ApplicationName: "faults"})
	if err != nil {
		return err
	}
	defer db.Close()
	begun := time.Now()
	for have := 0; have < b.scale.backlog; {
		n := min(10_000, b.scale.backlog-have)
		if _, err := b.pool.Exec(ctx, `SELECT runnel.enqueue(f, 'sql', array_agg(runnel.uuid_v7()),
			array_agg('{"trigger":"sql","payload":{"key":"bulk-' || i || '"}}'))
			FROM runnel.functions f, generate_series($1::int, $2::int) i WHERE f.name = 'bulk' GROUP BY f.*`, have+1, have+n); err != nil {
			return fmt.Errorf("backlog: %w", err)
		}
		have += n
		if have == 10_000 || have == 100_000 || have == b.scale.backlog {
			if err := b.noteFetch(ctx, db, have); err != nil {
				return err
			}
		}
	}
	b.note("%d jobs enqueued in %s", b.scale.backlog, time.Since(begun).Round(time.Second))
	for i := range b.workers {
		if b.workers[i], err = b.start(ctx, b.set, "worker"); err != nil {
			return err
		}
	}
	var took []time.Duration
	unanswered := 0
	before, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.function_invocations`)
	if err != nil {
		return err
	}
	drain := time.Now()
	for time.Since(drain) < 20*time.Second {
		s := sent{Key: b.load.key("http"), Trigger: "http", Outcome: unknown, Own: true}
		asked := time.Now()
		s.ask(b.http, b.load.base(), "quick")
		b.load.remember(s)
		if s.Status == http.StatusOK {
			took = append(took, time.Since(asked))
		} else {
			unanswered++
		}
	}
	after, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.function_invocations`)
	if err != nil {
		return err
	}
	b.note("%.0f jobs/s worked off meanwhile", float64(after-before)/time.Since(drain).Seconds())
	slices.Sort(took)
	if len(took) > 0 {
		b.note("HTTP calls meanwhile: %d answered, median %s, slowest %s; %d not within the wait of %s", len(took),
			took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), unanswered, waitLimit)
	} else {
		b.note("HTTP calls meanwhile: none was answered within the wait of %s (%d asked)", waitLimit, unanswered)
	}
	// The rest is not waited for: the audit looks at what was done.
	for _, w := range b.workers {
		if err := w.end(syscall.SIGTERM, 30*time.Second); err != nil {
			return err
		}
	}
	return nil
}

// noteFetch measures a worker's fetch of 12 jobs, the best of twenty, and gives them
// back.
func (b *bed) noteFetch(ctx context.Context, db *sql.DB, of int) error {
	if _, err := b.pool.Exec(ctx, `ANALYZE runnel.river_job`); err != nil {
		return err
	}
	best := time.Hour
	for range 20 {
		begun := time.Now()
		got, err := db.Fetch(ctx, sql.Fetch{Worker: "faults", Slots: 12, MaxAttemptedBy: 100})
		if err != nil {
			return err
		}
		best = min(best, time.Since(begun))
		for _, j := range got.Jobs {
			if err := db.HandBack(ctx, j.ID, j.Attempt); err != nil {
				return err
			}
		}
		if len(got.Jobs) != 12 {
			return fmt.Errorf("a fetch of 12 jobs from %d brought %d", of, len(got.Jobs))
		}
	}
	b.note("a fetch of 12 jobs from %d takes %s", of, best.Round(10*time.Microsecond))
	return nil
}
