package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
)

// refused checks what every refused call has: the code, a request id, and an id of
// its own, in header, body and access log, that names no invocation.
func (h *house) refused(name string, r reply, status int, code runnel.Code) (id string) {
	h.t.Helper()
	var body map[string]any
	decode(h.t, r, &body)
	id = r.Header.Get(headerInvocationID)
	if r.StatusCode != status || r.code() != code || body["error"] != string(code) || body["message"] == "" ||
		r.Header.Get(headerRelayError) != "true" || r.Header.Get(headerRequestID) == "" {
		h.t.Errorf("%s: %v, want %d %s and x-relay-error", name, r, status, code)
	}
	if !uuidPattern.MatchString(id) || body["invocation_id"] != id {
		h.t.Errorf("%s: the call has no id, or not one: %v", name, r)
	}
	// The access log is written after the answer.
	h.until("the line of "+name, func() bool {
		for line := range strings.Lines(h.log.String()) {
			if strings.Contains(line, "invocation_id="+id) && strings.Contains(line, "code="+string(code)) {
				return true
			}
		}
		return false
	})
	return id
}

func TestCallsThatDoNotRun(t *testing.T) {
	h := newHouse(t, Config{}) // no worker: nothing can run
	h.function(`{"name":"closed"}`, guests.Echo())
	h.function(`{"name":"off","enabled":false,"verify_jwt":false}`, guests.Echo())
	h.function(`{"name":"open","verify_jwt":false}`, guests.Echo())
	h.function(`{"name":"paused","verify_jwt":false,"paused":true}`, guests.Echo())
	owner := mint(t, jwt.MapClaims{"role": "postgres"})
	ids := map[string]string{}
	for name, c := range map[string]struct {
		path    string
		body    string
		headers []string
		status  int
		code    runnel.Code
	}{
		"unknown":         {"/functions/v1/nope", "", nil, 404, runnel.CodeFunctionNotFound},
		"disabled":        {"/functions/v1/off", "", nil, 404, runnel.CodeFunctionNotFound},
		"bad name":        {"/functions/v1/Nope", "", nil, 400, runnel.CodeInvalidRequest},
		"no name":         {"/functions/v1/", "", nil, 400, runnel.CodeInvalidRequest},
		"no name either":  {"/functions/v1/invoke/", "", nil, 400, runnel.CodeInvalidRequest},
		"reserved":        {"/functions/v1/invoke", "", nil, 400, runnel.CodeInvalidRequest},
		"NUL":             {"/functions/v1/a%00", "", nil, 400, runnel.CodeInvalidRequest},
		"no token":        {"/functions/v1/closed", "", nil, 401, runnel.CodeUnauthorized},
		"bad token":       {"/functions/v1/closed", "", []string{"Authorization", "Bearer x.y.z"}, 401, runnel.CodeUnauthorized},
		"two tokens":      {"/functions/v1/closed", "", []string{"Authorization", "Bearer a", "Authorization", "Bearer b"}, 401, runnel.CodeUnauthorized},
		"role":            {"/functions/v1/closed", "", []string{"Authorization", "Bearer " + owner}, 403, runnel.CodeForbidden},
		"admin token":     {"/functions/v1/closed", "", []string{"Authorization", "Bearer " + testAdminToken}, 401, runnel.CodeUnauthorized},
		"not JSON":        {"/functions/v1/open", "{", []string{"Content-Type", "application/json"}, 400, runnel.CodeInvalidRequest},
		"too large":       {"/functions/v1/open", strings.Repeat("x", runnel.MaxPayloadSize+1), nil, 413, runnel.CodeTooLarge},
		"key with spaces": {"/functions/v1/open", "", []string{"Idempotency-Key", "a b"}, 400, runnel.CodeInvalidRequest},
		"empty key":       {"/functions/v1/open", "", []string{"Idempotency-Key", ""}, 400, runnel.CodeInvalidRequest},
		"two keys":        {"/functions/v1/open", "", []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, 400, runnel.CodeInvalidRequest},
		"long key":        {"/functions/v1/open", "", []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, runnel.CodeInvalidRequest},
		"no room":         {"/functions/v1/paused", "", nil, 429, runnel.CodeTooManyRequests},
		"no room, a key":  {"/functions/v1/paused", "", []string{"Idempotency-Key", "free"}, 429, runnel.CodeTooManyRequests},
	} {
		id := h.refused(name, h.do("POST", c.path, c.body, append(c.headers, headerInvocationID, "00000000-0000-7000-8000-000000000000")...), c.status, c.code)
		if other, twice := ids[id]; twice {
			t.Errorf("%s and %s have one id", name, other)
		}
		ids[id] = name
	}

	// There is no invocation under any of these ids, and whoever asks is told why.
	for id, name := range ids {
		for _, path := range []string{"", "/cancel", "/replay"} {
			method := "POST"
			if path == "" {
				method = "GET"
			}
			r := h.admin(method, "/admin/v1/invocations/"+id+path, "")
			if r.StatusCode != 404 || r.code() != runnel.CodeNotFound || path == "" && !strings.Contains(r.body, "refused") {
				t.Errorf("%s: %s: %v", name, path, r)
			}
		}
	}
	var count int
	if err := h.db.Pool().QueryRow(t.Context(), "select count(*) from runnel.river_job").Scan(&count); err != nil || count != 0 {
		t.Errorf("%d jobs, %v; want none", count, err)
	}
}

