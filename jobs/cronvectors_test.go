package jobs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// The vectors of robfig/cron and netresearch/go-cron (spec_test.go, parser_test.go;
// MIT), and of the examples of crontab.guru, held against ours. Where the contract
// says otherwise, "ours" has what it says.
func TestFUNC_T2_VectorsOfOthers(t *testing.T) {
	for _, c := range []struct{ after, zone, cron, want, ours string }{
		{"2012-07-09T14:45:00Z", "UTC", "0 0/15 * * * *", "2012-07-09T15:00:00Z", ""},
		{"2012-07-09T14:59:59Z", "UTC", "0 0/15 * * * *", "2012-07-09T15:00:00Z", ""},
		{"2012-07-09T15:45:00Z", "UTC", "0 20-35/15 * * * *", "2012-07-09T16:20:00Z", ""},
		{"2012-07-09T23:46:00Z", "UTC", "0 */15 * * * *", "2012-07-10T00:00:00Z", ""},
		{"2012-07-09T23:45:00Z", "UTC", "0 20-35/15 * * * *", "2012-07-10T00:20:00Z", ""},
		{"2012-07-09T23:35:51Z", "UTC", "15/35 20-35/15 * * * *", "2012-07-10T00:20:15Z", ""},
		{"2012-07-09T23:35:51Z", "UTC", "15/35 20-35/15 1/2 * * *", "2012-07-10T01:20:15Z", ""},
		{"2012-07-09T23:35:51Z", "UTC", "15/35 20-35/15 10-12 * * *", "2012-07-10T10:20:15Z", ""},
		{"2012-07-09T23:35:51Z", "UTC", "15/35 20-35/15 1/2 */2 * *", "2012-07-11T01:20:15Z", ""},
		{"2012-07-09T23:35:51Z", "UTC", "15/35 20-35/15 * 9-20 * *", "2012-07-10T00:20:15Z", ""},
		{"2012-07-09T23:35:51Z", "UTC", "15/35 20-35/15 * 9-20 Jul *", "2012-07-10T00:20:15Z", ""},
		{"2012-07-09T23:35:00Z", "UTC", "0 0 0 9 Apr-Oct ?", "2012-08-09T00:00:00Z", ""},
		// go-cron wants both days to match, robfig and Unix either.
		{"2012-07-09T23:35:00Z", "UTC", "0 0 0 */5 Apr,Aug,Oct Mon", "2012-08-06T00:00:00Z", "2012-08-01T00:00:00Z"},
		{"2012-07-09T23:35:00Z", "UTC", "0 0 0 */5 Oct Mon", "2012-10-01T00:00:00Z", ""},
		{"2012-07-09T23:35:00Z", "UTC", "0 0 0 * Feb Mon", "2013-02-04T00:00:00Z", ""},
		{"2012-07-09T23:35:00Z", "UTC", "0 0 0 * Feb Mon/2", "2013-02-01T00:00:00Z", ""},
		{"2012-12-31T23:59:45Z", "UTC", "0 * * * * *", "2013-01-01T00:00:00Z", ""},
		{"2012-07-09T23:35:00Z", "UTC", "0 0 0 29 Feb ?", "2016-02-29T00:00:00Z", ""},
		{"2012-07-09T23:35:00Z", "UTC", "0 0 0 30 Feb ?", "", ""},
		{"2012-07-09T23:35:00Z", "UTC", "0 0 0 31 Apr ?", "", ""},
		// A skipped time: at the next one that exists, not as much later as it was skipped.
		{"2012-03-11T00:00:00-05:00", "America/New_York", "0 30 2 11 Mar ?", "2012-03-11T03:30:00-04:00", "2012-03-11T03:00:00-04:00"},
		{"2012-03-11T01:00:00-05:00", "America/New_York", "0 0 * * * ?", "2012-03-11T03:00:00-04:00", ""},
		{"2012-03-11T03:00:00-04:00", "America/New_York", "0 0 * * * ?", "2012-03-11T04:00:00-04:00", ""},
		{"2012-03-11T01:00:00-05:00", "America/New_York", "0 0 1 * * ?", "2012-03-12T01:00:00-04:00", ""},
		{"2012-03-11T00:00:00-05:00", "America/New_York", "0 0 2 * * ?", "2012-03-11T03:00:00-04:00", ""},
		// A repeated time: once.
		{"2012-11-04T00:00:00-04:00", "America/New_York", "0 30 2 04 Nov ?", "2012-11-04T02:30:00-05:00", ""},
		{"2012-11-04T01:45:00-04:00", "America/New_York", "0 30 1 04 Nov ?", "2012-11-04T01:30:00-05:00", "2013-11-04T01:30:00-05:00"},
		{"2012-11-04T00:00:00-04:00", "America/New_York", "0 0 * * * ?", "2012-11-04T01:00:00-04:00", ""},
		{"2012-11-04T01:00:00-04:00", "America/New_York", "0 0 * * * ?", "2012-11-04T01:00:00-05:00", "2012-11-04T02:00:00-05:00"},
		{"2012-11-04T01:00:00-05:00", "America/New_York", "0 0 * * * ?", "2012-11-04T02:00:00-05:00", ""},
		{"2012-11-04T01:00:00-04:00", "America/New_York", "0 0 1 * * ?", "2012-11-04T01:00:00-05:00", "2012-11-05T01:00:00-05:00"},
		{"2012-11-04T00:00:00-04:00", "America/New_York", "0 0 3 * * ?", "2012-11-04T03:00:00-05:00", ""},
		{"2012-11-04T00:00:00-04:00", "America/New_York", "0 0 3 3 * ?", "2012-12-03T03:00:00-05:00", ""},
		{"2018-10-17T05:00:00-04:00", "America/Sao_Paulo", "0 0 9 10 * ?", "2018-11-10T06:00:00-05:00", ""},
		{"2018-02-14T05:00:00-05:00", "America/Sao_Paulo", "0 0 9 22 * ?", "2018-02-22T07:00:00-05:00", ""},
		{"2016-01-03T13:09:03+05:30", "Asia/Kolkata", "14 14 * * *", "2016-01-03T14:14:00+05:30", ""},
		{"2025-01-01T23:30:00Z", "UTC", "0 22-2 * * *", "2025-01-02T00:00:00Z", ""},
		{"2025-12-15T00:00:00Z", "UTC", "0 0 1 11-2 *", "2026-01-01T00:00:00Z", ""},
		{"2025-01-06T00:00:00Z", "UTC", "0 0 * * FRI-MON", "2025-01-10T00:00:00Z", ""},
		{"2012-07-15T08:29:59Z", "UTC", "30 08 ? Jul Sun", "2012-07-15T08:30:00Z", ""},
		{"2012-07-08T00:00:00Z", "UTC", "@weekly", "2012-07-15T00:00:00Z", ""},
		{"2012-07-08T00:00:00Z", "UTC", "@monthly", "2012-08-01T00:00:00Z", ""},
		{"2012-07-08T00:00:00Z", "UTC", "@annually", "2013-01-01T00:00:00Z", ""},
		// crontab.guru.
		{"2026-03-01T00:04:00Z", "UTC", "5 0 * 8 *", "2026-08-01T00:05:00Z", ""},
		{"2026-03-02T00:00:00Z", "UTC", "15 14 1 * *", "2026-04-01T14:15:00Z", ""},
		{"2026-03-06T23:00:00Z", "UTC", "0 22 * * 1-5", "2026-03-09T22:00:00Z", ""},
		{"2026-03-02T00:23:00Z", "UTC", "23 0-20/2 * * *", "2026-03-02T02:23:00Z", ""},
		{"2026-03-02T00:00:00Z", "UTC", "5 4 * * sun", "2026-03-08T04:05:00Z", ""},
		{"2026-03-02T05:00:00Z", "UTC", "0 0,12 1 */2 *", "2026-05-01T00:00:00Z", ""},
		{"2026-03-02T05:00:00Z", "UTC", "0 4 8-14 * *", "2026-03-08T04:00:00Z", ""},
		{"2026-03-02T05:00:00Z", "UTC", "0 0 1,15 * 3", "2026-03-04T00:00:00Z", ""},
	} {
		next, err := ParseCron(c.cron, c.zone)
		if err != nil {
			t.Errorf("%s: %v", c.cron, err)
			continue
		}
		want := c.want
		if c.ours != "" {
			want = c.ours
		}
		got := next(instant(t, c.after))
		if want == "" && got.IsZero() {
			continue
		}
		if want == "" || !got.Equal(instant(t, want)) {
			t.Errorf("%s in %s after %s: %v, want %s", c.cron, c.zone, c.after, got, want)
		}
	}
}

