package jobs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

// Each fault that a ledger can have is found, and named.
func TestFUNC_T2_AuditFindsWhatIsNotAccountedFor(t *testing.T) {
	at := func(clock string) time.Time { return instant(t, "2026-03-01T"+clock+"Z") }
	// ledger has ticks from "12:10 fired, 12:20 skipped".
	ledger := func(ticks string) sql.Ledger {
		l := sql.Ledger{
			Schedule: sql.ScheduleInfo{ID: 7, Name: "s"}, Now: at("13:00:05"), Cursor: at("13:00:05"),
			Revisions: []sql.Revision{{From: at("12:05:00"), Cron: "*/10 * * * *", Timezone: "UTC", Enabled: true}},
		}
		for tick := range strings.SplitSeq(ticks, ", ") {
			clock, outcome, _ := strings.Cut(tick, " ")
			i := sql.TickInfo{Time: at(clock + ":00"), Outcome: outcome}
			if outcome == sql.TickSkipped {
				i.Reason = "overlap"
			}
			l.Ticks = append(l.Ticks, i)
		}
		return l
	}
	const whole = "12:10 fired, 12:20 skipped, 12:30 caught_up, 12:40 fired, 12:50 fired, 13:00 fired"
	tests := []struct {
		name   string
		ledger sql.Ledger
		change func(*sql.Ledger)
		want   string // of the figures, those that are not 0
	}{
		{"clean", ledger(whole), nil, `{"matches":6,"fired":4,"caught_up":1,"skipped":1,"clean":true}`},
		{"a gap", ledger(strings.Replace(whole, "12:40 fired, ", "", 1)), nil, `{"matches":6,"fired":3,"caught_up":1,"skipped":1,"gaps":1}`},
		{"the last one is a gap", ledger(strings.TrimSuffix(whole, ", 13:00 fired")), nil, `{"matches":6,"fired":3,"caught_up":1,"skipped":1,"gaps":1}`},
		{"the last one is not due yet", ledger(strings.TrimSuffix(whole, ", 13:00 fired")), func(l *sql.Ledger) { l.Cursor = at("12:59:59") },
			`{"matches":5,"fired":3,"caught_up":1,"skipped":1,"clean":true}`},
		{"no worker for long", ledger(strings.TrimSuffix(whole, ", 13:00 fired")), func(l *sql.Ledger) { l.Cursor, l.Now = at("12:59:59"), at("13:40:00") },
			`{"matches":9,"fired":3,"caught_up":1,"skipped":1,"gaps":4}`},
		{"nothing matches then", ledger(strings.Replace(whole, "12:40", "12:35 fired, 12:40", 1)), nil, `{"matches":6,"fired":4,"caught_up":1,"skipped":1,"unmatched":1}`},
		{"run twice", ledger(whole), func(l *sql.Ledger) { l.Twice = 1 }, `{"matches":6,"fired":4,"caught_up":1,"skipped":1,"duplicates":1}`},
		{"run vanished", ledger(whole), func(l *sql.Ledger) { l.Missing = 2 }, `{"matches":6,"fired":4,"caught_up":1,"skipped":1,"missing":2}`},
		{"disabled for a while", ledger("12:10 fired, 12:50 fired, 13:00 fired"), func(l *sql.Ledger) {
			l.Revisions = append(l.Revisions, sql.Revision{From: at("12:15:00"), Cron: "*/10 * * * *", Timezone: "UTC"},
				sql.Revision{From: at("12:45:00"), Cron: "*/10 * * * *", Timezone: "UTC", Enabled: true})
		}, `{"matches":3,"fired":3,"disabled":3,"clean":true}`},
		{"was another", ledger("12:10 fired, 12:20 fired, 12:30 fired, 12:45 fired, 13:00 fired"), func(l *sql.Ledger) {
			l.Revisions = append(l.Revisions, sql.Revision{From: at("12:35:00"), Cron: "*/15 * * * *", Timezone: "Asia/Kathmandu", Enabled: true})
		}, `{"matches":5,"fired":5,"clean":true}`},
		{"older than the ledger is kept", ledger(strings.TrimPrefix(whole, "12:10 fired, 12:20 skipped, ")), func(l *sql.Ledger) { l.Now = at("13:00:25") },
			`{"matches":4,"fired":3,"caught_up":1,"clean":true}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change != nil {
				tt.change(&tt.ledger)
			}
			kept := time.Duration(0)
			if strings.HasPrefix(tt.name, "older") {
				kept = 40 * time.Minute
			}
			a, err := audit(tt.ledger, at("00:00:00"), kept)
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			var want, got map[string]any
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			for _, figure := range []string{"matches", "fired", "caught_up", "skipped", "disabled", "gaps", "duplicates", "unmatched", "missing"} {
				if want[figure] == nil {
					want[figure] = 0.0
				}
				if got[figure] != want[figure] {
					t.Errorf("%s = %v, want %v", figure, got[figure], want[figure])
				}
			}
			if clean := want["clean"] == true; got["clean"] != clean {
				t.Errorf("clean = %v, want %v", got["clean"], clean)
			}
			if a.Fired+a.CaughtUp+a.Skipped+a.Gaps != a.Matches {
				t.Errorf("%+v does not add up", a)
			}
		})
	}
}

func TestAuditIsBounded(t *testing.T) {
	from := instant(t, "2026-01-01T00:00:00Z")
	l := sql.Ledger{Now: from.Add(20 * 24 * time.Hour), Cursor: from, Revisions: []sql.Revision{{From: from, Cron: "* * * * * *", Timezone: "UTC", Enabled: true}}}
	if _, err := audit(l, from, 0); runnel.CodeOf(err) != runnel.CodeInvalidRequest {
		t.Errorf("more than a million matches: %v", err)
	}
}
