package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/golang-jwt/jwt/v5"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
)

func TestPreflight(t *testing.T) {
	h := newHouse(t, Config{})
	ask := func(headers string) reply {
		t.Helper()
		return h.do("OPTIONS", "/functions/v1/anything", "", "Origin", "https://app.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", headers)
	}
	r := ask("authorization, x-client-info")
	if r.StatusCode != 204 || r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Access-Control-Allow-Headers") != corsAllow {
		t.Errorf("%v", r)
	}
	for _, name := range []string{"authorization", "x-client-info", "apikey", "content-type", "x-region", "idempotency-key", "prefer", "traceparent"} {
		if !strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), name) {
			t.Errorf("header %s is not allowed", name)
		}
	}
	for asked, more := range map[string]string{
		"X-Mine, sentry-trace,apikey": ", x-mine, sentry-trace",
		"x-mine,x-mine":               ", x-mine",
		"a b, x:y, é, ,":              "",
		strings.Repeat("x-1,", 5000):  ", x-1",
	} {
		if got := ask(asked).Header.Get("Access-Control-Allow-Headers"); got != corsAllow+more {
			t.Errorf("%.60q: allowed are %q", asked, strings.TrimPrefix(got, corsAllow))
		}
	}
	many := ""
	for i := range 1000 {
		many += fmt.Sprintf("x-%d,", i)
	}
	if got := ask(many).Header.Get("Access-Control-Allow-Headers"); strings.Count(got, ",") != strings.Count(corsAllow, ",")+maxCORSHeaders {
		t.Errorf("of 1000 headers %d are allowed", strings.Count(got, ",")+1)
	}
	r = h.do("POST", "/functions/v1/nope", "", "Origin", "https://app.example")
	if r.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.Header.Get("Access-Control-Expose-Headers"), "x-relay-error") {
		t.Errorf("an error cannot be read by a page: %v", r.Header)
	}
}

// A page of another origin calls functions as supabase-js does, and reads what it
// needs of every kind of answer. What is not a function it cannot reach.
func TestCORSInABrowser(t *testing.T) {
	h := newHouse(t, Config{}).work()
	ctx := browser(t)
	h.function(`{"name":"echo"}`, guests.Echo())
	h.function(`{"name":"trap"}`, guests.Trap())
	h.function(`{"name":"nothing"}`, guests.Answer(""))
	h.function(`{"name":"bytes"}`, guests.Answer(`{"statusCode":200,"headers":{"content-type":"application/octet-stream"},"body":"AP+A","is_base64":true}`))
	h.function(`{"name":"teapot"}`, guests.Answer(`{"statusCode":418,"headers":{"x-mine":"hidden"},"body":{"teapot":true}}`))
	h.function(`{"name":"own","verify_jwt":false}`, guests.Answer(`{"headers":{"Access-Control-Allow-Origin":"*","access-control-expose-headers":"x-mine","x-mine":"seen"},"statusCode":200,"body":"own"}`))
	h.function(`{"name":"private","verify_jwt":false}`, guests.Answer(`{"headers":{"access-control-allow-origin":"https://app.example"},"statusCode":200,"body":"private"}`))

	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>another origin</title>")
	}))
	t.Cleanup(page.Close)
	if err := chromedp.Do(ctx, chromedp.Navigate(page.URL)); err != nil {
		t.Fatal(err)
	}
	token := mint(t, jwt.MapClaims{"role": runnel.RoleAuthenticated, "sub": "user-1"})
	// call has the page make a call and tells what it can see of the answer.
	call := func(name, init string) string {
		t.Helper()
		path := pathFunctions + name
		if strings.HasPrefix(name, "/") {
			path = name
		}
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(`(async () => {
			const token = %q
			const supabase = { authorization: "Bearer " + token, apikey: token, "x-client-info": "supabase-js-web/2.57.0", "content-type": "application/json" }
			let r
			try { r = await fetch(%q, %s) } catch (e) { return e.name }
			const h = n => n + "=" + (n.endsWith("-id") && r.headers.get(n) ? "some" : r.headers.get(n))
			const body = r.headers.get("content-type") === "application/octet-stream" ? [...new Uint8Array(await r.arrayBuffer())].join() : await r.text()
			return [r.status, r.type, ...["x-runnel-invocation-id", "x-request-id", "idempotent-replayed", "preference-applied", "location", "x-relay-error", "x-mine"].map(h).filter(s => !s.endsWith("=null")), body].join(" ")
		})()`, token, h.url+path, init), chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	const ids = "x-runnel-invocation-id=some x-request-id=some "
	for _, c := range []struct{ name, init, want string }{
		{"bytes", `{ method: "POST", headers: supabase, body: "{}" }`, "200 cors " + ids + "0,255,128"},
		{"bytes", `{ headers: { ...supabase, "idempotency-key": "k", prefer: "wait=20", traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x-region": "any", "x-custom-of-mine": "1" } }`,
			"200 cors " + ids + "0,255,128"},
		{"bytes", `{ headers: { ...supabase, "idempotency-key": "k", prefer: "wait=20" } }`, "200 cors " + ids + "idempotent-replayed=true 0,255,128"},
		{"nothing", `{ method: "DELETE", headers: supabase }`, "204 cors " + ids},
		{"teapot", `{ method: "PUT", headers: supabase, body: "{}" }`, "418 cors " + ids + `{"teapot":true}`},
		{"own", `{}`, "200 cors x-mine=seen own"},
		{"private", `{}`, "TypeError"},
		{"own", `{ credentials: "include" }`, "TypeError"},
		{"/admin/v1/functions", fmt.Sprintf(`{ headers: { authorization: "Bearer %s" } }`, testAdminToken), "TypeError"},
		{"/console/api/functions", `{ credentials: "include" }`, "TypeError"},
	} {
		if got := call(c.name, c.init); got != c.want {
			t.Errorf("%s %s: the page saw %q, want %q", c.name, c.init, got, c.want)
		}
	}
	for _, c := range []struct{ name, init, begins, has string }{
		{"echo", `{ method: "PATCH", headers: { ...supabase, "x-custom-of-mine": "1" }, body: '{"n":1}' }`, "200 cors " + ids, `"x-custom-of-mine":"1"`},
		{"echo", `{ method: "POST", headers: { ...supabase, prefer: "respond-async" }, body: "{}" }`, "202 cors " + ids + "preference-applied=respond-async location=/admin/v1/invocations/", `"invocation_id"`},
		{"trap", `{ method: "POST", headers: supabase, body: "{}" }`, "500 cors " + ids, `"code":"FunctionError"`},
		{"nobody", `{ method: "POST", headers: supabase, body: "{}" }`, "404 cors " + ids + "x-relay-error=true ", `"code":"FunctionNotFound"`},
		{"echo", `{ method: "POST" }`, "401 cors " + ids + "x-relay-error=true ", `"code":"Unauthorized"`},
	} {
		if got := call(c.name, c.init); !strings.HasPrefix(got, c.begins) || !strings.Contains(got, c.has) {
			t.Errorf("%s %s: the page saw %q, want %q and %q", c.name, c.init, got, c.begins, c.has)
		}
	}
	if n := strings.Count(h.log.String(), "method=OPTIONS"); n < 5 {
		t.Errorf("the browser asked %d times before it called", n)
	}
}
