package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/redact"
)

func TestFunctionLifecycle(t *testing.T) {
	h := newHouse(t, Config{}).work()
	decode := func(r reply) (fn struct {
		ID, Name, Description string
		Version               int
		WasmHash              string `json:"wasm_hash"`
		CreatedAt             string `json:"created_at"`
		Timeout               float64
		MaxMemory             int64 `json:"max_memory"`
		Enabled               bool
	}) {
		t.Helper()
		if err := json.Unmarshal([]byte(r.body), &fn); err != nil {
			t.Fatalf("%v: %v", err, r)
		}
		return fn
	}
	const path = "/admin/v1/functions/f"

	r := h.deploy(`{"name":"f","timeout":"750ms"}`, guests.Answer(`"one"`))
	first := decode(r)
	if r.StatusCode != 201 || r.Header.Get("Location") != path || first.Name != "f" || first.Version != 1 || first.ID == "" ||
		len(first.WasmHash) != 64 || first.CreatedAt == "" || first.Timeout != 0.75 || first.MaxMemory != runnel.DefaultMemory {
		t.Errorf("create: %v", r)
	}
	if r := h.deploy(`{"name":"f"}`, guests.Answer(`"two"`), "If-None-Match", "*"); r.StatusCode != 409 || r.code() != runnel.CodeAlreadyExists {
		t.Errorf("create only: %v", r)
	}
	r = h.deploy(`{"name":"f","description":"second"}`, guests.Answer(`"two"`))
	second := decode(r)
	if r.StatusCode != 200 || second.Version != 2 || second.WasmHash == first.WasmHash || second.ID != first.ID || second.Timeout != 0.75 {
		t.Errorf("new version: %v", r)
	}
	if r := h.call("/functions/v1/f", ""); r.body != "two" {
		t.Errorf("after the second deploy: %v", r)
	}

	r = h.admin("GET", path+"/versions", "")
	var versions struct{ Versions []runnel.Version }
	if err := json.Unmarshal([]byte(r.body), &versions); err != nil || len(versions.Versions) != 2 {
		t.Errorf("versions: %v, %v", r, err)
	}
	r = h.admin("POST", path+"/rollback", `{"version":1}`)
	if back := decode(r); r.StatusCode != 200 || back.Version != 1 || back.WasmHash != first.WasmHash {
		t.Errorf("rollback: %v", r)
	}
	if r := h.call("/functions/v1/f", ""); r.body != "one" {
		t.Errorf("after the rollback: %v", r)
	}
	for body, status := range map[string]int{`{"version":9}`: 404, `{"version":0}`: 400, `{}`: 400, `{"version":"1"}`: 400, `{"v":1}`: 400, ``: 400} {
		if r := h.admin("POST", path+"/rollback", body); r.StatusCode != status {
			t.Errorf("rollback %s: %v, want %d", body, r, status)
		}
	}

	r = h.admin("PATCH", path, `{"timeout":2,"enabled":false}`)
	if fn := decode(r); r.StatusCode != 200 || fn.Timeout != 2 || fn.Enabled || fn.Description != "second" {
		t.Errorf("patch: %v", r)
	}
	for _, body := range []string{`{"timeout":301}`, `{"nope":1}`, `{"name":"g"}`, `[]`, `{"environment":{"1":"x"}}`} {
		if r := h.admin("PATCH", path, body); r.StatusCode != 400 || r.code() != runnel.CodeInvalidRequest {
			t.Errorf("patch %s: %v, want 400", body, r)
		}
	}

	r = h.admin("GET", "/admin/v1/functions", "")
	if r.StatusCode != 200 || !strings.Contains(r.body, `"functions":[{`) || !strings.Contains(r.body, `"name":"f"`) {
		t.Errorf("list: %v", r)
	}
	if r := h.admin("DELETE", path, ""); r.StatusCode != 204 || r.body != "" {
		t.Errorf("delete: %v", r)
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", path, ""}, {"DELETE", path, ""}, {"PATCH", path, "{}"}, {"GET", path + "/versions", ""},
		{"GET", path + "/invocations", ""}, {"POST", path + "/rollback", `{"version":1}`},
	} {
		if r := h.admin(c.method, c.path, c.body); r.StatusCode != 404 || r.code() != runnel.CodeFunctionNotFound {
			t.Errorf("%s %s after the delete: %v", c.method, c.path, r)
		}
	}
	if r := h.admin("GET", "/admin/v1/functions", ""); r.body != "{\"functions\":[]}\n" {
		t.Errorf("list after the delete: %v", r)
	}
}

