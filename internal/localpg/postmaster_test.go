package localpg

import "testing"

func TestParsePostmaster(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       postmaster
		ok         bool
	}{
		{"ready", "71\n/data\n1700000000\n5432\n\n127.0.0.1\n  123 4\nready   \n", postmaster{pid: 71, ready: true}, true},
		{"starting", "71\n/data\n1700000000\n5432\n\n127.0.0.1\n  123 4\nstarting\n", postmaster{pid: 71}, true},
		{"first lines only", "71\n/data\n", postmaster{pid: 71}, true},
		{"empty", "", postmaster{}, false},
		{"single-user mode", "-71\n/data\n", postmaster{}, false},
		{"every process", "-1\n", postmaster{}, false},
		{"own group", "0\n", postmaster{}, false},
		{"init", "1\n", postmaster{}, false},
		{"no number", "ready\n", postmaster{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parsePostmaster(tt.text)
			if got != tt.want || ok != tt.ok {
				t.Errorf("got %+v, %v; want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// A pid of this file is sent signals: it must never mean a group or init.
func FuzzParsePostmaster(f *testing.F) {
	f.Add("71\n/data\n1700000000\n5432\n\n127.0.0.1\n  123 4\nready   \n")
	f.Add("-1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if p, ok := parsePostmaster(text); ok && p.pid <= 1 {
			t.Errorf("pid %d", p.pid)
		}
	})
}
