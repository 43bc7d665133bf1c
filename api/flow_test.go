package api

import (
	"strconv"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
)

func TestCallersOfAFullFunction(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"slow","max_concurrency":1}`, guests.Sleep(3000))
	h.function(`{"name":"off","paused":true}`, guests.Echo())
	first := h.call("/functions/v1/slow", `{}`, "Prefer", "respond-async") // has the one place from here on
	if first.StatusCode != 202 {
		t.Fatal(first)
	}
	r := h.call("/functions/v1/slow", `{}`)
	after, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if r.code() != runnel.CodeTooManyRequests || err != nil || after < 1 || r.Header.Get("X-Relay-Error") != "true" || !strings.Contains(r.body, "respond-async") {
		t.Errorf("second call: %v", r)
	}
	queued := h.call("/functions/v1/slow", `{}`, "Prefer", "respond-async")
	if queued.StatusCode != 202 {
		t.Fatalf("asynchronous call: %v", queued)
	}
	if got := h.ended(first.Header.Get(headerInvocationID)); got.Status != runnel.StatusSuccess {
		t.Errorf("the first call: %+v", got)
	}
	if got := h.ended(queued.Header.Get(headerInvocationID)); got.Status != runnel.StatusSuccess {
		t.Errorf("the queued call: %+v", got)
	}
	if r := h.call("/functions/v1/off", `{}`); r.code() != runnel.CodeTooManyRequests || r.Header.Get("Retry-After") != "10" {
		t.Errorf("paused: %v", r)
	}
	kept := h.call("/functions/v1/off", `{}`, "Prefer", "wait=1")
	if kept.StatusCode != 202 {
		t.Errorf("paused, wait=1: %v", kept)
	}
	if r := h.admin("PATCH", "/admin/v1/functions/off", `{"paused":false}`); r.StatusCode != 200 {
		t.Fatal(r)
	}
	if got := h.ended(kept.Header.Get(headerInvocationID)); got.Status != runnel.StatusSuccess {
		t.Errorf("after the pause: %+v", got)
	}
}

func TestFlowIsConfiguredAndShown(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"f","max_concurrency":5,"concurrency_key":"tenant.id","max_concurrency_per_key":2,"rate":"600/m","priority":2}`, guests.Echo())
	for patch, want := range map[string]string{
		`{}`: `"concurrency_key":"tenant.id","max_concurrency_per_key":2,"rate":{"per_second":10,"burst":10},"priority":2,"paused":false`,
	} {
		if r := h.admin("PATCH", "/admin/v1/functions/f", patch); !strings.Contains(r.body, want) {
			t.Errorf("%s: %v, want %s", patch, r, want)
		}
	}
	if r := h.admin("GET", "/admin/v1/functions/f", ""); !strings.Contains(r.body, `"max_concurrency":5`) {
		t.Error(r)
	}
	r := h.admin("PATCH", "/admin/v1/functions/f", `{"max_concurrency":0,"concurrency_key":"","rate":"","priority":0,"paused":true}`)
	for _, gone := range []string{"concurrency_key", "rate", "priority"} {
		if strings.Contains(r.body, `"`+gone+`"`) {
			t.Errorf("%s is still there: %v", gone, r)
		}
	}
	if !strings.Contains(r.body, `"paused":true`) || !strings.Contains(r.body, `"max_concurrency":null`) {
		t.Error(r)
	}
	for _, bad := range []string{`{"max_concurrency_per_key":2}`, `{"rate":"fast"}`, `{"rate":{"per_second":-1}}`, `{"priority":9}`, `{"concurrency_key":"a..b"}`, `{"paused":"yes"}`, `{"max_concurrency":-1}`} {
		if r := h.admin("PATCH", "/admin/v1/functions/f", bad); r.code() != runnel.CodeInvalidRequest {
			t.Errorf("%s: %v", bad, r)
		}
	}
}

func TestStatsOfAFunction(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"hello"}`, guests.Answer(`1`))
	h.function(`{"name":"trap"}`, guests.Trap())
	for range 3 {
		h.call("/functions/v1/hello", `{}`)
	}
	h.call("/functions/v1/trap", `{}`)
	if r := h.admin("GET", "/admin/v1/functions/hello/stats", ""); r.StatusCode != 200 || !strings.Contains(r.body, `"function":"hello","since":null,"attempts":3,`) ||
		!strings.Contains(r.body, `"success":3`) || !strings.Contains(r.body, `"error":0`) || !strings.Contains(r.body, `"error_rate":0,`) || strings.Contains(r.body, `"p99":0}`) {
		t.Error(r)
	}
	if r := h.admin("GET", "/admin/v1/functions/trap/stats?since=1h", ""); !strings.Contains(r.body, `"attempts":1,`) || !strings.Contains(r.body, `"error":1`) || !strings.Contains(r.body, `"error_rate":1,`) {
		t.Error(r)
	}
	for path, code := range map[string]runnel.Code{"nobody/stats": runnel.CodeFunctionNotFound, "hello/stats?since=soon": runnel.CodeInvalidRequest, "hello/stats?status=error": runnel.CodeInvalidRequest} {
		if r := h.admin("GET", "/admin/v1/functions/"+path, ""); r.code() != code {
			t.Errorf("%s: %v", path, r)
		}
	}
	if r := h.do("GET", "/admin/v1/functions/hello/stats", ""); r.StatusCode != 401 {
		t.Errorf("without a token: %v", r)
	}
}
