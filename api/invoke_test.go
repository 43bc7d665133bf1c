package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
)

func TestFUNC_T3_BodyAndResultAreByteForByte(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"echo"}`, guests.Echo())
	for _, path := range []string{"/functions/v1/echo", "/functions/v1/invoke/echo", "/functions/v1/invoke/ec%68o"} {
		for _, body := range verbatim {
			r := h.call(path, body, "Content-Type", "application/json")
			if r.StatusCode != 200 || r.Header.Get("Content-Type") != typeJSON || !strings.Contains(r.body, `"body":`+body+`,"user_id":"user-1"`) {
				t.Errorf("%s %q: %v", path, body, r)
			}
		}
	}
}

func TestFUNC_T3_EventOfARequest(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"echo"}`, guests.Echo())
	token := mint(t, jwt.MapClaims{"role": "authenticated", "sub": "user-1"})
	r := h.do("PUT", "/functions/v1/echo/a//b/../c%2Fd?x=1&x=2", "text",
		"Authorization", "Bearer "+token, "apikey", token, "Cookie", "session=cookie-secret", "Proxy-Authorization", "Basic cHJveHk6c2VjcmV0",
		"X-Request-Id", "req-1", "X-Custom", "one", "X-Custom", "two", "Content-Type", "text/plain",
		"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if r.StatusCode != 200 {
		t.Fatal(r)
	}
	var got struct {
		Method, Path, Body, Role string
		UserID                   string `json:"user_id"`
		RequestID                string `json:"request_id"`
		Query                    map[string]any
		Headers                  map[string]string
		Claims                   map[string]any
	}
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Method != "PUT" || got.Path != "/echo/a//b/../c%2Fd" || got.Body != "text" || got.Role != "authenticated" ||
		got.UserID != "user-1" || got.RequestID != "req-1" || got.Headers["x-custom"] != "one, two" || got.Claims["sub"] != "user-1" {
		t.Errorf("event %s", r.body)
	}
	for _, secret := range []string{token, "cookie-secret", "cHJveHk6c2VjcmV0"} {
		if strings.Contains(r.body, secret) {
			t.Errorf("the event has %q in it: %s", secret, r.body)
		}
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the log has %q in it", secret)
		}
	}
	if r.Header.Get(headerRequestID) != "req-1" {
		t.Errorf("x-request-id %q", r.Header.Get(headerRequestID))
	}
	row := h.ended(r.Header.Get(headerInvocationID))
	if row.Status != runnel.StatusSuccess || row.RequestID != "req-1" || row.UserID != "user-1" || row.Role != "authenticated" ||
		row.Traceparent != "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" {
		t.Errorf("log row %+v", row)
	}
}

func TestFUNC_T3_ResultIsTheAnswer(t *testing.T) {
	h := newHouse(t, Config{}).work()
	for name, c := range map[string]struct {
		result      string
		status      int
		contentType string
		body        string
	}{
		"text":    {`"hello"`, 200, typeText, "hello"},
		"number":  {`12345678901234567890`, 200, typeJSON, `12345678901234567890`},
		"ordered": {`{"z":1, "a":2,"z":3}`, 200, typeJSON, `{"z":1, "a":2,"z":3}`},
		"nothing": {``, 204, "", ""},
		"teapot":  {`{"statusCode":418,"headers":{"x-a":"b","x-runnel-invocation-id":"forged"},"body":"short"}`, 418, typeText, "short"},
		"page":    {`{"statusCode":200,"headers":{"content-type":"text/html"},"body":"<script>"}`, 200, "text/html", "<script>"},
	} {
		h.function(`{"name":"`+name+`","verify_jwt":false}`, guests.Answer(c.result))
		r := h.do("GET", "/functions/v1/"+name, "")
		if r.StatusCode != c.status || r.Header.Get("Content-Type") != c.contentType || r.body != c.body {
			t.Errorf("%s: %v", name, r)
		}
		if !uuidPattern.MatchString(r.Header.Get(headerInvocationID)) || r.Header.Get(headerRequestID) == "" || r.Header.Get(headerRelayError) != "" {
			t.Errorf("%s: headers %v", name, r.Header)
		}
		if got := r.Header.Get("Content-Security-Policy"); (got == sandboxed) != (name == "page") {
			t.Errorf("%s: policy %q", name, got)
		}
	}
}

