package jobs

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel/sql"
)

func instant(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestFUNC_T2_PlanDecidesEveryMatchOnce(t *testing.T) {
	const start = "2026-03-01T12:00:00Z"
	tests := []struct {
		name     string
		cron     string
		catchUp  string
		after    time.Duration // between cursor and now
		fired    int
		caughtUp int
		skipped  int
		away     time.Duration // of all workers, since cursor
	}{
		{"nothing due", "* * * * *", "latest", 59 * time.Second, 0, 0, 0, 0},
		{"one match on time", "* * * * *", "latest", 61 * time.Second, 1, 0, 0, 0},
		{"late but on time", "*/5 * * * * *", "none", 29 * time.Second, 5, 0, 0, 0},
		{"late seconds are all fired", "* * * * * *", "latest", 20 * time.Second, 20, 0, 0, 0},
		{"missed, none", "0 * * * *", "none", 3*time.Hour + time.Minute, 0, 0, 3, 0},
		{"missed, latest", "0 * * * *", "latest", 3*time.Hour + time.Minute, 0, 1, 2, 0},
		{"missed, all", "0 * * * *", "all", 3*time.Hour + time.Minute, 0, 3, 0, 0},
		{"missed, all keeps the newest 100", "* * * * *", "all", 200*time.Minute + 40*time.Second, 0, 100, 100, 0},
		{"missed, latest is on time", "* * * * *", "latest", 10*time.Minute + time.Second, 1, 0, 9, 0},
		{"nobody was there, none", "* * * * * *", "none", 10 * time.Second, 1, 0, 9, 9500 * time.Millisecond},
		{"nobody was there, latest", "* * * * * *", "latest", 10 * time.Second, 1, 0, 9, 9500 * time.Millisecond},
		{"nobody was there, all", "* * * * * *", "all", 10 * time.Second, 1, 9, 0, 9500 * time.Millisecond},
		{"somebody came back", "* * * * * *", "none", 10 * time.Second, 6, 0, 4, 5 * time.Second},
		{"a restart misses nothing that comes once", "*/30 * * * * *", "none", 40 * time.Second, 1, 0, 0, 39 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sql.Schedule{Name: "s", Enabled: true, Cron: tt.cron, Timezone: "UTC", CatchUp: tt.catchUp, Cursor: instant(t, start)}
			s.Watched = s.Cursor.Add(tt.away)
			now := s.Cursor.Add(tt.after)
			ticks, next, err := plan(s, now)
			if err != nil {
				t.Fatal(err)
			}
			count := map[string]int{}
			seen := map[time.Time]bool{}
			for _, tick := range ticks {
				count[tick.Outcome]++
				if seen[tick.Time] {
					t.Errorf("%v is decided twice", tick.Time)
				}
				seen[tick.Time] = true
				if !tick.Time.After(s.Cursor) || tick.Time.After(now) {
					t.Errorf("%v is outside (%v, %v]", tick.Time, s.Cursor, now)
				}
				if tick.Outcome == sql.TickSkipped && tick.Reason == "" {
					t.Errorf("%v is skipped without a reason", tick.Time)
				}
			}
			if count[sql.TickFired] != tt.fired || count[sql.TickCaughtUp] != tt.caughtUp || count[sql.TickSkipped] != tt.skipped {
				t.Errorf("fired, caught up, skipped = %d, %d, %d, want %d, %d, %d",
					count[sql.TickFired], count[sql.TickCaughtUp], count[sql.TickSkipped], tt.fired, tt.caughtUp, tt.skipped)
			}
			if !next.After(now) {
				t.Errorf("next run %v is not after now %v", next, now)
			}
			// Every match is in the plan: walk them independently.
			match, err := ParseCron(tt.cron, "UTC")
			if err != nil {
				t.Fatal(err)
			}
			for at := match(s.Cursor); !at.After(now); at = match(at) {
				if !seen[at] {
					t.Errorf("match %v is in no tick", at)
				}
			}
		})
	}
}

