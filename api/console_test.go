package api

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
)

// TestConsoleAsksWhoYouAre: the page and its data need a session, and a session
// is no key to the management API outside of the page.
func TestConsoleAsksWhoYouAre(t *testing.T) {
	h := newHouse(t, Config{})
	cookie := sessionCookie + "=" + h.server.sessions.issue()

	if r := h.do(http.MethodGet, pathConsole, "", "Accept", "text/html"); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/login?next=%2Fconsole%2F" {
		t.Errorf("without a session: %v", r)
	}
	for _, path := range []string{pathConsole + "console.js", pathConsoleAPI + "functions"} {
		if r := h.do(http.MethodGet, path, ""); r.StatusCode != http.StatusUnauthorized || r.code() != runnel.CodeUnauthorized {
			t.Errorf("%s without a session: %v", path, r)
		}
	}
	if r := h.do(http.MethodGet, pathConsole, "", "Cookie", cookie); r.StatusCode != http.StatusOK || r.Header.Get("Content-Security-Policy") != consolePolicy {
		t.Errorf("with a session: %v", r)
	}
	if r := h.do(http.MethodGet, pathConsoleAPI+"functions", "", "Cookie", cookie); r.StatusCode != http.StatusOK || !strings.HasPrefix(r.body, `{"functions":`) {
		t.Errorf("data with a session: %v", r)
	}
	if r := h.do(http.MethodGet, pathConsoleAPI+"functions/Not%20A%20Name", "", "Cookie", cookie); r.StatusCode != http.StatusBadRequest {
		t.Errorf("a bad name: %v", r)
	}
	if r := h.do(http.MethodGet, pathAdmin+"functions", "", "Cookie", cookie); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("the management API with a cookie: %v", r)
	}
	for _, foreign := range [][2]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		r := h.do(http.MethodPatch, pathConsoleAPI+"functions/hello", `{"enabled":false}`, "Cookie", cookie, foreign[0], foreign[1])
		if r.StatusCode != http.StatusForbidden || r.code() != runnel.CodeForbidden {
			t.Errorf("%s: %v", foreign, r)
		}
	}
}

// browser starts a Chromium that speaks to nobody but the test's server. It has a
// minute from now: call it after newHouse, which waits for other tests.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium on PATH: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's refuses to run as root
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// TestConsoleInABrowser: somebody logs in, finds a function and what it logged, runs
// it again, reads a schedule, redrives a dead letter and disables the function. What
// the function logged was written to attack the page.
func TestConsoleInABrowser(t *testing.T) {
	h := newHouse(t, Config{}).work()
	ctx := browser(t)
	const attack = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
	environment, err := json.Marshal(map[string]string{"NOTE": attack})
	if err != nil {
		t.Fatal(err)
	}
	h.function(`{"name":"hostile","description":"<b>bold</b>","environment":`+string(environment)+`}`, guests.Tell("NOTE"))
	id := h.call("/functions/v1/hostile", `{}`).Header.Get(headerInvocationID)
	h.ended(id)

	if r := h.admin(http.MethodPost, "/admin/v1/functions/hostile/schedules", `{"name":"nightly","cron":"0 3 * * *"}`); r.StatusCode != http.StatusCreated {
		t.Fatal(r)
	}
	h.function(`{"name":"broken"}`, guests.Trap())
	failed := h.call("/functions/v1/broken", `{}`).Header.Get(headerInvocationID)

	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		for i, step := range steps {
			err := chromedp.Do(ctx, step)
			for err != nil && strings.Contains(err.Error(), "Could not find node") {
				err = chromedp.Do(ctx, step) // the page was written anew between the look-up and the click
			}
			if err != nil {
				t.Fatalf("step %d of these: %v", i, err)
			}
		}
	}
	read := func(action chromedp.Action[string]) string {
		t.Helper()
		text, err := chromedp.Run(ctx, action)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}

	do(
		chromedp.Navigate(h.url+pathConsole),
		chromedp.WaitVisible(chromedp.CSS("#token")),
		chromedp.SendKeys(chromedp.CSS("#token"), testAdminToken),
		chromedp.Click(chromedp.CSS("main button, form button")),
		chromedp.WaitVisible(chromedp.CSS(`a[href="#/functions/hostile"]`)),
		chromedp.Click(chromedp.CSS(`a[href="#/functions/hostile"]`)),
		chromedp.WaitVisible(chromedp.CSS(`a[href="#/invocations/`+id+`"]`)),
		chromedp.Click(chromedp.CSS(`a[href="#/invocations/`+id+`"]`)),
		chromedp.WaitVisible(chromedp.CSS(".level-info")),
	)
	logged := read(chromedp.Text(chromedp.CSS(".level-info")))
	read(chromedp.Evaluate[string](`window.confirm = () => true; ""`))
	press := func(title string) chromedp.Action[chromedp.Void] {
		return chromedp.Click(chromedp.CSS(`button[data-action="` + title + `"]`))
	}
	shows := func(hash string) chromedp.Action[chromedp.Void] {
		return chromedp.WaitVisible(chromedp.CSS(`main[data-shows^="` + hash + `"]`))
	}
	do(
		press("Replay"),
		chromedp.WaitVisible(chromedp.CSS(`p a[href="#/invocations/`+id+`"]`)), // that it is a replay of
		chromedp.Click(chromedp.CSS(`a[href="#/dead-letters"]`)),
		shows("#/dead-letters"),
		chromedp.WaitVisible(chromedp.CSS(`a[href="#/invocations/`+failed+`"]`)),
		press("Redrive"),
		chromedp.Click(chromedp.CSS(`a[href="#/"]`)),
		chromedp.WaitVisible(chromedp.CSS(`main[data-shows="#/"]`)),
		chromedp.Click(chromedp.CSS(`a[href="#/functions/hostile"]`)),
		chromedp.WaitVisible(chromedp.CSS(".figures b")),
		chromedp.WaitVisible(chromedp.CSS(`a[href^="#/schedules/"]`)),
		chromedp.Click(chromedp.CSS(`a[href^="#/schedules/"]`)),
		shows("#/schedules/"),
		press("Disable"),
		chromedp.WaitVisible(chromedp.CSS(".actions .status.disabled")),
		chromedp.Click(chromedp.CSS(`dd a[href="#/functions/hostile"]`)),
		shows("#/functions/"),
		press("Disable"),
		chromedp.WaitVisible(chromedp.CSS(`button[data-action="Enable"]`)),
	)
	title := read(chromedp.Title())
	if !strings.Contains(logged, attack) {
		t.Errorf("the page shows %q for the log line", logged)
	}
	if title != "Runnel" {
		t.Errorf("a log line ran as script: the title is %q", title)
	}
	if r := h.call("/functions/v1/hostile", `{}`); r.StatusCode != http.StatusNotFound {
		t.Errorf("the page says disabled, a call %v", r)
	}
	h.until("the second attempt of what was redriven", func() bool { return h.ended(failed).Attempt == 2 })
}