func TestDeployRefuses(t *testing.T) {
	h := newHouse(t, Config{})
	for name, c := range map[string]struct {
		metadata string
		wasm     []byte
		status   int
		code     runnel.Code
	}{
		"not a module":  {`{"name":"f"}`, []byte("export default {}"), 400, runnel.CodeInvalidModule},
		"empty":         {`{"name":"f"}`, nil, 400, runnel.CodeInvalidModule},
		"huge table":    {`{"name":"f"}`, guests.HugeTable(), 400, runnel.CodeInvalidModule},
		"many locals":   {`{"name":"f"}`, guests.ManyLocals(), 400, runnel.CodeInvalidModule},
		"bad name":      {`{"name":"F"}`, guests.Echo(), 400, runnel.CodeInvalidRequest},
		"reserved name": {`{"name":"invoke"}`, guests.Echo(), 400, runnel.CodeInvalidRequest},
		"no name":       {`{}`, guests.Echo(), 400, runnel.CodeInvalidRequest},
		"bad config":    {`{"name":"f","max_memory":"1GB"}`, guests.Echo(), 400, runnel.CodeInvalidRequest},
		"too large":     {`{"name":"f"}`, make([]byte, runnel.MaxModuleSize+1), 413, runnel.CodeTooLarge},
	} {
		if r := h.deploy(c.metadata, c.wasm); r.StatusCode != c.status || r.code() != c.code {
			t.Errorf("%s: %v, want %d %s", name, r, c.status, c.code)
		}
	}
	if r := h.deploy(`{"name":"f"}`, guests.Echo(), "If-None-Match", `"etag"`); r.StatusCode != 400 {
		t.Errorf("If-None-Match of a version: %v", r)
	}
	if r := h.admin("GET", "/admin/v1/functions", ""); r.body != "{\"functions\":[]}\n" {
		t.Errorf("something was deployed: %v", r)
	}
}

// adminRoutes are all routes that manage, with a body that would do something.
var adminRoutes = []struct{ method, path, body string }{
	{"GET", "/admin/v1/functions", ""},
	{"POST", "/admin/v1/functions", ""},
	{"GET", "/admin/v1/functions/f", ""},
	{"PATCH", "/admin/v1/functions/f", `{"enabled":false}`},
	{"DELETE", "/admin/v1/functions/f", ""},
	{"GET", "/admin/v1/functions/f/versions", ""},
	{"POST", "/admin/v1/functions/f/rollback", `{"version":1}`},
	{"GET", "/admin/v1/functions/f/invocations", ""},
	{"GET", "/admin/v1/invocations/01a20a73-a083-7508-bf6b-3ae91bf19539", ""},
	{"GET", "/metrics", ""},
	{"GET", "/riverui/", ""},
	{"GET", "/riverui/api/jobs", ""},
	{"POST", "/riverui/api/jobs/cancel", `{"ids":["1"]}`},
}

