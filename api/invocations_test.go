package api

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/sql"
)

func TestParseFilter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for query, want := range map[string]sql.Filter{
		"":                     {Function: "f", Limit: defaultPage},
		"status=out_of_memory": {Function: "f", Limit: defaultPage, Status: runnel.StatusOutOfMemory},
		"since=15m&limit=5":    {Function: "f", Limit: 5, Since: now.Add(-15 * time.Minute)},
		"since=2026-01-01T00:00:00Z&cursor=abc": {Function: "f", Limit: defaultPage,
			Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Cursor: "abc"},
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseFilter("f", q, now)
		if err != nil || got != want {
			t.Errorf("%s = %+v, %v; want %+v", query, got, err, want)
		}
	}
	for _, query := range []string{"status=ok", "since=yesterday", "since=-5m", "limit=0", "limit=501", "limit=x", "stat=x"} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseFilter("f", q, now); err == nil || runnel.CodeOf(err) != runnel.CodeInvalidRequest {
			t.Errorf("%s: error %v, want InvalidRequest", query, err)
		}
	}
}

func TestInvocation_BeforeItEnds(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"sleep","timeout":60}`, guests.Sleep(30_000))
	get := func(id string) (got invocation) {
		t.Helper()
		r := h.admin(http.MethodGet, "/admin/v1/invocations/"+id, "")
		decode(t, r, &got)
		return got
	}
	id := h.call("/functions/v1/sleep", ``, "Prefer", "respond-async").Header.Get(headerInvocationID)
	if got := get(id); got.Status != statusQueued || got.FunctionName != "sleep" || got.Trigger != runnel.TriggerHTTP || got.MaxAttempts != 1 || got.NextAttempt == nil || len(got.Attempts) != 0 {
		t.Errorf("queued: %+v", got)
	}
	h.work()
	h.until("the start", func() bool { return get(id).Status == statusRunning })
	if got := get(id); got.Attempt != 1 || got.StartedAt == nil || got.Cancelling {
		t.Errorf("running: %+v", got)
	}
	if r := h.admin(http.MethodPost, "/admin/v1/invocations/"+id+"/cancel", ""); r.StatusCode != http.StatusAccepted || r.body != `{"invocation_id":"`+id+`","status":"stopping"}`+"\n" {
		t.Errorf("cancel: %v", r)
	}
	if got := h.ended(id); got.Status != runnel.StatusCancelled || got.DurationMS > 20_000 || len(got.Attempts) != 1 || got.ErrorCode != runnel.CodeCancelled {
		t.Errorf("cancelled: %+v", got)
	}
	if r := h.admin(http.MethodPost, "/admin/v1/invocations/"+id+"/cancel", ""); r.StatusCode != http.StatusConflict || r.code() != runnel.CodeConflict {
		t.Errorf("cancelled twice: %v", r)
	}
}

func TestCancelAndReplay(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"echo"}`, guests.Echo())
	id := h.call("/functions/v1/echo", `{"b":1,"a":1,"a":1.10}`, "Content-Type", "application/json", "Prefer", "respond-async").Header.Get(headerInvocationID)
	if r := h.admin(http.MethodPost, "/admin/v1/invocations/"+id+"/cancel", ""); r.StatusCode != 200 || r.body != `{"invocation_id":"`+id+`","status":"cancelled"}`+"\n" {
		t.Errorf("cancel: %v", r)
	}
	if got := h.ended(id); got.Status != runnel.StatusCancelled || got.StartedAt != nil {
		t.Errorf("cancelled: %+v", got)
	}
	h.work()
	r := h.admin(http.MethodPost, "/admin/v1/invocations/"+id+"/replay", "")
	var again struct {
		ID       string `json:"invocation_id"`
		ReplayOf string `json:"replay_of"`
	}
	decode(t, r, &again)
	if r.StatusCode != http.StatusAccepted || again.ReplayOf != id || r.Header.Get("Location") != "/admin/v1/invocations/"+again.ID {
		t.Fatalf("replay: %v", r)
	}
	got := h.ended(again.ID)
	if got.Status != runnel.StatusSuccess || got.ReplayOf != id || got.UserID != "user-1" || got.Role != runnel.RoleAuthenticated {
		t.Errorf("replayed: %+v", got)
	}
	var event struct {
		UserID   string `json:"user_id"`
		ReplayOf string `json:"replay_of"`
	}
	decode(t, reply{r.Response, string(got.Result)}, &event)
	if event.ReplayOf != id || event.UserID != "user-1" {
		t.Errorf("event: %s", got.Result)
	}

	for path, want := range map[string]runnel.Code{
		"/admin/v1/invocations/x/cancel":                     runnel.CodeInvalidRequest,
		"/admin/v1/invocations/x/replay":                     runnel.CodeInvalidRequest,
		"/admin/v1/invocations/" + sql.NewID() + "/cancel":   runnel.CodeNotFound,
		"/admin/v1/invocations/" + sql.NewID() + "/replay":   runnel.CodeNotFound,
		"/admin/v1/dead-letters/x/redrive":                   runnel.CodeInvalidRequest,
		"/admin/v1/dead-letters/" + sql.NewID() + "/redrive": runnel.CodeNotFound,
		"/admin/v1/dead-letters/" + again.ID + "/redrive":    runnel.CodeNotFound,
	} {
		if r := h.admin(http.MethodPost, path, ""); r.code() != want {
			t.Errorf("%s: %v, want %s", path, r, want)
		}
		if r := h.call(path, ""); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s as a user: %v", path, r)
		}
	}
}
