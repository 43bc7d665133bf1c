// Package npmtest runs packages from npm inside functions and compares what they
// return with node, which runs the same bundle. It has tests only: they install
// package-lock.json into the user's cache with npm ci, and are skipped without node
// and npm.
package npmtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel/internal/npm"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sandbox/js"
	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

func TestMain(m *testing.M) {
	if compile.IsChild() {
		os.Exit(compile.Child())
	}
	os.Exit(m.Run())
}

// serve answers a request with what it was, or as the last part of its path says.
func serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var asked struct{ Stream bool }
	_ = json.Unmarshal(body, &asked)
	switch what := path.Base(r.URL.Path); {
	case what == "fails":
		http.Error(w, `{"error":{"message":"no","type":"not_found"}}`, http.StatusNotFound)
	case what == "big":
		_, _ = w.Write(bytes.Repeat([]byte("0123456789"), 30_000))
	case what == "text":
		_, _ = io.WriteString(w, strings.Repeat("ünï€😀", 20_000))
	case what == "echo":
		_, _ = w.Write(body)
	case asked.Stream:
		w.Header().Set("content-type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"piece\":1}\n\ndata: {\"piece\":\"ü\"}\n\ndata: [DONE]\n\n")
	default:
		headers := map[string]string{}
		for name := range r.Header {
			headers[strings.ToLower(name)] = r.Header.Get(name)
		}
		w.Header().Set("content-type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "path": r.URL.RequestURI(), "headers": headers, "body": string(body)})
	}
}

// fetch is http_fetch without its rules about hosts: the server is on this machine.
func fetch(ctx context.Context, request []byte) []byte {
	failed := func(err error) []byte {
		b, _ := json.Marshal(map[string]any{"error": map[string]string{"code": "FetchError", "message": err.Error()}})
		return b
	}
	var q struct {
		Method, URL, Body string
		Headers           map[string]string
		Base64            bool `json:"is_base64"`
	}
	if err := json.Unmarshal(request, &q); err != nil {
		return failed(err)
	}
	body := []byte(q.Body)
	if q.Base64 {
		body, _ = base64.StdEncoding.DecodeString(q.Body)
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, q.URL, bytes.NewReader(body))
	if err != nil {
		return failed(err)
	}
	for name, value := range q.Headers {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return failed(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return failed(err)
	}
	headers := map[string]string{}
	for name := range answer.Header {
		headers[strings.ToLower(name)] = answer.Header.Get(name)
	}
	b, _ := json.Marshal(map[string]any{"status": answer.StatusCode, "headers": headers, "body": base64.StdEncoding.EncodeToString(text), "is_base64": true, "url": q.URL})
	return b
}

// Every file of work/ returns in a function what it returns in node.
func TestPackagesDoInAFunctionWhatTheyDoInNode(t *testing.T) {
	dir := npm.Install(t, ".")
	server := httptest.NewServer(http.HandlerFunc(serve))
	t.Cleanup(server.Close)
	files, err := filepath.Glob("work/*.js")
	if err != nil || len(files) < 31 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".js")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := npm.Stage(t, dir, file)
			entry := filepath.Join(folder, "function.js")
			if err := os.WriteFile(entry, []byte(`import { work } from "./`+name+`.js"; export { work }; export const handler = () => work();`), 0o644); err != nil {
				t.Fatal(err)
			}
			script, err := js.Bundle(entry)
			if err != nil {
				t.Fatal(err)
			}
			bundle := filepath.Join(folder, "bundle.mjs")
			if err := os.WriteFile(bundle, script.Code, 0o644); err != nil {
				t.Fatal(err)
			}
			// The result is the last line; what is before was logged.
			want := npm.Node(t, folder, []string{"SERVER=" + server.URL}, "-e", `import(process.argv[1]).then((m) => m.work()).then((r) => console.log(JSON.stringify(r)))`, bundle)
			out, err := jstest.Run(t, string(script.Code), sandbox.Call{Timeout: 30 * time.Second, Env: map[string]string{"SERVER": server.URL}, Fetch: fetch})
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, l := range out.Logs {
				got.WriteString(l.Message + "\n")
			}
			got.Write(out.Output)
			got.WriteByte('\n')
			if got.String() != want {
				t.Errorf("a function:\n%s\nnode:\n%s", got.String(), want)
			}
		})
	}
}

// The types of "runnel init" accept what is right and refuse what is wrong.
func TestTypes(t *testing.T) {
	dir := npm.Install(t, ".")
	template := "../../../cmd/runnel/template/"
	folder := npm.Stage(t, dir, template+"runnel.d.ts", template+"tsconfig.json", template+"hello/index.ts", "types/check.ts")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tsc := exec.CommandContext(ctx, filepath.Join(dir, "node_modules", ".bin", "tsc"), "-p", folder)
	if out, err := tsc.CombinedOutput(); err != nil {
		t.Errorf("tsc: %v\n%s", err, out)
	}
	// The check itself must be able to fail.
	if err := os.WriteFile(filepath.Join(folder, "wrong.ts"), []byte("export const x: number = env.A;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(ctx, filepath.Join(dir, "node_modules", ".bin", "tsc"), "-p", folder).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("wrong.ts")) {
		t.Errorf("tsc accepted what is wrong: %v\n%s", err, out)
	}
}
