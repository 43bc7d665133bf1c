package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// steadyRows is how many attempts are logged before anything is broken.
	steadyRows = 100
	// settleLimit is how long everything may take to be accounted for.
	settleLimit = 2 * time.Minute
)

// row is one fault: what is promised, how it is brought about, what may be left
// open.
type row struct {
	name     string
	promised string
	set      string // of programs; "": released
	workers  int    // 0: 2
	options  auditOptions
	// prepare runs before anything is started, arm after everything has been
	// deployed and before the load.
	prepare, arm func(context.Context, *bed) error
	// fault breaks something and returns when it is repaired.
	fault func(context.Context, *bed) error
	// after looks at what clients remember when all have heard; nil: the audit says it
	// all.
	after func(context.Context, *bed) error
	long  bool // runs beside the others
	// own replaces burst and load where the row makes its own.
	own bool
	// sees inverts the verdict: the programs are broken on purpose, and the audit has
	// to see it.
	sees bool
}

// outcome is what was seen of a row.
type outcome struct {
	Name, Promised string
	Sees           bool
	Audit          audit
	InFlight       int           // invocations that the fault met
	Settled        time.Duration // from the repair until all that was enqueued before it was accounted for
	Answered       time.Duration // from the repair until a call made after it was answered; 0: not measured
	Median         time.Duration // what answered callers waited
	Longest        time.Duration
	Notes          []string
	Skipped        string // why it could not be seen here
	Failed         string // the suite itself failed
}

func (o outcome) ok() bool {
	return o.Skipped != "" || o.Failed == "" && (len(o.Audit.Findings) > 0) == o.Sees
}

// run brings up a deployment, breaks it, and lays the ledgers side by side.
func (r row) run(ctx context.Context, p *programs, scale scale) outcome {
	o := outcome{Name: r.name, Promised: r.promised, Sees: r.sees}
	b, err := newBed(ctx, p)
	if err != nil {
		o.Failed = err.Error()
		return o
	}
	defer b.close()
	b.scale = scale
	if r.set != "" {
		b.set = r.set
	}
	err = r.drive(ctx, b, &o)
	o.Notes = b.notes
	if why := skip(""); errors.As(err, &why) {
		o.Skipped = string(why)
	} else if err != nil {
		o.Failed = fmt.Sprintf("%v\n%s", err, b.outputs())
	}
	return o
}

func (r row) drive(ctx context.Context, b *bed, o *outcome) error {
	if r.prepare != nil {
		if err := r.prepare(ctx, b); err != nil {
			return err
		}
	}
	workers := r.workers
	if workers == 0 {
		workers = 2
	}
	b.unrecorded = r.options.unrecorded
	if err := b.deploy(ctx, workers); err != nil {
		return err
	}
	if r.arm != nil {
		if err := r.arm(ctx, b); err != nil {
			return err
		}
	}
	if !r.own {
		if err := b.schedules(ctx, "allow"); err != nil {
			return err
		}
		b.load.start(ctx, b.scale.callers)
		if err := b.eventually(ctx, time.Minute, "a steady load", func() bool {
			n, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.function_invocations`)
			return err == nil && n >= steadyRows
		}); err != nil {
			return err
		}
		if err := b.load.burst(ctx, b.scale.burst); err != nil {
			return err
		}
	}
	waiting, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NULL`)
	if err != nil {
		return err
	}
	began, err := ask[time.Time](ctx, b, `SELECT clock_timestamp()`)
	if err != nil {
		return err
	}
	if err := r.fault(ctx, b); err != nil {
		return err
	}
	if !r.options.unfinished {
		if o.Settled, err = b.accounted(ctx); err != nil {
			return err
		}
	}
	met := func() (int, error) {
		since, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.invocation_events WHERE created_at >= $1`, began)
		return waiting + since, err
	}
	err = b.eventually(ctx, settleLimit, fmt.Sprintf("%d invocations over the fault", b.scale.inFlight), func() bool {
		o.InFlight, err = met()
		return err != nil || o.InFlight >= b.scale.inFlight
	})
	if err != nil {
		return err
	}
	if !r.own {
		_ = b.eventually(ctx, callLimit, "a call is answered", func() bool { return b.load.answeredAfter() > 0 })
		o.Answered = b.load.answeredAfter()
	}
	b.load.halt()
	o.Median, o.Longest = b.load.waits()
	if _, err := b.pool.Exec(ctx, `UPDATE runnel.schedules SET enabled = false`); err != nil {
		return err
	}
	if !r.options.unfinished {
		// Not an error: what does not finish is the audit's to name.
		_ = b.eventually(ctx, settleLimit, "every job is finished", func() bool {
			n, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NULL`)
			return err == nil && n == 0
		})
	}
	if err := b.load.store(ctx, b.pool); err != nil {
		return err
	}
	if r.after != nil {
		if err := r.after(ctx, b); err != nil {
			return err
		}
	}
	o.Audit, err = newAudit(ctx, b.pool, r.options)
	return err
}

// accounted waits until everything that has been enqueued so far has ended and
// tells how long that took, at most settleLimit.
func (b *bed) accounted(ctx context.Context) (time.Duration, error) {
	repaired := time.Now()
	b.load.awaitAnswer()
	until, err := ask[time.Time](ctx, b, `SELECT clock_timestamp()`)
	if err != nil {
		return 0, err
	}
	err = b.eventually(ctx, settleLimit, "everything enqueued before the repair has ended", func() bool {
		n, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NULL AND created_at <= $1 AND scheduled_at <= clock_timestamp()`, until)
		return err == nil && n == 0
	})
	if err != nil {
		b.note("%v", err)
	}
	return time.Since(repaired), nil
}
