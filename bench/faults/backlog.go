package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
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

// fetchSQL is the shape of River's fetch: the cost that grows with a queue.
const fetchSQL = `SELECT id FROM runnel.river_job
	WHERE state = 'available' AND queue = 'functions' AND scheduled_at <= now()
	ORDER BY priority, scheduled_at, id LIMIT 24 FOR UPDATE SKIP LOCKED`

func backlog(ctx context.Context, b *bed) error {
	if err := b.upload(ctx, "bulk", emptyAnswer(), nil); err != nil {
		return err
	}
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
			if err := b.noteFetch(ctx); err != nil {
				return err
			}
		}
	}
	b.note("%d jobs enqueued in %s", b.scale.backlog, time.Since(begun).Round(time.Second))
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
		if err := w.end(15, 30*time.Second); err != nil {
			return err
		}
	}
	_, err = b.pool.Exec(ctx, `DELETE FROM runnel.river_job WHERE state = 'available'`)
	if err == nil {
		_, err = b.pool.Exec(ctx, `DELETE FROM runnel.invocation_events e WHERE NOT EXISTS (SELECT FROM runnel.river_job j WHERE (j.args ->> 'id')::uuid = e.id)`)
	}
	return err
}

// noteFetch measures a fetch of 24 jobs, the best of five.
func (b *bed) noteFetch(ctx context.Context) error {
	n, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'available'`)
	if err != nil {
		return err
	}
	best := time.Hour
	for range 5 {
		tx, err := b.pool.Begin(ctx)
		if err != nil {
			return err
		}
		begun := time.Now()
		_, err = tx.Exec(ctx, fetchSQL)
		best = min(best, time.Since(begun))
		_ = tx.Rollback(ctx)
		if err != nil {
			return err
		}
	}
	b.note("a fetch of 24 jobs from %d: %s", n, best.Round(10*time.Microsecond))
	return nil
}