func TestFUNC_T2_PlanOfALongOutageComesInParts(t *testing.T) {
	s := sql.Schedule{Name: "s", Enabled: true, Cron: "* * * * * *", Timezone: "UTC", CatchUp: "latest", Cursor: instant(t, "2026-03-01T00:00:00Z")}
	now := s.Cursor.Add(12 * time.Hour)
	total, caughtUp := 0, 0
	for range 10 {
		ticks, next, err := plan(s, now)
		if err != nil {
			t.Fatal(err)
		}
		if len(ticks) > maxMatches {
			t.Fatalf("%d ticks in one plan", len(ticks))
		}
		for _, tick := range ticks {
			if !tick.Time.After(s.Cursor) {
				t.Fatalf("%v was decided already", tick.Time)
			}
			s.Cursor = tick.Time
			total++
			if tick.Outcome == sql.TickCaughtUp {
				caughtUp++
			}
		}
		if next.After(now) {
			break
		}
	}
	if total != 12*3600 {
		t.Errorf("%d matches decided, want %d", total, 12*3600)
	}
	if caughtUp != 0 { // the last 30 s were on time, so no missed one is the latest
		t.Errorf("%d caught up, want 0", caughtUp)
	}
}

func TestPlanOfACronThatNeverMatches(t *testing.T) {
	s := sql.Schedule{Name: "s", Enabled: true, Cron: "0 0 30 2 *", Timezone: "UTC", CatchUp: "all", Cursor: instant(t, "2026-03-01T00:00:00Z")}
	now := s.Cursor.Add(time.Hour)
	ticks, next, err := plan(s, now)
	if err != nil || len(ticks) != 0 || next.Before(now.Add(24*time.Hour)) {
		t.Errorf("plan = %v, %v, %v", ticks, next, err)
	}
}

// What a schedule was changed to does not change what it was.
func TestFUNC_T2_ChangesKeepTheLedgerHonest(t *testing.T) {
	at := func(clock string) time.Time { return instant(t, "2026-03-01T"+clock+"Z") }
	rev := func(clock, cron string, enabled bool) sql.Revision {
		return sql.Revision{From: at(clock), Cron: cron, Timezone: "UTC", Enabled: enabled}
	}
	tests := []struct {
		name      string
		revisions []sql.Revision
		now       string
		want      []string
		next      string
	}{
		{"another cron", []sql.Revision{rev("12:00:00", "*/10 * * * *", true), rev("12:25:00", "*/15 * * * *", true)}, "12:30:10",
			[]string{"12:10 skipped changed", "12:20 skipped changed", "12:30 fired"}, "12:45:00"},
		{"a match at the moment of the change belongs to what was", []sql.Revision{rev("12:00:00", "*/10 * * * *", true), rev("12:10:00", "*/10 * * * *", false)}, "12:30:10",
			[]string{"12:10 skipped disabled"}, ""},
		{"disabled for a while", []sql.Revision{rev("12:00:00", "*/10 * * * *", true), rev("12:15:00", "*/10 * * * *", false), rev("12:35:00", "*/10 * * * *", true)}, "12:50:10",
			[]string{"12:10 skipped disabled", "12:40 caught_up", "12:50 fired"}, "13:00:00"},
		{"changed while disabled", []sql.Revision{rev("12:00:00", "*/10 * * * *", false), rev("12:15:00", "0 0 * * *", false), rev("12:35:00", "0 * * * *", true)}, "12:50:10",
			nil, "13:00:00"},
		{"one that cannot be read", []sql.Revision{rev("12:00:00", "nonsense", true), rev("12:35:00", "*/10 * * * *", true)}, "12:40:10",
			[]string{"12:40 fired"}, "12:50:00"},
		{"changed after this sweep's now", []sql.Revision{rev("12:00:00", "*/10 * * * *", true), rev("12:20:00", "*/15 * * * *", true)}, "12:19:59",
			[]string{"12:10 skipped changed"}, "12:20:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			last := tt.revisions[len(tt.revisions)-1]
			s := sql.Schedule{Name: "s", Enabled: last.Enabled, Cron: last.Cron, Timezone: "UTC", CatchUp: "all", Cursor: at("12:00:00"), Revisions: tt.revisions}
			ticks, next, err := plan(s, at(tt.now))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, tick := range ticks {
				reason, _, _ := strings.Cut(tick.Reason, ":")
				got = append(got, strings.TrimSpace(tick.Time.Format("15:04 ")+tick.Outcome+" "+reason))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("ticks %q, want %q", got, tt.want)
			}
			want := time.Time{}
			if tt.next != "" {
				want = at(tt.next)
			}
			if !next.Equal(want) {
				t.Errorf("next %v, want %v", next, want)
			}
		})
	}
}
