package sql

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
)

// Outcomes of a tick.
const (
	TickFired    = "fired"
	TickCaughtUp = "caught_up" // fired late, by the schedule's catch_up policy
	TickSkipped  = "skipped"
)

// maxWaiting bounds the runs of a schedule with overlap "queue" that wait for the
// one under way. It is what catch_up "all" can make at once.
const maxWaiting = 100

// Schedule is a row of runnel.schedules that is due.
type Schedule struct {
	ID        int64
	Name      string
	Function  string
	Enabled   bool
	Cron      string     // as runnel.check_cron spells it
	Timezone  string     // IANA name
	CatchUp   string     // "all" (newest 100), "latest" or "none"
	Overlap   string     // "allow", "skip" or "queue"; SweepSchedules sees to it
	Cursor    time.Time  // matches up to here have been considered
	NextRun   time.Time  // zero: not computed yet
	Watched   time.Time  // a worker has been there since, without a break
	Revisions []Revision // the one that the cursor is in, and those after it
}

// Revision says which expression counted for the matches after From, up to and
// including the From of the next one.
type Revision struct {
	From     time.Time `json:"from"`
	Cron     string    `json:"cron"`
	Timezone string    `json:"timezone"`
	Enabled  bool      `json:"enabled"`
}

// Tick is one match of a schedule and what became of it.
type Tick struct {
	Time    time.Time // whole seconds
	Outcome string
	Reason  string // of TickSkipped, else ""
	waiting bool   // starts when the run before it has finished
}

// sweepLimit bounds the schedules of one transaction, so that a thundering
// minute is shared among sweepers instead of being held by one.
const sweepLimit = 100

// forever is the wait when no schedule has a next run.
const forever = time.Duration(math.MaxInt64)

// SweepSchedules fires the schedules that are due, in one transaction: for each
// it asks plan what to do, by the database's time, and records ticks, jobs and
// the next run. Any process may call it at any time: a schedule is in one sweep
// at once, and a (schedule, time) becomes one job at most, ever (FUNC-T2). Before
// that it starts the runs that waited for one that has finished.
//
// plan answers the matches in (s.Cursor, now], oldest first, and the first match
// after now, zero if there is none. The cursor moves to now, or to the last of the
// ticks when next is not after now because there were too many. Fired ticks become
// skipped where the function is disabled, or the schedule does not overlap and a
// run of it has not finished; with overlap "queue" they wait for it, at most
// maxWaiting of them. A run is finished when it will not be tried again. Where plan
// fails, its error is recorded, the schedule is left for a minute, and the sweep
// goes on; those errors are returned together at the end.
//
// fired counts jobs, waiting ones included. wait is how long until something is
// due, by the database's clock: 0 when there is more to do now, very long when
// there is nothing.
func (db *DB) SweepSchedules(ctx context.Context, plan func(s Schedule, now time.Time) (ticks []Tick, next time.Time, err error)) (fired int, wait time.Duration, err error) {
	var planErrs error
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if err := releaseRuns(ctx, tx); err != nil {
			return err
		}
		due, err := dueSchedules(ctx, tx)
		if err != nil {
			return err
		}
		var w sweep
		for _, d := range due {
			ticks, next, err := plan(d.Schedule, d.now)
			if err != nil {
				planErrs = errors.Join(planErrs, runnel.Errorf(runnel.CodeInvalidCron, "schedule %q: %w", d.Name, err))
				w.move(d.ID, nil, d.now.Add(time.Minute), clean(err.Error()))
				continue
			}
			w.add(d, ticks)
			cursor := &d.now
			if !next.IsZero() && !next.After(d.now) {
				cursor = nil
				if len(ticks) > 0 {
					cursor = &ticks[len(ticks)-1].Time
				}
			}
			w.move(d.ID, cursor, next, "")
		}
		if fired, err = w.write(ctx, tx); err != nil {
			return err
		}
		var seconds *float64
		if err := tx.QueryRow(ctx, nextSweepSQL).Scan(&seconds); err != nil {
			return err
		}
		switch {
		case len(due) == sweepLimit:
			wait = 0
		case seconds == nil || *seconds > forever.Seconds()/2:
			wait = forever
		default:
			wait = max(0, time.Duration(*seconds*float64(time.Second)))
		}
		return nil
	})
	if err != nil {
		return 0, 0, fault("sweep schedules", err)
	}
	return fired, wait, planErrs
}