// expression is a cron expression whose meaning is known without reading it.
type expression struct {
	text                          string
	minute, hour, dom, month, dow map[int]bool
	anyDom, anyDow                bool
}

func (e expression) matches(wall time.Time) bool {
	day := e.dom[wall.Day()] && e.dow[int(wall.Weekday())]
	if !e.anyDom && !e.anyDow {
		day = e.dom[wall.Day()] || e.dow[int(wall.Weekday())]
	}
	return e.minute[wall.Minute()] && e.hour[wall.Hour()] && e.month[int(wall.Month())] && day
}

func randomExpression(r *rand.Rand) expression {
	field := func(low, high int, star float64) (string, map[int]bool, bool) {
		set := map[int]bool{}
		if r.Float64() < star {
			for v := low; v <= high; v++ {
				set[v] = true
			}
			return "*", set, true
		}
		var items []string
		for range 1 + r.IntN(3) {
			from := low + r.IntN(high-low+1)
			switch r.IntN(4) {
			case 0:
				to := from + r.IntN(high-from+1)
				step := 1 + r.IntN(max(1, (to-from)/2))
				for v := from; v <= to; v += step {
					set[v] = true
				}
				items = append(items, fmt.Sprintf("%d-%d/%d", from, to, step))
			case 1:
				to := low + r.IntN(high-low+1) // may wrap around
				for v := from; ; v = low + (v-low+1)%(high-low+1) {
					set[v] = true
					if v == to {
						break
					}
				}
				items = append(items, fmt.Sprintf("%d-%d", from, to))
			case 2:
				last := high
				if high == 6 {
					last = 7 // Sunday again: 3/2 is 3-7/2
				}
				step := 1 + r.IntN(max(1, (last-from)/2))
				for v := from; v <= last; v += step {
					set[v] = true
					if v == 7 && high == 6 {
						set[0] = true
					}
				}
				items = append(items, fmt.Sprintf("%d/%d", from, step))
			default:
				set[from] = true
				items = append(items, fmt.Sprint(from))
			}
		}
		return strings.Join(items, ","), set, false
	}
	var e expression
	var parts [5]string
	parts[0], e.minute, _ = field(0, 59, 0.2)
	parts[1], e.hour, _ = field(0, 23, 0.4)
	parts[2], e.dom, e.anyDom = field(1, 31, 0.6)
	parts[3], e.month, _ = field(1, 12, 0.7)
	parts[4], e.dow, e.anyDow = field(0, 6, 0.6)
	e.text = strings.Join(parts[:], " ")
	return e
}