func TestFUNC_T3_FailuresHaveTheirStatus(t *testing.T) {
	h := newHouse(t, Config{}).work()
	for name, c := range map[string]struct {
		wasm   []byte
		config string
		status int
		code   runnel.Code
	}{
		"trap":    {guests.Trap(), ``, 500, runnel.CodeFunctionError},
		"exit":    {guests.Exit(3, "no good"), ``, 500, runnel.CodeFunctionError},
		"spin":    {guests.Spin(), `,"timeout":0.05`, 504, runnel.CodeTimeout},
		"grow":    {guests.Grow(), `,"max_memory":"4MB"`, 507, runnel.CodeOutOfMemory},
		"recurse": {guests.Recurse(), ``, 500, runnel.CodeStackOverflow},
		"inject":  {guests.Answer(`{"statusCode":200,"headers":{"x":"a\r\nset-cookie: b=c"}}`), ``, 500, runnel.CodeFunctionError},
	} {
		h.function(`{"name":"`+name+`"`+c.config+`}`, c.wasm)
		r := h.call("/functions/v1/"+name, "{}")
		var e errorBody
		if err := json.Unmarshal([]byte(r.body), &e); err != nil {
			t.Fatalf("%s: %v: %v", name, err, r)
		}
		if r.StatusCode != c.status || e.Code != c.code || e.Error != c.code || e.Message == "" ||
			e.InvocationID == nil || *e.InvocationID != r.Header.Get(headerInvocationID) || *e.InvocationID == "" {
			t.Errorf("%s: %v, want %d %s", name, r, c.status, c.code)
		}
		if r.Header.Get(headerRelayError) != "" {
			t.Errorf("%s: x-relay-error although the function ran", name)
		}
		if r.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: a header was injected", name)
		}
	}
}

func TestWithoutVerifyJWTAnInvalidTokenIsAnonymous(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"open","verify_jwt":false}`, guests.Echo())
	for token, role := range map[string]string{
		"whsec_something":                                                               `"role":"anon"`,
		mint(t, jwt.MapClaims{"role": "postgres"}):                                      `"role":"anon"`,
		mint(t, jwt.MapClaims{"role": "authenticated", "sub": "u"}):                     `"role":"authenticated"`,
		mint(t, jwt.MapClaims{"role": "service_role", "exp": time.Now().Unix() - 3600}): `"role":"anon"`,
	} {
		r := h.do("POST", "/functions/v1/open", "", "Authorization", "Bearer "+token)
		if r.StatusCode != 200 || !strings.Contains(r.body, role) {
			t.Errorf("%s: %v, want %s", token, r, role)
		}
	}
}

func TestLargestBody(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"ok","verify_jwt":false}`, guests.Answer(`"ok"`))
	body := `"` + strings.Repeat("x", runnel.MaxPayloadSize-2) + `"`
	if r := h.do("POST", "/functions/v1/ok", body, "Content-Type", "application/json"); r.StatusCode != 200 || r.body != "ok" {
		t.Errorf("%d %.300s", r.StatusCode, r.body)
	}
}

func TestAsync(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"ok"}`, guests.Answer(`"ok"`))
	for _, header := range []string{"respond-async", "wait=0", "respond-async, wait=10"} {
		r := h.call("/functions/v1/ok", "{}", "Prefer", header)
		var body map[string]string
		if err := json.Unmarshal([]byte(r.body), &body); err != nil {
			t.Fatal(err)
		}
		id := body["invocation_id"]
		if r.StatusCode != 202 || id == "" || id != r.Header.Get(headerInvocationID) || r.Header.Get("Location") != "/admin/v1/invocations/"+id || r.Header.Get("Preference-Applied") == "" {
			t.Errorf("%s: %v", header, r)
		}
		if row := h.ended(id); row.Status != runnel.StatusSuccess || len(row.Attempts) != 1 {
			t.Errorf("%s: log row %+v", header, row)
		}
	}
}

// Nobody works here, so a wait runs out for certain.
func TestWaitRunsOut(t *testing.T) {
	h := newHouse(t, Config{WaitLimit: 50 * time.Millisecond})
	h.function(`{"name":"ok"}`, guests.Answer(`"ok"`))
	r := h.call("/functions/v1/ok", "{}")
	if r.StatusCode != 504 || r.code() != runnel.CodeWaitTimeout || r.Header.Get(headerRelayError) != "" {
		t.Errorf("wait limit: %v", r)
	}
	preferred := h.call("/functions/v1/ok", "{}", "Prefer", "wait=30")
	if preferred.StatusCode != 202 || preferred.Header.Get("Preference-Applied") != "wait=30" {
		t.Errorf("Prefer: wait: %v", preferred)
	}
	// Both runs go on when a worker comes.
	h.work()
	for _, r := range []reply{r, preferred} {
		if row := h.ended(r.Header.Get(headerInvocationID)); row.Status != runnel.StatusSuccess {
			t.Errorf("log row %+v", row)
		}
	}
}

func TestHangingUpDoesNotStopTheRun(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"ok","verify_jwt":false}`, guests.Answer(`"ok"`))
	ctx, hangUp := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := h.try(ctx, http.MethodPost, "/functions/v1/ok", "{}")
		gone <- err
	}()
	var id string
	h.until("enqueue", func() bool {
		return h.db.Pool().QueryRow(t.Context(), "select args->>'id' from runnel.river_job").Scan(&id) == nil
	})
	hangUp()
	if err := <-gone; err == nil {
		t.Fatal("the call was answered although nobody works")
	}
	h.work()
	if row := h.ended(id); row.Status != runnel.StatusSuccess {
		t.Errorf("log row %+v", row)
	}
}