// releaseRuns starts the runs that waited for one that has finished.
func releaseRuns(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, waitingSQL)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(ids) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, releaseSQL, ids)
	return err
}

// dueSchedule is a schedule under this sweep's lock.
type dueSchedule struct {
	Schedule
	functionEnabled bool
	running         bool // does not overlap, and a run has not finished
	waiting         int  // runs that wait for it
	now             time.Time
}

func dueSchedules(ctx context.Context, tx pgx.Tx) ([]dueSchedule, error) {
	rows, err := tx.Query(ctx, dueSQL, sweepLimit)
	if err != nil {
		return nil, err
	}
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d dueSchedule, err error) {
		var next *time.Time
		err = row.Scan(&d.ID, &d.Name, &d.Function, &d.functionEnabled, &d.Enabled, &d.Cron, &d.Timezone, &d.CatchUp, &d.Overlap,
			&d.Cursor, &next, &d.now, &d.Watched)
		d.NextRun = deref(next)
		return d, err
	})
	if err != nil || len(due) == 0 {
		return nil, err
	}
	at := make(map[int64]*dueSchedule, len(due))
	ids := make([]int64, len(due))
	for i := range due {
		ids[i], at[due[i].ID] = due[i].ID, &due[i]
	}
	if rows, err = tx.Query(ctx, dueRunsSQL, ids); err != nil {
		return nil, err
	}
	var id int64
	var revisions []Revision
	var running bool
	var waiting int
	_, err = pgx.ForEachRow(rows, []any{&id, &revisions, &running, &waiting}, func() error {
		d := at[id]
		d.Revisions, d.running, d.waiting = revisions, running, waiting
		revisions = nil
		return nil
	})
	return due, err
}

// sweep collects what a sweep writes.
type sweep struct {
	schedules         []int64 // of ticks
	times             []time.Time
	outcomes, reasons []string
	waiting           []bool

	moved   []int64
	cursors []*time.Time
	nexts   []*time.Time
	errors  []string
}

func (w *sweep) add(d dueSchedule, ticks []Tick) {
	for _, t := range ticks {
		if t.Outcome != TickSkipped {
			switch {
			case !d.functionEnabled:
				t.Outcome, t.Reason = TickSkipped, "function disabled"
			case d.Overlap == "skip" && d.running:
				t.Outcome, t.Reason = TickSkipped, "overlap"
			case d.Overlap == "queue" && d.waiting == maxWaiting:
				t.Outcome, t.Reason = TickSkipped, "overlap: 100 runs wait already"
			case d.Overlap == "queue" && (d.running || d.waiting > 0):
				t.waiting = true
				d.waiting++
			default:
				d.running = true // for the ticks after this one
			}
		}
		w.schedules, w.times, w.waiting = append(w.schedules, d.ID), append(w.times, t.Time), append(w.waiting, t.waiting)
		w.outcomes, w.reasons = append(w.outcomes, t.Outcome), append(w.reasons, t.Reason)
	}
}

func (w *sweep) move(schedule int64, cursor *time.Time, next time.Time, problem string) {
	w.moved, w.cursors, w.errors = append(w.moved, schedule), append(w.cursors, cursor), append(w.errors, problem)
	if next.IsZero() {
		w.nexts = append(w.nexts, nil)
	} else {
		w.nexts = append(w.nexts, &next)
	}
}

func (w *sweep) write(ctx context.Context, tx pgx.Tx) (fired int, err error) {
	if len(w.schedules) > 0 {
		if err := tx.QueryRow(ctx, tickSQL, w.schedules, w.times, w.outcomes, w.reasons, w.waiting).Scan(&fired, nil); err != nil {
			return 0, err
		}
	}
	if len(w.moved) > 0 {
		_, err = tx.Exec(ctx, sweptSQL, w.moved, w.cursors, w.nexts, w.errors)
	}
	return fired, err
}
