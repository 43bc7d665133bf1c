package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sql"
)

// as decodes a reply of the wanted status.
func as[T any](t *testing.T, r reply, status int) (v T) {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("%v, want %d", r, status)
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%v: %v", err, r)
	}
	return v
}

func TestSchedulesOverHTTP(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"hello"}`, guests.Echo())
	h.function(`{"name":"other"}`, guests.Echo())
	const path = "/admin/v1/functions/hello/schedules"

	r := h.admin("POST", path, `{"name":"nightly","cron":" 30  4 * * mon-fri ","timezone":"europe/berlin","payload":{"n":12345678901234567890},"catch_up":"all","overlap":"queue"}`)
	made := as[sql.ScheduleInfo](t, r, http.StatusCreated)
	at := fmt.Sprintf("%s/%d", path, made.ID)
	if made.Cron != "30 4 * * mon-fri" || made.Timezone != "Europe/Berlin" || made.CatchUp != "all" || made.Overlap != "queue" || !made.Enabled ||
		string(made.Payload) != `{"n":12345678901234567890}` || r.Header.Get("Location") != at {
		t.Errorf("made %v", r)
	}
	changed := as[sql.ScheduleInfo](t, h.admin("POST", path, `{"name":"nightly","cron":"@daily","enabled":false}`), http.StatusOK)
	if changed.ID != made.ID || changed.Cron != "@daily" || changed.Timezone != "UTC" || changed.Enabled {
		t.Errorf("changed to %+v", changed)
	}
	if got := as[sql.ScheduleInfo](t, h.admin("PATCH", at, `{"enabled":true}`), http.StatusOK); !got.Enabled || got.NextRun == nil || got.NextRun.Hour() != 0 {
		t.Errorf("enabled: %+v", got)
	}
	if got := as[sql.ScheduleInfo](t, h.admin("PATCH", fmt.Sprintf("/admin/v1/schedules/%d", made.ID), `{"enabled":false}`), http.StatusOK); got.Enabled || got.NextRun != nil {
		t.Errorf("disabled: %+v", got)
	}
	for _, p := range []string{path, "/admin/v1/schedules"} {
		if got := as[map[string][]sql.ScheduleInfo](t, h.admin("GET", p, ""), http.StatusOK)["schedules"]; len(got) != 1 || got[0].ID != made.ID {
			t.Errorf("%s lists %+v", p, got)
		}
	}
	if r := h.admin("GET", "/admin/v1/functions/other/schedules", ""); strings.TrimSpace(r.body) != `{"schedules":[]}` {
		t.Errorf("other function: %v", r)
	}

	for _, c := range []struct {
		method, path, body string
		status             int
		code               runnel.Code
		says               string
	}{
		{"POST", path, `{"name":"x","cron":"* * * *"}`, 400, runnel.CodeInvalidCron, "30 4 * * MON-FRI"},
		{"POST", path, `{"name":"x","cron":"61 * * * *"}`, 400, runnel.CodeInvalidCron, "0 to 59"},
		{"POST", path, `{"name":"x","cron":"0 0 30 2 *"}`, 400, runnel.CodeInvalidCron, "matches no date"},
		{"POST", path, `{"name":"x","cron":"0-99999999999999999999 * * * *"}`, 400, runnel.CodeInvalidCron, "minute"},
		{"POST", path, `{"name":"x","cron":""}`, 400, runnel.CodeInvalidCron, "five fields"},
		{"POST", path, `{"name":"x"}`, 400, runnel.CodeInvalidCron, "five fields"},
		{"POST", path, `{"name":"x","cron":"@every 1s"}`, 400, runnel.CodeInvalidCron, "@hourly"},
		{"POST", path, `{"name":"x","cron":"* * * * *\u0000"}`, 400, runnel.CodeInvalidRequest, "U+0000"},
		{"POST", path, `{"name":"x\u0000","cron":"* * * * *"}`, 400, runnel.CodeInvalidRequest, "U+0000"},
		{"POST", path, `{"name":"x","cron":"* * * * *","payload":"\u0000"}`, 400, runnel.CodeInvalidRequest, "U+0000"},
		{"POST", path, `{"name":"x","cron":"` + strings.Repeat("1,", 500_000) + `1 * * * *"}`, 400, runnel.CodeInvalidCron, "256 bytes"},
		{"POST", path, `{"name":"x","cron":"` + strings.Repeat("1,", 5_000_000) + `1 * * * *"}`, 413, runnel.CodeTooLarge, "limit"},
		{"POST", path, `{"name":"x","cron":"* * * * *","payload":"` + strings.Repeat("x", 6<<20-100) + `"}`, 413, runnel.CodeTooLarge, "6 MB"},
		{"POST", path, `{"name":"x","cron":"* * * * *","timezone":"Mars/Olympus"}`, 400, runnel.CodeInvalidRequest, "Europe/Berlin"},
		{"POST", path, `{"name":"x","cron":"* * * * *","overlap":"maybe"}`, 400, runnel.CodeInvalidRequest, "queue"},
		{"POST", path, `{"name":"","cron":"* * * * *"}`, 400, runnel.CodeInvalidRequest, "1 to 200"},
		{"POST", path, `{"name":"x","crom":"* * * * *"}`, 400, runnel.CodeInvalidRequest, "crom"},
		{"POST", path, `{"name":"x","cron":5}`, 400, runnel.CodeInvalidRequest, "cron"},
		{"POST", path, `[]`, 400, runnel.CodeInvalidRequest, "object"},
		{"POST", "/admin/v1/functions/nobody/schedules", `{"name":"x","cron":"* * * * *"}`, 404, runnel.CodeFunctionNotFound, "nobody"},
		{"POST", "/admin/v1/functions/other/schedules", `{"name":"nightly","cron":"* * * * *"}`, 409, runnel.CodeAlreadyExists, "hello"},
		{"GET", "/admin/v1/functions/nobody/schedules", ``, 404, runnel.CodeFunctionNotFound, "nobody"},
		{"GET", path + "/0", ``, 400, runnel.CodeInvalidRequest, "id"},
		{"GET", path + "/99999999999999999999", ``, 400, runnel.CodeInvalidRequest, "id"},
		{"GET", path + "/999", ``, 404, runnel.CodeNotFound, "999"},
		{"DELETE", fmt.Sprintf("/admin/v1/functions/other/schedules/%d", made.ID), ``, 404, runnel.CodeNotFound, "belongs to hello"},
		{"PATCH", at, `{}`, 400, runnel.CodeInvalidRequest, "enabled"},
		{"PATCH", at, `{"cron":"@daily"}`, 400, runnel.CodeInvalidRequest, "cron"},
		{"PATCH", at, `{"enabled":null}`, 400, runnel.CodeInvalidRequest, "enabled"},
		{"PUT", at, `{}`, 405, runnel.CodeInvalidRequest, "PATCH"},
		{"GET", fmt.Sprintf("/admin/v1/schedules/%d/ticks?limit=0", made.ID), ``, 400, runnel.CodeInvalidRequest, "limit"},
		{"GET", fmt.Sprintf("/admin/v1/schedules/%d/ticks?since=-1h", made.ID), ``, 400, runnel.CodeInvalidRequest, "since"},
		{"GET", fmt.Sprintf("/admin/v1/schedules/%d/ticks?cursor=x", made.ID), ``, 400, runnel.CodeInvalidRequest, "cursor"},
		{"GET", fmt.Sprintf("/admin/v1/schedules/%d/ticks?from=x", made.ID), ``, 400, runnel.CodeInvalidRequest, "from"},
		{"GET", "/admin/v1/schedules/audit?schedule=nobody", ``, 404, runnel.CodeNotFound, "nobody"},
		{"GET", "/admin/v1/schedules/audit?since=yesterday", ``, 400, runnel.CodeInvalidRequest, "yesterday"},
	} {
		r := h.admin(c.method, c.path, c.body)
		if r.StatusCode != c.status || r.code() != c.code || !strings.Contains(r.body, c.says) {
			t.Errorf("%s %s %.80s: %d %.300s, want %d %s with %q", c.method, c.path, c.body, r.StatusCode, r.body, c.status, c.code, c.says)
		}
	}
	if r := h.do("GET", "/admin/v1/schedules", ""); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("open to anybody: %v", r)
	}
	if r := h.admin("DELETE", at, ""); r.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %v", r)
	}
	if r := h.admin("GET", at, ""); r.StatusCode != http.StatusNotFound {
		t.Errorf("after delete: %v", r)
	}
}

// The audit of a schedule that runs is clean, and whatever is done to its ledger
// shows.
func TestFUNC_T2_AuditOverHTTP(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"hello"}`, guests.Echo())
	made := as[sql.ScheduleInfo](t, h.admin("POST", "/admin/v1/functions/hello/schedules", `{"name":"each second","cron":"* * * * * *"}`), http.StatusCreated)
	ticks := func(query string) []sql.TickInfo {
		return as[struct{ Ticks []sql.TickInfo }](t, h.admin("GET", fmt.Sprintf("/admin/v1/schedules/%d/ticks%s", made.ID, query), ""), http.StatusOK).Ticks
	}
	h.until("five ticks", func() bool { return len(ticks("")) >= 5 })
	h.admin("PATCH", fmt.Sprintf("/admin/v1/schedules/%d", made.ID), `{"enabled":false}`)
	h.until("the last sweep", func() bool {
		var swept bool
		err := h.db.Pool().QueryRow(t.Context(), `SELECT next_run = 'infinity' FROM runnel.schedules`).Scan(&swept)
		return err == nil && swept
	})
	audit := func() jobs.Audit {
		t.Helper()
		r := as[struct {
			Clean     bool
			Schedules []jobs.Audit
		}](t, h.admin("GET", "/admin/v1/schedules/audit?schedule=each+second&since=1h", ""), http.StatusOK)
		if len(r.Schedules) != 1 || r.Clean != r.Schedules[0].Clean {
			t.Fatalf("audit: %+v", r)
		}
		return r.Schedules[0]
	}
	a := audit()
	if !a.Clean || a.Matches < 5 || a.Fired+a.Skipped != a.Matches || a.Matches != len(ticks("?limit=500")) {
		t.Errorf("audit: %+v", a)
	}
	first := as[struct {
		Ticks []sql.TickInfo
		Next  string `json:"next_cursor"`
	}](t, h.admin("GET", fmt.Sprintf("/admin/v1/schedules/%d/ticks?limit=2", made.ID), ""), http.StatusOK)
	second := ticks("?limit=2&cursor=" + first.Next)
	if len(first.Ticks) != 2 || !second[0].Time.Before(first.Ticks[1].Time) {
		t.Errorf("pages: %+v, %+v", first, second)
	}

	exec := func(statement string) {
		t.Helper()
		if _, err := h.db.Pool().Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	exec(`DELETE FROM runnel.schedule_ticks WHERE scheduled_time = (SELECT scheduled_time FROM runnel.schedule_ticks WHERE outcome = 'fired' ORDER BY 1 OFFSET 2 LIMIT 1)`)
	exec(`INSERT INTO runnel.schedule_ticks (schedule_id, scheduled_time, outcome, reason) SELECT schedule_id, scheduled_time + interval '500 ms', 'skipped', 'x' FROM runnel.schedule_ticks ORDER BY scheduled_time LIMIT 1`)
	exec(`INSERT INTO runnel.invocation_events SELECT (jsonb_populate_record(e, '{"id":"00000000-0000-7000-8000-000000000001"}')).* FROM runnel.invocation_events e LIMIT 1`)
	exec(`UPDATE runnel.schedule_ticks SET invocation_id = '00000000-0000-7000-8000-000000000002' WHERE scheduled_time = (SELECT max(scheduled_time) FROM runnel.schedule_ticks WHERE outcome = 'fired')`)
	if a := audit(); a.Clean || a.Gaps != 1 || len(a.GapTimes) != 1 || a.Unmatched != 1 || a.Duplicates != 1 || a.Missing != 1 {
		t.Errorf("audit of a ledger with one fault of each kind: %+v", a)
	}
}
