package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
)

func TestUnknownRoutesAndMethods(t *testing.T) {
	h := newHouse(t, Config{})
	for _, path := range []string{"/", "/nope", "/admin/v1", "/admin/v1/functions/f/nothing", "/functions/v2/f", "/functions/v1"} {
		if r := h.do("GET", path, ""); r.StatusCode != 404 || r.code() != runnel.CodeNotFound {
			t.Errorf("GET %s: %v", path, r)
		}
	}
	r := h.do("PUT", "/admin/v1/functions", "")
	if r.StatusCode != 405 || r.code() != runnel.CodeInvalidRequest || !strings.Contains(r.Header.Get("Allow"), "POST") {
		t.Errorf("PUT: %v", r)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	h := newHouse(t, Config{})
	if r := h.do("GET", "/healthz", ""); r.StatusCode != 200 {
		t.Errorf("healthz: %v", r)
	}
	if r := h.do("GET", "/readyz", ""); r.StatusCode != 503 || !strings.Contains(r.body, "start a worker") {
		t.Errorf("readyz without a worker: %v", r)
	}
	h.work()
	if r := h.do("GET", "/readyz", ""); r.StatusCode != 200 || !strings.Contains(r.body, `"checks":{"database":"ok","migrations":"ok","worker":"ok"}`) {
		t.Errorf("readyz: %v", r)
	}
}

func TestReadinessWithoutMigrations(t *testing.T) {
	h := newHouse(t, Config{})
	if _, err := h.db.Pool().Exec(t.Context(), `ALTER SCHEMA runnel RENAME TO elsewhere`); err != nil {
		t.Fatal(err)
	}
	r := h.do("GET", "/readyz", "")
	if r.StatusCode != 503 || !strings.Contains(r.body, `"database":"ok"`) || !strings.Contains(r.body, "runnel migrate") {
		t.Errorf("readyz: %v", r)
	}
}

func TestReadinessWithoutDatabase(t *testing.T) {
	h := newHouse(t, Config{})
	h.db.Close()
	r := h.do("GET", "/readyz", "")
	if r.StatusCode != 503 || !strings.Contains(r.body, "DATABASE_URL") || strings.Contains(r.body, "postgres://") {
		t.Errorf("readyz: %v", r)
	}
}

func TestMetrics(t *testing.T) {
	h := newHouse(t, Config{})
	if r := h.admin("GET", "/metrics", ""); r.StatusCode != 200 || !strings.Contains(r.body, "runnel_http_waiters") {
		t.Errorf("metrics: %v", r)
	}
	w := httptest.NewRecorder()
	h.server.MetricsHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Errorf("metrics on their own port: %d", w.Code)
	}
}