// A match is due at the first instant at which the clock shows it or has passed it.
// That is all of the contract's rules, and here it is computed by looking at every
// minute of a clock.
func TestFUNC_T2_MatchesAreWhatAClockShows(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	due := 0
	for _, change := range []struct{ zone, at string }{
		{"Europe/Berlin", "2026-03-29T01:00:00Z"}, {"Europe/Berlin", "2026-10-25T01:00:00Z"},
		{"America/New_York", "2026-03-08T07:00:00Z"}, {"America/New_York", "2026-11-01T06:00:00Z"},
		{"Australia/Lord_Howe", "2026-10-03T15:30:00Z"}, {"Australia/Lord_Howe", "2026-04-04T15:00:00Z"}, // half an hour
		{"Africa/Casablanca", "2026-02-15T02:00:00Z"}, {"Africa/Casablanca", "2026-03-22T02:00:00Z"}, // for Ramadan
		{"Asia/Kathmandu", "1985-12-31T18:30:00Z"}, {"Asia/Kathmandu", "2026-06-01T00:00:00Z"}, // a quarter of an hour, once
		{"America/Santiago", "2026-09-06T04:00:00Z"}, {"America/Santiago", "2026-04-05T03:00:00Z"}, // at midnight
		{"Antarctica/Troll", "2026-03-29T01:00:00Z"}, {"Antarctica/Troll", "2026-10-25T01:00:00Z"}, // two hours
		{"America/St_Johns", "2006-04-02T03:31:00Z"}, {"America/St_Johns", "2006-10-29T02:31:00Z"}, // at 00:01
		{"Pacific/Apia", "2011-12-30T10:00:00Z"},      // a day left out
		{"Pacific/Kwajalein", "1969-10-01T13:00:00Z"}, // a day twice, nearly
		{"Europe/Dublin", "2026-10-25T01:00:00Z"},     // winter is the saving
	} {
		loc, err := time.LoadLocation(change.zone)
		if err != nil {
			t.Fatal(err)
		}
		from, to := instant(t, change.at).Add(-30*time.Hour), instant(t, change.at).Add(40*time.Hour)
		// What the clock shows for the first time, or passes, at each minute. What it has
		// shown before from counts as shown.
		type passed struct {
			at   string
			wall time.Time
		}
		var clock []passed
		shown := wallClock(from.Add(-60*time.Hour), loc)
		for at := from.Add(-60 * time.Hour); !at.After(to); at = at.Add(time.Minute) {
			for wall := wallClock(at, loc); shown.Before(wall); {
				shown = shown.Add(time.Minute)
				if at.After(from) {
					clock = append(clock, passed{at.UTC().Format(time.RFC3339), shown})
				}
			}
		}
		for range 25 {
			e := randomExpression(random)
			next, err := ParseCron(e.text, change.zone)
			if err != nil {
				t.Fatalf("%s: %v", e.text, err)
			}
			var got, want []string
			for at := next(from); !at.IsZero() && !at.After(to); at = next(at) {
				got = append(got, at.UTC().Format(time.RFC3339))
			}
			for _, p := range clock {
				if e.matches(p.wall) && (len(want) == 0 || want[len(want)-1] != p.at) {
					want = append(want, p.at)
				}
			}
			due += len(want)
			if !slices.Equal(got, want) {
				t.Fatalf("%s in %s from %v:\ngot  %v\nwant %v", e.text, change.zone, from, got, want)
			}
		}
	}
	if due < 5_000 {
		t.Errorf("only %d matches were compared", due)
	}
}