func TestAReusedKeyIsRefusedUnderAnIdOfItsOwn(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"ok","verify_jwt":false}`, guests.Answer(`1`))
	first := h.do("POST", "/functions/v1/ok", "a", "Idempotency-Key", "k")
	if first.StatusCode != 200 {
		t.Fatal(first)
	}
	id := h.refused("reused", h.do("POST", "/functions/v1/ok", "b", "Idempotency-Key", "k"), 422, runnel.CodeIdempotencyKeyReused)
	if id == first.Header.Get(headerInvocationID) {
		t.Error("the refused call has the id of the one that ran")
	}
}

func TestGuessesAreRefusedUnderAnId(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"closed"}`, guests.Echo())
	var r reply
	for range failureBurst + 20 {
		if r = h.do("POST", "/functions/v1/closed", "", "Authorization", "Bearer x.y.z"); r.StatusCode == 429 {
			break
		}
	}
	h.refused("guess", r, 429, runnel.CodeTooManyRequests)
}

// Without the database nobody knows whether there is such a function.
func TestWithoutADatabaseCallsHaveAnId(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"ok","verify_jwt":false}`, guests.Echo())
	h.db.Close()
	r := h.do("POST", "/functions/v1/ok", "")
	h.refused("away", r, r.StatusCode, r.code())
	if r.StatusCode < 500 {
		t.Error(r)
	}
}

// What is no call has no id, and its error says null.
func TestRequestsThatAreNoCallsHaveNoInvocation(t *testing.T) {
	h := newHouse(t, Config{})
	for _, r := range []reply{
		h.do("GET", "/nothing", ""),
		h.do("GET", "/functions/v1", ""),
		h.do("GET", "/admin/v1/functions", ""),
		h.admin("GET", "/admin/v1/functions/nope", ""),
		h.admin("PUT", "/admin/v1/functions", ""),
		h.admin("GET", "/admin/v1/invocations/nope", ""),
		h.admin("POST", "/admin/v1/functions", ""),
		h.deploy(`{"name":"UPPER"}`, nil),
	} {
		var body map[string]json.RawMessage
		decode(t, r, &body)
		if r.StatusCode < 400 || string(body["invocation_id"]) != "null" || r.Header.Get(headerInvocationID) != "" || r.Header.Get(headerRequestID) == "" {
			t.Errorf("%s: %v", fmt.Sprint(r.Request.Method, r.Request.URL.Path), r)
		}
	}
}
