package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
)

// source deploys a script and returns its answer.
func (h *house) source(metadata, file, text string) reply {
	h.t.Helper()
	body, contentType := form(h.t, part{"metadata", "", metadata}, part{"file", file, text})
	return h.admin(http.MethodPost, "/admin/v1/functions", body.String(), "Content-Type", contentType)
}

// What a script logs at deploy is the deployer's to read: all of it up to a bound, and
// nothing that a terminal would obey.
func TestADeployAnswersWithWhatTheScriptLogged(t *testing.T) {
	h := newHouse(t, Config{})
	var got struct {
		Version int
		Logs    []runnel.LogLine
	}
	r := h.source(`{"name":"f","environment":{"MY_TOKEN":"token-1234567890"}}`, "f.ts", `
console.log("routes:", { a: 1 }); console.warn("\x1b[2J\x9b31m\u202e" + "end"); console.error("token-1234567890");
export const handler = () => { console.log("not now") }`)
	decode(t, r, &got)
	if r.StatusCode != 201 || len(got.Logs) != 3 {
		t.Fatalf("%v", r)
	}
	for i, want := range []runnel.LogLine{{Level: "info", Message: "routes: { a: 1 }"}, {Level: "warn", Message: `\u001b[2J\u009b31m\u202eend`}, {Level: "error", Message: "***REDACTED***"}} {
		if got.Logs[i].Level != want.Level || got.Logs[i].Message != want.Message {
			t.Errorf("line %d: %q, want %q", i, got.Logs[i], want)
		}
	}

	// It is there, too, when the script fails, and it has an end.
	r = h.source(`{"name":"f"}`, "f.js", `console.log("before"); throw new Error("no")`)
	decode(t, r, &got)
	if r.StatusCode != 400 || r.code() != runnel.CodeInvalidModule || len(got.Logs) != 1 || got.Logs[0].Message != "before" {
		t.Errorf("a script that throws: %v", r)
	}
	r = h.source(`{"name":"f"}`, "f.js", `for (let i = 0; i < 20000; i++) console.log("\x07".repeat(100)); export const handler = () => 1`)
	decode(t, r, &got)
	if last := got.Logs[len(got.Logs)-1]; r.StatusCode != 200 || !strings.Contains(last.Message, "truncated") || len(r.body) > 8*runnel.MaxLogSize {
		t.Errorf("a script that shouts: %d, %d bytes, last line %q", r.StatusCode, len(r.body), last.Message)
	}
	if r := h.source(`{"name":"f"}`, "f.js", `export const handler = () => 1`); strings.Contains(r.body, "logs") {
		t.Errorf("a silent script: %v", r)
	}
}

// The same source is the same module. Whether it makes a version is the deployer's
// choice: without if_changed each deploy does.
func TestFUNC_I5_TheSameSourceIsDeployedOnce(t *testing.T) {
	h := newHouse(t, Config{}).work()
	var first, got struct {
		Version   int
		WasmHash  string `json:"wasm_hash"`
		UpdatedAt string `json:"updated_at"`
		Timeout   float64
		Unchanged bool
	}
	const text = "export const handler = (e: { n: number }) => `${e.n} ${Math.random() < 1}`"
	decode(t, h.source(`{"name":"f","if_changed":true}`, "f.ts", text), &first)
	for range 3 {
		r := h.source(`{"name":"f","if_changed":true}`, "f.ts", text)
		decode(t, r, &got)
		if r.StatusCode != 200 || got.Version != 1 || !got.Unchanged || got.WasmHash != first.WasmHash || got.UpdatedAt != first.UpdatedAt {
			t.Errorf("the same source again: %v", r)
		}
	}
	r := h.source(`{"name":"f","if_changed":true,"timeout":3}`, "f.ts", text)
	decode(t, r, &got)
	if got.Version != 1 || !got.Unchanged || got.Timeout != 3 || got.UpdatedAt == first.UpdatedAt {
		t.Errorf("another timeout: %v", r)
	}
	got.Unchanged = false
	r = h.source(`{"name":"f"}`, "f.ts", text)
	decode(t, r, &got)
	if got.Version != 2 || got.Unchanged || got.WasmHash != first.WasmHash {
		t.Errorf("whether or not it has changed: %v", r)
	}
	r = h.source(`{"name":"f","if_changed":true}`, "f.ts", text+"; console.log(1)")
	decode(t, r, &got)
	if got.Version != 3 || got.Unchanged {
		t.Errorf("another source: %v", r)
	}
	if r := h.admin("PATCH", "/admin/v1/functions/f", `{"if_changed":true}`); r.StatusCode != 400 {
		t.Errorf("a PATCH makes no version in any case: %v", r)
	}
}