func TestManagementNeedsTheAdmin(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"f"}`, guests.Echo())
	before := h.admin("GET", "/admin/v1/functions/f", "").body
	user := mint(t, jwt.MapClaims{"role": "authenticated", "sub": "u"})
	anon := mint(t, jwt.MapClaims{"role": "anon"})
	for _, route := range adminRoutes {
		for header, want := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer " + user: 403, "Bearer " + anon: 403, "Basic eDp5": 401} {
			var headers []string
			if header != "" {
				headers = []string{"Authorization", header}
			}
			r := h.do(route.method, route.path, route.body, headers...)
			if r.StatusCode != want || r.code() == "" {
				t.Errorf("%s %s as %.20q: %v, want %d", route.method, route.path, header, r, want)
			}
		}
	}
	service := mint(t, jwt.MapClaims{"role": "service_role"})
	if r := h.do("GET", "/admin/v1/functions/f", "", "Authorization", "Bearer "+service); r.StatusCode != 200 || r.body != before {
		t.Errorf("service_role: %v; before %s", r, before)
	}
}

func TestFUNC_S1_EnvironmentIsRedactedEverywhere(t *testing.T) {
	t.Run("sealed", func(t *testing.T) { environmentIsRedacted(t, ringOf(t, keyring.Generate())) })
	t.Run("in the clear", func(t *testing.T) { environmentIsRedacted(t, nil) })
}

func environmentIsRedacted(t *testing.T, keys *keyring.Ring) {
	h := newHouse(t, Config{Keys: keys}).work()
	const secret, short = "sk-live-4242424242", "abc"
	env := `"environment":{"API_KEY":"` + secret + `","MY_TOKEN":"` + short + `","ENV":"production"}`
	var replies []reply
	keep := func(r reply) reply { replies = append(replies, r); return r }

	r := keep(h.deploy(`{"name":"tell","verify_jwt":false,`+env+`}`, guests.Tell("API_KEY")))
	var fn struct {
		Environment map[string]string
		Warnings    []string
	}
	if err := json.Unmarshal([]byte(r.body), &fn); err != nil {
		t.Fatal(err)
	}
	if fn.Environment["API_KEY"] != redact.Mask || fn.Environment["MY_TOKEN"] != redact.Mask || fn.Environment["ENV"] != "production" {
		t.Errorf("deploy: %v", r)
	}
	if warnings := fmt.Sprint(fn.Warnings); !strings.Contains(warnings, "the value of MY_TOKEN is too short") || strings.Contains(warnings, "stored in the clear") != (keys == nil) {
		t.Errorf("warnings %q, want one about MY_TOKEN, and without keys another", fn.Warnings)
	}
	called := keep(h.do("POST", "/functions/v1/tell", ""))
	if called.StatusCode != 200 {
		t.Fatal(called)
	}
	id := called.Header.Get(headerInvocationID)
	row := h.ended(id)
	if len(row.Logs) != 1 || !strings.Contains(row.Logs[0].Message, redact.Mask) || row.Environment["API_KEY"] != redact.Mask {
		t.Errorf("the function told its secret, and the log row is %+v", row)
	}
	keep(h.deploy(`{"name":"tell"}`, guests.Tell("API_KEY")))
	keep(h.admin("PATCH", "/admin/v1/functions/tell", "{"+env+"}"))
	keep(h.admin("POST", "/admin/v1/functions/tell/rollback", `{"version":1}`))
	var jobID int64
	if err := h.db.Pool().QueryRow(t.Context(), "select job_id from runnel.function_invocations where id = $1", id).Scan(&jobID); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/admin/v1/functions", "/admin/v1/functions/tell", "/admin/v1/functions/tell/versions", "/admin/v1/functions/tell/invocations",
		"/admin/v1/invocations/" + id, "/metrics", "/riverui/api/jobs?state=completed",
	} {
		if r := keep(h.admin("GET", path, "")); r.StatusCode != 200 {
			t.Errorf("%s: %v", path, r)
		}
	}
	for _, r := range replies {
		if strings.Contains(r.body, secret) || strings.Contains(r.body, `"`+short+`"`) {
			t.Errorf("%s %s shows a secret: %s", r.Request.Method, r.Request.URL, r.body)
		}
	}
	if strings.Contains(h.log.String(), secret) {
		t.Error("the process log has the secret in it")
	}

	// Writing back what was read must not replace the secret by its mask.
	if r := h.admin("PATCH", "/admin/v1/functions/tell", `{"environment":{"API_KEY":"`+redact.Mask+`"}}`); r.StatusCode != 400 {
		t.Errorf("the mask was accepted: %v", r)
	}
}

func TestInvocations(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"ok","verify_jwt":false}`, guests.Answer(`"ok"`))
	h.function(`{"name":"bad","verify_jwt":false}`, guests.Trap())
	var ids []string
	for range 5 {
		id := h.do("POST", "/functions/v1/ok", "").Header.Get(headerInvocationID)
		h.ended(id)
		ids = append(ids, id)
	}
	h.do("POST", "/functions/v1/bad", "")

	type page struct {
		Invocations []runnel.Invocation
		NextCursor  string `json:"next_cursor"`
	}
	get := func(query string) (p page) {
		t.Helper()
		r := h.admin("GET", "/admin/v1/functions/ok/invocations"+query, "")
		if r.StatusCode != 200 || json.Unmarshal([]byte(r.body), &p) != nil {
			t.Fatalf("%s: %v", query, r)
		}
		return p
	}
	var seen []string
	cursor := ""
	for range 10 {
		p := get("?limit=2&cursor=" + cursor)
		for _, inv := range p.Invocations {
			seen = append(seen, inv.ID)
		}
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	slices.Reverse(seen)
	if !slices.Equal(seen, ids) {
		t.Errorf("pages give %v, want %v", seen, ids)
	}
	if p := get("?status=error"); len(p.Invocations) != 0 {
		t.Errorf("status=error: %+v", p)
	}
	if p := get("?since=1h"); len(p.Invocations) != 5 {
		t.Errorf("since=1h: %d", len(p.Invocations))
	}
	for _, query := range []string{"?status=x", "?limit=0", "?cursor=%00", "?cursor=nonsense", "?page=2"} {
		if r := h.admin("GET", "/admin/v1/functions/ok/invocations"+query, ""); r.StatusCode != 400 {
			t.Errorf("%s: %v, want 400", query, r)
		}
	}
	if r := h.admin("GET", "/admin/v1/invocations/not-a-uuid", ""); r.StatusCode != 400 {
		t.Errorf("not a UUID: %v", r)
	}
	if r := h.admin("GET", "/admin/v1/invocations/00000000-0000-7000-8000-000000000000", ""); r.StatusCode != 404 || r.code() != runnel.CodeNotFound {
		t.Errorf("unknown: %v", r)
	}
	if r := h.admin(http.MethodGet, "/admin/v1/functions/a%00b", ""); r.StatusCode != 400 {
		t.Errorf("NUL in a name: %v", r)
	}
}
