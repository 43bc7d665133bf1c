package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestScheduleAndTriggerCommands(t *testing.T) {
	alone(t)
	const (
		nightly = `{"id":7,"name":"nightly","function":"f","cron":"@daily","timezone":"UTC","catch_up":"latest","overlap":"allow","enabled":true,"next_run":"2026-01-02T00:00:00Z"}`
		clean   = `{"schedule":"nightly","since":"2026-01-01T00:00:00Z","until":"2026-01-02T00:00:00Z","matches":3,"fired":2,"skipped":1,"skip_reasons":{"overlap":1},"clean":true}`
		gap     = `{"schedule":"gappy","since":"2026-01-01T00:00:00Z","until":"2026-01-02T00:00:00Z","matches":3,"fired":2,"gaps":1,"gap_times":["2026-01-01T10:00:00Z"],"unmatched_times":[],"clean":false}`
		orders  = `{"id":"00000000-0000-4000-8000-000000000001","function":"f","schema":"public","table":"orders","operations":["INSERT"],"level":"row","condition":null,"enabled":true}`
	)
	audits := clean
	var requests []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodGet || strings.Contains(r.URL.Path, "audit") || strings.Contains(r.URL.Path, "ticks") {
			requests = append(requests, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(b)))
		}
		answer := ""
		switch p := r.URL.Path; {
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		case strings.HasSuffix(p, "/audit"):
			answer = `{"clean":false,"schedules":[` + audits + `]}`
		case strings.HasSuffix(p, "/ticks"):
			answer = `{"ticks":[{"scheduled_time":"2026-01-02T00:00:00Z","outcome":"skipped","reason":"overlap"}],"next_cursor":""}`
		case strings.Contains(p, "trigger") && r.Method == http.MethodGet:
			answer = `{"triggers":[` + orders + `]}`
		case strings.Contains(p, "trigger"):
			answer = orders
		case r.Method == http.MethodGet:
			answer = `{"schedules":[` + nightly + `]}`
		case strings.Contains(string(b), "* * * *"):
			w.WriteHeader(http.StatusBadRequest)
			answer = `{"code":"InvalidCron","message":"an expression has five fields"}`
		default:
			answer = nightly
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	t.Setenv("RUNNEL_URL", srv.URL)
	t.Setenv("RUNNEL_ADMIN_TOKEN", "admin")
	for _, c := range []struct {
		args            []string
		sent, out, errs string
		code            int
	}{
		{[]string{"schedule", "list"}, "", "nightly  f         @daily", "", 0},
		{[]string{"schedule", "list", "f"}, "", "2026-01-02T00:00:00Z", "", 0},
		{[]string{"schedule", "add", "nightly", "@daily", "f", "--payload", `{"n":1}`, "--overlap", "queue"},
			`POST /admin/v1/functions/f/schedules {"catch_up":"latest","cron":"@daily","name":"nightly","overlap":"queue","payload":{"n":1},"timezone":"UTC"}`, `nightly runs f at "@daily" in UTC`, "", 0},
		{[]string{"schedule", "add", "nightly", "@daily", "f", "--disabled"},
			`POST /admin/v1/functions/f/schedules {"catch_up":"latest","cron":"@daily","enabled":false,"name":"nightly","overlap":"allow","timezone":"UTC"}`, "", "", 0},
		{[]string{"schedule", "add", "nightly", "* * * *", "f"},
			`POST /admin/v1/functions/f/schedules {"catch_up":"latest","cron":"* * * *","name":"nightly","overlap":"allow","timezone":"UTC"}`, "", "InvalidCron: an expression has five fields", 1},
		{[]string{"schedule", "add", "nightly", "@daily", "f", "--payload", `{n:1}`}, "", "", "not JSON", 2},
		{[]string{"schedule", "add", "nightly", "@daily"}, "", "", "FUNCTION is missing", 2},
		{[]string{"schedule", "disable", "nightly"}, `PATCH /admin/v1/schedules/7 {"enabled":false}`, "nightly is disabled", "", 0},
		{[]string{"schedule", "enable", "nightly"}, `PATCH /admin/v1/schedules/7 {"enabled":true}`, "nightly is enabled", "", 0},
		{[]string{"schedule", "enable", "weekly"}, "", "", "NotFound: there is no schedule", 1},
		{[]string{"schedule", "ticks", "nightly", "--since", "1h"}, "GET /admin/v1/schedules/7/ticks?limit=50&since=1h", "skipped  overlap", "", 0},
		{[]string{"schedule", "audit", "--since", "1h"}, "GET /admin/v1/schedules/audit?since=1h", "nightly: 1 skipped: overlap", "", 0},
		{[]string{"schedule", "audit", "each second"}, "GET /admin/v1/schedules/audit?schedule=each+second&since=24h", "clean", "", 0},
		{[]string{"schedule", "remove", "nightly"}, "DELETE /admin/v1/schedules/7", "", "", 0},
		{[]string{"schedule", "nope"}, "", "", "there is no command", 2},
		{[]string{"trigger", "list"}, "", "public.orders", "", 0},
		{[]string{"trigger", "add", "f", "orders", "--operations", "INSERT,UPDATE", "--condition", "NEW.id > 1"},
			`POST /admin/v1/functions/f/triggers {"condition":"NEW.id \u003e 1","granularity":"auto","operations":["INSERT","UPDATE"],"schema":"","table":"orders"}`, "f runs after INSERT on public.orders", "", 0},
		{[]string{"trigger", "remove", "f", "public.orders"}, "DELETE /admin/v1/functions/f/triggers/00000000-0000-4000-8000-000000000001", "", "", 0},
		{[]string{"trigger", "remove", "f", "other"}, "", "", "no trigger on", 1},
		{[]string{"trigger", "nope"}, "", "", "there is no command", 2},
	} {
		requests = nil
		out, errs, code := command(t, "", c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || strings.Join(requests, "\n") != c.sent {
			t.Errorf("%q: code %d\nout %q\nerr %q\nsent %q", c.args, code, out, errs, requests)
		}
	}
	audits = clean + "," + gap
	out, errs, code := command(t, "", "schedule", "audit")
	if code != 1 || !strings.Contains(out, "NOT CLEAN") || !strings.Contains(out, "gappy: gap at 2026-01-01T10:00:00Z") || !strings.Contains(errs, "not clean: 1") {
		t.Errorf("audit with a gap: %d\n%s%s", code, out, errs)
	}
	out, _, code = command(t, "", "--json", "schedule", "audit")
	var list []map[string]any
	if err := json.Unmarshal([]byte(out), &list); code != 1 || err != nil || len(list) != 2 {
		t.Errorf("--json: %d %v %s", code, err, out)
	}
}
