package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDoctorCommand(t *testing.T) {
	alone(t)
	out, errs, code := command(t, "", "doctor", "--json")
	var got struct {
		Status   string
		Findings []struct{ Check, Status, What, Why, Next string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 1 || got.Status != "problem" || len(got.Findings) != 1 {
		t.Fatalf("code %d, %v: %s%s", code, err, out, errs)
	}
	if f := got.Findings[0]; f.Check != "settings" || f.Status != "problem" || f.What == "" || f.Why == "" || !strings.Contains(f.Next, "runnel dev") {
		t.Errorf("%+v", f)
	}

	t.Setenv("DATABASE_URL", "postgres://user:hunter2hunter2@127.0.0.1:1/x")
	out, errs, code = command(t, "", "doctor")
	if code != 1 || !strings.Contains(out, "problem  database: ") || !strings.Contains(out, "         next: ") || strings.Contains(out+errs, "hunter2") {
		t.Errorf("code %d: %s%s", code, out, errs)
	}

	for name, part := range map[string]string{"harden": "pg_notify", "supabase": "CREATE OR REPLACE FUNCTION auth.jwt()"} {
		if out, _, code := command(t, "", "doctor", "--print", name); code != 0 || !strings.Contains(out, part) {
			t.Errorf("--print %s: code %d: %s", name, code, out)
		}
	}
	for _, args := range [][]string{{"doctor", "--print", "../migrate"}, {"doctor", "now"}, {"doctor", "--nonsense"}} {
		if _, errs, code := command(t, "", args...); code != 2 || errs == "" {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
	}
}
