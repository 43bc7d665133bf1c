package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/sql"
)

func TestTriggersOverHTTP(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"hello"}`, guests.Echo())
	exec := func(statement string) {
		t.Helper()
		if _, err := h.db.Pool().Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	exec(`CREATE SCHEMA "My Schema"; CREATE TABLE "My Schema"."it's é" (id int, note text); CREATE TABLE public.orders (id int, note text); CREATE VIEW public.v AS SELECT 1`)
	const path = "/admin/v1/functions/hello/triggers"

	r := h.admin("POST", path, `{"table":"orders","operations":["update"],"condition":"NEW.note = '(' OR \"new\".id > 1"}`)
	made := as[sql.TriggerInfo](t, r, http.StatusCreated)
	if made.Schema != "public" || made.Table != "orders" || len(made.Operations) != 1 || made.Level != "row" || made.Condition == nil || !made.Enabled ||
		r.Header.Get("Location") != path+"/"+made.ID {
		t.Errorf("made %v", r)
	}
	odd := as[sql.TriggerInfo](t, h.admin("POST", path, `{"schema":"My Schema","table":"it's é","granularity":"statement"}`), http.StatusCreated)
	if odd.Schema != "My Schema" || odd.Table != "it's é" || strings.Join(odd.Operations, ",") != "DELETE,INSERT,UPDATE" || odd.Level != "statement" {
		t.Errorf("odd name: %+v", odd)
	}
	again := as[sql.TriggerInfo](t, h.admin("POST", path, `{"table":"\"My Schema\".\"it's é\""}`), http.StatusOK)
	if again.Table != odd.Table || again.ID == odd.ID || again.Level != "statement" || again.Granularity != "auto" {
		t.Errorf("replaced by %+v", again)
	}
	exec(`UPDATE public.orders SET note = 'x'; INSERT INTO "My Schema"."it's é" VALUES (1, 'x')`)
	var n int
	if err := h.db.Pool().QueryRow(t.Context(), `SELECT count(*) FROM runnel.river_job`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d jobs, %v", n, err)
	}
	if got := as[map[string][]sql.TriggerInfo](t, h.admin("GET", path, ""), http.StatusOK)["triggers"]; len(got) != 2 {
		t.Errorf("list: %+v", got)
	}

	// A condition over HTTP is one expression, whatever is tried.
	for _, condition := range []string{
		`true) EXECUTE FUNCTION runnel.on_change_row('x'); DROP TABLE orders; --`, `true); DROP TABLE orders; SELECT (1`, `true) OR (true`, `true)`, `(true`,
		`'`, `"`, `1 /* `, `$x$ = 'x'`, `$1`, `E'\' = 'x'`, "true\x00",
	} {
		body := `{"table":"orders","condition":` + string(appendString(nil, condition)) + `}`
		if r := h.admin("POST", path, body); r.StatusCode != http.StatusBadRequest || r.code() != runnel.CodeInvalidRequest {
			t.Errorf("condition %q: %v", condition, r)
		}
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", path, `{"table":"orders","condition":"NEW.nothing = 1"}`, 400, "nothing"},
		{"POST", path, `{"table":"orders","condition":"this is no sql"}`, 400, "syntax error"},
		{"POST", path, `{"table":"orders","condition":"NEW.note"}`, 400, "boolean"},
		{"POST", path, `{"table":"orders","condition":"(SELECT true)"}`, 400, "subquer"},
		{"POST", path, `{"table":"nobody"}`, 400, "no table"},
		{"POST", path, `{"table":"a.b.c.d"}`, 400, ""},
		{"POST", path, `{"table":"orders; DROP TABLE orders"}`, 400, ""},
		{"POST", path, `{"schema":"public","table":"orders\"; DROP TABLE orders; --"}`, 400, "no table"},
		{"POST", path, `{"table":"\u0000"}`, 400, "U+0000"},
		{"POST", path, `{"table":""}`, 400, "no table"},
		{"POST", path, `{"table":"v"}`, 400, "not a table"},
		{"POST", path, `{"table":"runnel.functions"}`, 400, "belongs to runnel"},
		{"POST", path, `{"table":"pg_class"}`, 400, "belongs to pg_catalog"},
		{"POST", path, `{"table":"orders","operations":["MERGE"]}`, 400, "INSERT, UPDATE"},
		{"POST", path, `{"table":"orders","operations":[]}`, 400, "INSERT, UPDATE"},
		{"POST", path, `{"table":"orders","granularity":"table"}`, 400, "granularity"},
		{"POST", path, `{"table":"orders","when":"x"}`, 400, "when"},
		{"POST", "/admin/v1/functions/nobody/triggers", `{"table":"orders"}`, 404, "nobody"},
		{"GET", "/admin/v1/functions/nobody/triggers", ``, 404, "nobody"},
		{"GET", path + "/nothing", ``, 404, "no trigger"},
		{"DELETE", path + "/" + odd.ID, ``, 404, "made anew"},
	} {
		if r := h.admin(c.method, c.path, c.body); r.StatusCode != c.status || !strings.Contains(r.body, c.says) {
			t.Errorf("%s %s %s: %v, want %d with %q", c.method, c.path, c.body, r, c.status, c.says)
		}
	}
	for _, id := range []string{made.ID, again.ID} {
		if r := h.admin("DELETE", path+"/"+id, ""); r.StatusCode != http.StatusNoContent {
			t.Errorf("delete %s: %v", id, r)
		}
	}
	if r := h.admin("GET", "/admin/v1/triggers", ""); strings.TrimSpace(r.body) != `{"triggers":[]}` {
		t.Errorf("left: %v", r)
	}
}
