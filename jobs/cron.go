package jobs

import (
	"strings"
	"time"

	"github.com/netresearch/go-cron"

	"github.com/runnelhq/runnel"
)

// ParseCron reads a cron expression of five fields, or six with leading
// seconds, or a descriptor such as @hourly, to be matched against the wall clock
// of the named IANA time zone. When both days are restricted, of the month and of
// the week, either one matches, as in every Unix cron. The function it returns gives the first match
// after an instant, and the zero time when there is none.
//
// Across a change of clocks every local time that matches runs once: one that
// is skipped runs at the next instant that exists, together with any other of
// the same gap, and one that occurs twice runs the first time.
func ParseCron(expr, timezone string) (next func(after time.Time) time.Time, err error) {
	loc, err := time.LoadLocation(timezone)
	if err != nil || timezone == "Local" {
		return nil, runnel.Errorf(runnel.CodeInvalidCron, "time zone %.80q is not known: use an IANA name such as Europe/Berlin", timezone)
	}
	if strings.Contains(expr, "TZ=") || strings.HasPrefix(strings.TrimSpace(expr), "@every") {
		return nil, runnel.Errorf(runnel.CodeInvalidCron, "cron expression %.200q is not valid: give the time zone separately, and intervals as steps such as */5", expr)
	}
	parser := cron.MustNewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom | cron.Descriptor)
	sched, err := parser.Parse(expr)
	if err != nil {
		return nil, runnel.Errorf(runnel.CodeInvalidCron, "cron expression %.200q is not valid: %v", expr, err)
	}
	// The library matches in UTC, on times that merely look like the wall
	// clock; its own handling of clock changes is not the contract's.
	return func(after time.Time) time.Time {
		for wall := wallClock(after, loc); ; {
			wall = sched.Next(wall)
			if wall.IsZero() {
				return time.Time{}
			}
			// In the second pass of a repeated hour the next wall times were
			// all instants of the first pass.
			if at := firstInstant(wall, loc); at.After(after) {
				return at
			}
		}
	}, nil
}

// wallClock is what a clock in loc shows at t, written as if it were UTC.
func wallClock(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// firstInstant is the first instant at which a clock in loc shows wall or, when
// it skips wall, the instant of the skip.
func firstInstant(wall time.Time, loc *time.Location) time.Time {
	y, m, d := wall.Date()
	at := time.Date(y, m, d, wall.Hour(), wall.Minute(), wall.Second(), 0, loc)
	start, end := at.ZoneBounds()
	switch shown := wallClock(at, loc); {
	case shown.After(wall): // skipped, and at is after the skip
		return start
	case shown.Before(wall): // skipped, and at is before it
		return end
	}
	if !start.IsZero() {
		_, offset := start.Add(-1).In(loc).Zone()
		if earlier := wall.Add(-time.Duration(offset) * time.Second); earlier.Before(start) && wallClock(earlier, loc).Equal(wall) {
			return earlier.In(loc)
		}
	}
	return at
}
