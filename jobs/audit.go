package jobs

import (
	"context"
	"iter"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

const (
	// undecided is how old a match may be that no sweep has come to yet. Live
	// workers come to it within sweepInterval.
	undecided = onTime
	// maxAudited bounds the matches of one audit.
	maxAudited = 1_000_000
	// maxNamed bounds the times that an audit names of each kind.
	maxNamed = 20
)

// Audit compares what a schedule's expression says with what its ledger says.
// Every match from Since to Until is either fired, caught up or skipped, or a gap.
type Audit struct {
	ScheduleID int64          `json:"schedule_id"`
	Schedule   string         `json:"schedule"`
	Function   string         `json:"function"`
	Since      time.Time      `json:"since"` // later than asked for when the schedule is younger or the ledger shorter
	Until      time.Time      `json:"until"` // what came after it need not have been decided yet
	Matches    int            `json:"matches"`
	Fired      int            `json:"fired"`
	CaughtUp   int            `json:"caught_up"`
	Skipped    int            `json:"skipped"`
	Reasons    map[string]int `json:"skip_reasons"`
	Waiting    int            `json:"waiting"`    // of those fired: runs that wait for the one before
	Disabled   int            `json:"disabled"`   // matches of times when the schedule was disabled; not among Matches
	Gaps       int            `json:"gaps"`       // matches that the ledger does not have
	Duplicates int            `json:"duplicates"` // runs beyond the first of the same match
	Unmatched  int            `json:"unmatched"`  // ticks at times at which nothing matches
	Missing    int            `json:"missing"`    // ticks that fired a run of which neither event nor job nor log is left
	GapTimes   []time.Time    `json:"gap_times"`  // the first few
	Unmatching []time.Time    `json:"unmatched_times"`
	Clean      bool           `json:"clean"` // no gaps, duplicates, unmatched or missing ones
}

// AuditSchedule audits one schedule, in database time. kept is how long the
// ledger's rows are kept, 0 for ever: what is older cannot be judged.
func AuditSchedule(ctx context.Context, db *sql.DB, schedule int64, since time.Time, kept time.Duration) (Audit, error) {
	l, err := db.Ledger(ctx, schedule, since)
	if err != nil {
		return Audit{}, err
	}
	return audit(l, since, kept)
}

// audit walks matches and ticks side by side.
func audit(l sql.Ledger, since time.Time, kept time.Duration) (Audit, error) {
	a := Audit{
		ScheduleID: l.Schedule.ID, Schedule: l.Schedule.Name, Function: l.Schedule.Function,
		Since: since, Until: l.Cursor, Reasons: map[string]int{}, GapTimes: []time.Time{}, Unmatching: []time.Time{},
		Duplicates: l.Twice, Missing: l.Missing,
	}
	if late := l.Now.Add(-undecided); late.After(a.Until) {
		a.Until = late
	}
	if kept > 0 && l.Now.Add(-kept).After(a.Since) {
		a.Since = l.Now.Add(-kept)
	}
	if len(l.Revisions) > 0 && l.Revisions[0].From.After(a.Since) {
		a.Since = l.Revisions[0].From
	}
	ticks := l.Ticks
	for len(ticks) > 0 && ticks[0].Time.Before(a.Since) {
		ticks = ticks[1:]
	}
	unmatched := func(t sql.TickInfo) {
		a.Unmatched++
		if len(a.Unmatching) < maxNamed {
			a.Unmatching = append(a.Unmatching, t.Time.UTC())
		}
	}
	for at, enabled := range allMatches(l.Revisions, a.Since.Add(-1), a.Until) {
		if a.Matches+a.Disabled == maxAudited {
			return a, runnel.Errorf(runnel.CodeInvalidRequest, "schedule %s matches more than a million times since %s: ask for a later since", a.Schedule, a.Since.UTC().Format(time.RFC3339))
		}
		for len(ticks) > 0 && ticks[0].Time.Before(at) {
			unmatched(ticks[0])
			ticks = ticks[1:]
		}
		decided := len(ticks) > 0 && ticks[0].Time.Equal(at)
		if !enabled && !decided {
			a.Disabled++
			continue
		}
		a.Matches++
		if !decided {
			a.Gaps++
			if len(a.GapTimes) < maxNamed {
				a.GapTimes = append(a.GapTimes, at.UTC())
			}
			continue
		}
		a.count(ticks[0])
		ticks = ticks[1:]
	}
	for _, t := range ticks {
		if !t.Time.After(a.Until) {
			unmatched(t)
		}
	}
	a.Clean = a.Gaps+a.Duplicates+a.Unmatched+a.Missing == 0
	return a, nil
}

func (a *Audit) count(t sql.TickInfo) {
	switch t.Outcome {
	case sql.TickFired:
		a.Fired++
	case sql.TickCaughtUp:
		a.CaughtUp++
	default:
		a.Skipped++
		a.Reasons[t.Reason]++
	}
	if t.Waiting {
		a.Waiting++
	}
}

// allMatches are the matches in (after, until] of all revisions, in order, each
// with whether the schedule was enabled then. Nothing but the cron expressions
// goes into it: it is what the ledger is measured by.
func allMatches(revisions []sql.Revision, after, until time.Time) iter.Seq2[time.Time, bool] {
	return func(yield func(time.Time, bool) bool) {
		for i, r := range revisions {
			end := until
			if i+1 < len(revisions) && revisions[i+1].From.Before(until) {
				end = revisions[i+1].From
			}
			for at := range matches(r, after, end) {
				if !yield(at, r.Enabled) {
					return
				}
			}
		}
	}
}
