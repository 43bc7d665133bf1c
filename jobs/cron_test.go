package jobs

import (
	"slices"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
)

// The rules of the contract, section 4: a skipped local time runs once at the
// next valid instant, a repeated one runs once.
func TestFUNC_T2_ChangeOfClocks(t *testing.T) {
	tests := []struct {
		name, cron, zone, from, to string
		want                       []string
	}{
		{"skipped hour, Berlin", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		{"repeated hour, Berlin", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"skipped hour, New York", "15 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", "2026-03-09T12:00:00Z",
			[]string{"2026-03-08T07:00:00Z", "2026-03-09T06:15:00Z"}},
		{"skipped times run together", "*/20 2 * * *", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-30T00:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"}},
		{"a skip runs once with what is due then", "0 2,3 * * *", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T12:00:00Z",
			[]string{"2026-03-29T01:00:00Z"}},
		{"every local time once", "*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", "2026-10-25T02:00:00Z",
			[]string{"2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"}},
		{"from within the second pass", "*/30 * * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T02:30:00Z",
			[]string{"2026-10-25T02:00:00Z", "2026-10-25T02:30:00Z"}},
		{"skipped midnight", "0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-07T12:00:00Z",
			[]string{"2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"}},
		{"half an hour, Lord Howe", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-04T20:00:00Z",
			[]string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}},
		{"either day", "0 0 13 * FRI", "UTC", "2026-03-10T00:00:00Z", "2026-03-27T00:00:00Z",
			[]string{"2026-03-13T00:00:00Z", "2026-03-20T00:00:00Z", "2026-03-27T00:00:00Z"}},
		{"either day, the other one", "0 0 15 * FRI", "UTC", "2026-03-10T00:00:00Z", "2026-03-20T00:00:00Z",
			[]string{"2026-03-13T00:00:00Z", "2026-03-15T00:00:00Z", "2026-03-20T00:00:00Z"}},
		{"no change in UTC", "30 2 * * *", "UTC", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z",
			[]string{"2026-03-29T02:30:00Z", "2026-03-30T02:30:00Z"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			next, err := ParseCron(tt.cron, tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for at := next(instant(t, tt.from)); !at.After(instant(t, tt.to)); at = next(at) {
				got = append(got, at.UTC().Format(time.RFC3339))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("matches = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestParseCron(t *testing.T) {
	good := []string{"* * * * *", "*/10 * * * * *", "0 3 * * MON-FRI", "@hourly", "@daily", "0 0 1 jan,JUL *", "5-55/10 * * * *", "0 0 * * 7"}
	for _, expr := range good {
		if _, err := ParseCron(expr, "Asia/Tokyo"); err != nil {
			t.Errorf("ParseCron(%q) = %v", expr, err)
		}
	}
	bad := []string{"", "* * * *", "* * * * * * *", "60 * * * *", "a b c d e", "*/0 * * * *", "@every 5s", "TZ=UTC * * * * *", "* * 32 * *"}
	for _, expr := range bad {
		if _, err := ParseCron(expr, "UTC"); runnel.CodeOf(err) != runnel.CodeInvalidCron {
			t.Errorf("ParseCron(%q) = %v, want InvalidCron", expr, err)
		}
	}
	if _, err := ParseCron("* * * * *", "Mars/Olympus"); runnel.CodeOf(err) != runnel.CodeInvalidCron {
		t.Errorf("unknown zone: %v", err)
	}
}

func FuzzParseCron(f *testing.F) {
	for _, s := range []string{"* * * * *", "*/10 * * * * *", "@hourly", "0 0 30 2 *", "TZ=UTC * * * * *", "@every 1ns", "H H * * *", "* * * * 5#3", "L * * * *"} {
		f.Add(s)
	}
	from := time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC)
	f.Fuzz(func(t *testing.T, expr string) {
		next, err := ParseCron(expr, "Europe/Berlin")
		if err != nil {
			return
		}
		at := next(from)
		if !at.IsZero() && !at.After(from) {
			t.Errorf("%q: next of %v is %v", expr, from, at)
		}
	})
}
