package jobs

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/runnelhq/runnel/sql"
)

const (
	// sweepInterval bounds how late a new or changed schedule is noticed.
	sweepInterval = time.Second
	// onTime is how old a match may be and still count as merely late: the time
	// that a restart takes. Older ones were missed, and the schedule's catch_up
	// decides about them, and about those that came while no worker was there and
	// were followed by another since.
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
		case <-w.runEnded:
			timer.Stop()
		}
		timer.Reset(w.sweepSchedules())
	}
}

// scheduledRunEnded has the next sweep come at once: a run may wait for the one
// that has ended. Where this is missed, the next sweep finds it within a second.
func (w *Worker) scheduledRunEnded() {
	select {
	case w.runEnded <- struct{}{}:
	default:
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

// plan decides about every match of s after its cursor and up to now: of what it
// is now, and of what it was before it was changed. A match that came before a
// change and that no sweep came to is skipped.
func plan(s sql.Schedule, now time.Time) (ticks []sql.Tick, next time.Time, err error) {
	current, err := ParseCron(s.Cron, s.Timezone)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("schedule %s: %w", s.Name, err)
	}
	cursor := s.Cursor
	for i, r := range s.Revisions {
		if i == len(s.Revisions)-1 || !r.Enabled {
			continue
		}
		until := s.Revisions[i+1].From
		reason := "changed: the schedule has another cron or timezone since"
		if !s.Revisions[i+1].Enabled {
			reason = "disabled: the schedule was disabled before a worker came to it"
		}
		for at := range matches(r, cursor, until) {
			if len(ticks) == maxMatches || at.After(now) {
				return ticks, at, nil
			}
			ticks = append(ticks, sql.Tick{Time: at, Outcome: sql.TickSkipped, Reason: reason})
		}
	}
	if !s.Enabled {
		return ticks, time.Time{}, nil
	}
	if n := len(s.Revisions); n > 0 && s.Revisions[n-1].From.After(cursor) {
		cursor = s.Revisions[n-1].From
	}
	more, next, err := planCurrent(s, current, cursor, now, maxMatches-len(ticks))
	return append(ticks, more...), next, err
}

// matches are those of a revision in (after, until] that are its own.
func matches(r sql.Revision, after, until time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		if r.From.After(after) {
			after = r.From
		}
		next, err := ParseCron(r.Cron, r.Timezone)
		if err != nil {
			return // somebody wrote it by hand; it never matched
		}
		for at := next(after); !at.IsZero() && !at.After(until) && yield(at); {
			at = next(at)
		}
	}
}

// planCurrent is plan for the matches of the schedule as it is, at most limit.
func planCurrent(s sql.Schedule, nextMatch func(time.Time) time.Time, cursor, now time.Time, limit int) (ticks []sql.Tick, next time.Time, err error) {
	var missed, due []time.Time
	at := cursor
	for n := 0; ; n++ {
		at = nextMatch(at)
		if at.IsZero() {
			at = now.Add(noMoreMatches)
			break
		}
		if at.After(now) || n == limit {
			break
		}
		if len(due) > 0 && due[len(due)-1].Before(s.Watched) {
			missed, due = append(missed, due...), due[:0]
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