func TestRiverUI(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"ok","verify_jwt":false}`, guests.Answer(`"ok"`))
	id := h.do("POST", "/functions/v1/ok", "").Header.Get(headerInvocationID)
	job := h.ended(id).JobID

	if r := h.admin("GET", "/riverui/", ""); r.StatusCode != 200 || !strings.Contains(r.body, "/riverui/") || !strings.Contains(r.Header.Get("Content-Type"), "text/html") {
		t.Errorf("index: %v", r)
	}
	if r := h.admin("GET", "/riverui", ""); r.StatusCode/100 != 3 || r.Header.Get("Location") != "/riverui/" {
		t.Errorf("without a slash: %v", r)
	}
	if r := h.admin("GET", "/riverui/api/jobs?state=completed", ""); r.StatusCode != 200 || !strings.Contains(r.body, id) {
		t.Errorf("jobs: %v", r)
	}
	if r := h.admin("GET", fmt.Sprintf("/riverui/api/jobs/%d", job), ""); r.StatusCode != 200 || !strings.Contains(r.body, id) || !strings.Contains(r.body, `"state":"completed"`) {
		t.Errorf("job: %v", r)
	}
	if r := h.admin("GET", "/riverui/jobs/1", ""); r.StatusCode != 200 || !strings.Contains(r.body, "<html") {
		t.Errorf("a page of the application: %v", r)
	}
}

func TestLogin(t *testing.T) {
	h := newHouse(t, Config{})
	r := h.do("GET", "/riverui/jobs?state=running", "", "Accept", "text/html")
	if r.StatusCode != 303 || r.Header.Get("Location") != "/login?next=%2Friverui%2Fjobs%3Fstate%3Drunning" {
		t.Fatalf("a browser without a session: %v", r)
	}
	r = h.do("GET", r.Header.Get("Location"), "")
	if r.StatusCode != 200 || !strings.Contains(r.body, `value="/riverui/jobs?state=running"`) {
		t.Errorf("login page: %v", r)
	}
	if r := h.do("GET", "/login?next=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", ""); strings.Contains(r.body, "<script>") {
		t.Errorf("the login page runs what is in its address: %v", r)
	}

	login := func(token, next string, headers ...string) reply {
		form := url.Values{"token": {token}, "next": {next}}.Encode()
		return h.do("POST", "/login", form, append(headers, "Content-Type", "application/x-www-form-urlencoded")...)
	}
	if r := login("wrong", "/riverui/"); r.StatusCode != 401 || len(r.Cookies()) != 0 {
		t.Errorf("wrong token: %v", r)
	}
	if r := login(testAdminToken, "/riverui/", "Origin", "https://evil.example"); r.StatusCode != 403 || len(r.Cookies()) != 0 {
		t.Errorf("login from another site: %v", r)
	}
	if r := login(testAdminToken, "https://evil.example/"); r.Header.Get("Location") != "/console/" {
		t.Errorf("open redirect: %v", r)
	}
	if r := login(strings.Repeat("x", 32<<10), ""); r.StatusCode != 413 {
		t.Errorf("huge form: %d", r.StatusCode)
	}
	r = login(testAdminToken, "/riverui/jobs")
	if r.StatusCode != 303 || r.Header.Get("Location") != "/riverui/jobs" || len(r.Cookies()) != 1 {
		t.Fatalf("login: %v", r)
	}
	cookie := r.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure || strings.Contains(cookie.Value, testAdminToken) {
		t.Errorf("cookie %v", cookie)
	}
	if r := login(testAdminToken, "", "X-Forwarded-Proto", "https"); !r.Cookies()[0].Secure {
		t.Error("the cookie of a login over https is not Secure")
	}

	session := cookie.Name + "=" + cookie.Value
	if r := h.do("GET", "/riverui/api/jobs", "", "Cookie", session); r.StatusCode != 200 {
		t.Errorf("with a session: %v", r)
	}
	if r := h.do("POST", "/riverui/api/jobs/cancel", `{"ids":["1"]}`, "Cookie", session, "Origin", "https://evil.example"); r.StatusCode != 403 || r.code() != runnel.CodeForbidden {
		t.Errorf("from another site: %v", r)
	}
	if r := h.do("POST", "/riverui/api/jobs/cancel", `{"ids":["1"]}`, "Cookie", session, "Sec-Fetch-Site", "same-origin", "Content-Type", "application/json"); r.StatusCode == 403 {
		t.Errorf("from our own site: %v", r)
	}
	if r := h.do("GET", "/admin/v1/functions", "", "Cookie", session); r.StatusCode != 401 {
		t.Errorf("the API takes the cookie of the pages: %v", r)
	}
	if r := h.do("GET", "/riverui/api/jobs", "", "Cookie", cookie.Name+"=forged"); r.StatusCode != 401 {
		t.Errorf("with a forged session: %v", r)
	}
	if r := h.do("POST", "/logout", "", "Cookie", session); r.StatusCode != 303 || r.Cookies()[0].MaxAge >= 0 {
		t.Errorf("logout: %v", r)
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	t.Parallel()
	s := &Server{log: quietLog}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		status  int
	}{
		"before the header": {func(http.ResponseWriter, *http.Request) { panic("secret detail") }, 500},
		"after the header":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); panic("secret detail") }, 201},
	} {
		w := httptest.NewRecorder()
		s.observe(c.handler).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != c.status || strings.Contains(w.Body.String(), "secret detail") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestAccessLogHasNoQuery(t *testing.T) {
	h := newHouse(t, Config{})
	h.do("GET", "/functions/v1/nope?token=query-secret", "body-secret", "X-Anything", "header-secret")
	h.until("the access log's line", func() bool {
		return strings.Contains(h.log.String(), "path=/functions/v1/nope status=404")
	})
	if line := h.log.String(); strings.Contains(line, "-secret") {
		t.Errorf("log %q has a secret in it", line)
	}
}

// serve runs the server on a port of its own until stop is called.
func (h *house) serve() (stop context.CancelFunc, done <-chan error) {
	h.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(h.t.Context())
	h.t.Cleanup(cancel)
	result := make(chan error, 1)
	go func() { result <- h.server.Serve(ctx, l) }()
	return cancel, result
}

// enqueued waits for n jobs.
func (h *house) enqueued(n int) {
	h.t.Helper()
	h.until("enqueue", func() bool {
		var got int
		err := h.db.Pool().QueryRow(h.t.Context(), "select count(*) from runnel.river_job").Scan(&got)
		return err == nil && got >= n
	})
}

func TestServeFinishesWhatItHasBegun(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"ok","verify_jwt":false}`, guests.Answer(`"ok"`))
	stop, done := h.serve()
	const calls = 5
	replies := make(chan string, calls)
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			r, err := h.try(t.Context(), "POST", "/functions/v1/ok", "{}")
			replies <- fmt.Sprint(r.body, err)
		})
	}
	h.enqueued(calls)
	stop()
	h.until("the end of listening", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	h.work() // only now can the calls be answered
	wg.Wait()
	for range calls {
		if r := <-replies; r != "ok<nil>" {
			t.Errorf("a call that was under way got %s", r)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeTellsWaitersWhenItStops(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"ok","verify_jwt":false}`, guests.Answer(`"ok"`))
	h.server.drain, h.server.stop = 50*time.Millisecond, 10*time.Second
	stop, done := h.serve()
	got := make(chan reply, 1)
	go func() {
		r, err := h.try(t.Context(), "POST", "/functions/v1/ok", "{}")
		if err != nil {
			t.Error(err)
		}
		got <- r
	}()
	h.enqueued(1)
	stop()
	r := <-got
	if r.Response == nil || r.StatusCode != 504 || r.code() != runnel.CodeWaitTimeout || !strings.Contains(r.body, "restarting") {
		t.Errorf("%v", r)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	h := newHouse(t, Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := h.server.Serve(ctx, l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, want %v", err, net.ErrClosed)
	}
}
