package jobs

import (
	"errors"
	"fmt"
	"time"

	"github.com/runnelhq/runnel/sql"
)

const (
	// sweepInterval bounds how late a new or changed schedule is noticed.
	sweepInterval = time.Second
	// onTime is how old a match may be and still count as merely late. Older
	// ones were missed, and the schedule's catch_up decides about them.
	onTime = 30 * time.Second
	// maxCaughtUp is how many missed matches catch_up = all runs.
	maxCaughtUp = 100
	// maxMatches bounds the matches one sweep looks at for one schedule; the
	// rest follows in the next sweep, at once. A cron that matches every second
	// reaches it after 5 hours without any worker.
	maxMatches = 20_000
	// noMoreMatches is the next run of a cron that will never match again,
	// such as 30 February.
	noMoreMatches = 100 * 365 * 24 * time.Hour
)

// schedule fires schedules until the worker stops. Any number of workers sweep:
// each schedule is taken by one at a time, by row lock, and every decision about
// a match commits with its tick row.
func (w *Worker) schedule() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.sweeping.Done():
			return
		case <-timer.C:
		}
		timer.Reset(w.sweepSchedules())
	}
}

// sweepSchedules does one sweep and tells when the next is due.
func (w *Worker) sweepSchedules() time.Duration {
	var lags []time.Duration
	var outcomes []string
	_, wait, err := w.db.SweepSchedules(w.sweeping, func(s sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
		ticks, next, err := plan(s, now)
		for _, t := range ticks {
			outcomes = append(outcomes, t.Outcome)
			if t.Outcome == sql.TickFired {
				lags = append(lags, now.Sub(t.Time))
			}
		}
		return ticks, next, err
	})
	if err != nil {
		if w.sweeping.Err() == nil {
			w.log.Warn("sweep of schedules failed; trying again", "error", err)
		}
		return sweepInterval
	}
	for _, lag := range lags {
		w.met.scheduleLag.Observe(lag.Seconds())
	}
	for _, o := range outcomes {
		w.met.ticks.WithLabelValues(o).Inc()
	}
	return min(max(wait, 0), sweepInterval)
}

// plan decides about every match of s after its cursor and up to now.
func plan(s sql.Schedule, now time.Time) (ticks []sql.Tick, next time.Time, err error) {
	nextMatch, err := ParseCron(s.Cron, s.Timezone)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("schedule %s: %w", s.Name, err)
	}
	var missed, due []time.Time
	at := s.Cursor
	for n := 0; ; n++ {
		at = nextMatch(at)
		if at.IsZero() {
			at = now.Add(noMoreMatches)
			break
		}
		if at.After(now) || n == maxMatches {
			break
		}
		if now.Sub(at) > onTime {
			missed = append(missed, at)
		} else {
			due = append(due, at)
		}
	}
	// When the bound cut the list, newer matches follow in the next sweep, and
	// none of these is the latest.
	complete := at.After(now)
	keep := 0
	switch s.CatchUp {
	case "all":
		keep = min(maxCaughtUp, len(missed))
	case "latest":
		if len(missed) > 0 && len(due) == 0 {
			keep = 1
		}
	case "none":
	default:
		return nil, time.Time{}, errors.New("schedule " + s.Name + ": unknown catch_up " + s.CatchUp)
	}
	if !complete {
		keep = 0
	}
	for i, t := range missed {
		if i < len(missed)-keep {
			ticks = append(ticks, sql.Tick{Time: t, Outcome: sql.TickSkipped, Reason: "missed: no worker was running, catch_up is " + s.CatchUp})
		} else {
			ticks = append(ticks, sql.Tick{Time: t, Outcome: sql.TickCaughtUp})
		}
	}
	for _, t := range due {
		ticks = append(ticks, sql.Tick{Time: t, Outcome: sql.TickFired})
	}
	return ticks, at, nil
}
