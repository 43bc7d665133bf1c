// Package kits compares Runnel's Extism ABI with Extism's own Go SDK, and measures
// what a fresh instance costs in each language. It is a module of its own, so that
// what it needs is not among Runnel's dependencies.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"

	"github.com/runnelhq/runnel/sandbox"
)

var config = map[string]string{"thing": "hello", "NAME": "Ada"}

// theirs compiles a plug-in in Extism's Go SDK, and returns what runs it in a fresh
// instance.
func theirs(t testing.TB, wasm []byte, entry string) func(input []byte) (output []byte, err error) {
	t.Helper()
	compiled, err := extism.NewCompiledPlugin(context.Background(), extism.Manifest{
		Wasm: []extism.Wasm{extism.WasmData{Data: wasm}}, Config: config,
	}, extism.PluginConfig{EnableWasi: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = compiled.Close(context.Background()) })
	return func(input []byte) ([]byte, error) {
		plugin, err := compiled.Instance(context.Background(), extism.PluginInstanceConfig{ModuleConfig: wazero.NewModuleConfig().WithSysWalltime()})
		if err != nil {
			return nil, err
		}
		defer plugin.Close(context.Background())
		_, output, err := plugin.Call(entry, input)
		return bytes.Clone(output), err
	}
}

// ours runs it in Runnel's sandbox.
func ours(t testing.TB, r *sandbox.Runtime, wasm, input []byte) (sandbox.Outcome, error) {
	t.Helper()
	sum := sha256.Sum256(wasm)
	return r.Run(t.Context(), sandbox.Call{
		Hash: hex.EncodeToString(sum[:]), Load: func(context.Context) ([]byte, error) { return wasm, nil },
		Event: input, Env: config, Timeout: time.Minute, Memory: 64 << 20,
	})
}

func newRuntime(t testing.TB) *sandbox.Runtime {
	t.Helper()
	r, err := sandbox.New(context.Background(), sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

// asJSON is what Runnel makes of a plug-in's output.
func asJSON(output []byte) string {
	trimmed := bytes.TrimSpace(output)
	if len(trimmed) == 0 || json.Valid(trimmed) {
		return string(trimmed)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(string(output))
	return strings.TrimSuffix(b.String(), "\n")
}

func sdkFolder(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/extism/go-sdk").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "wasm")
}

// same runs a plug-in in both and compares output, failure and the message that the
// plug-in set. Traps read differently.
func same(t *testing.T, r *sandbox.Runtime, wasm []byte, entry string, inputs ...string) {
	t.Helper()
	if info, err := sandbox.Check(t.Context(), wasm); err != nil || info.Kind != sandbox.Extism {
		t.Fatalf("got %+v, %v", info, err)
	}
	extism := theirs(t, wasm, entry)
	for _, input := range inputs {
		want, wantErr := extism([]byte(input))
		out, err := ours(t, r, wasm, []byte(input))
		switch {
		case wantErr == nil && !utf8.Valid(want):
			if err == nil || !strings.Contains(err.Error(), "neither JSON nor text") {
				t.Errorf("%.60s: Runnel %.200q, %v; Extism %.200q", input, out.Output, err, want)
			}
		case (err != nil) != (wantErr != nil):
			t.Errorf("%.60s: Runnel %v, Extism %v", input, err, wantErr)
		case err == nil && string(out.Output) != asJSON(want):
			t.Errorf("%.60s: Runnel %.200q, Extism %.200q", input, out.Output, asJSON(want))
		case err != nil && !strings.Contains(wantErr.Error(), "wasm stack trace") && err.Error() != "FunctionError: "+wantErr.Error():
			t.Errorf("%.60s: Runnel fails with %q, Extism with %q", input, err, wantErr)
		}
	}
}

// The plug-ins that Extism tests its Go SDK with, from TinyGo, Go, Rust, Haskell and
// C, as they were built there. Not here: those that bring host functions, modules or
// files of their own.
func TestPluginsOfTheSDK(t *testing.T) {
	r := newRuntime(t)
	for file, entry := range map[string]string{
		"alloc": "run_test", "config": "run_test", "count_vowels": "count_vowels", "count_vowels_std": "_start",
		"fail": "run_test", "hello": "run_test", "hello_haskell": "testing", "input_offset": "input_offset_length",
		"log": "run_test", "println": "run_test", "replace": "run_test", "std_command": "_start", "var": "run_test",
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			wasm, err := os.ReadFile(filepath.Join(sdkFolder(t), file+".wasm"))
			if err != nil {
				t.Fatal(err)
			}
			same(t, r, wasm, entry, `{"trigger":"sql","payload":1}`, "", "some text, Grüße", strings.Repeat("aeiou ", 20_000))
		})
	}
}

func build(t testing.TB, dir string, command ...string) {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("%s is not installed", command[0])
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestGoPDK(t *testing.T) {
	out := filepath.Join(t.TempDir(), "plugin.wasm")
	build(t, "plugin/go", "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, ".")
	wasm, r := read(t, out), newRuntime(t)
	same(t, r, wasm, "run",
		`{"do":"echo","value":"Grüße"}`, `{"do":"echo","value":""}`, `{"do":"json","value":"<a>","n":7}`,
		`{"do":"repeat","value":"0123456","n":200000}`,
		`{"do":"config","value":"thing"}`, `{"do":"config","value":"absent"}`, `{"do":"config","value":""}`,
		`{"do":"vars","value":"k","n":300}`, `{"do":"vars","value":"k","n":5000}`,
		`{"do":"log","value":"careful"}`, `{"do":"memory","n":20000}`,
		`{"do":"error","value":"no such order"}`, `{"do":"panic","value":"at the disco"}`, `not json`)
	// Extism's SDK hands a return code to its caller, here it is a failure.
	if _, err := ours(t, r, wasm, []byte(`{"do":"code","n":3}`)); err == nil || !strings.Contains(err.Error(), "run returned 3") {
		t.Errorf("a return code of 3: %v", err)
	}
	if out, err := ours(t, r, wasm, []byte(`{"do":"log","value":"careful"}`)); err != nil || len(out.Logs) != 1 || out.Logs[0].Level != "warn" || out.Logs[0].Message != "careful" {
		t.Errorf("got %+v, %v", out.Logs, err)
	}
	if _, err := ours(t, r, wasm, []byte(`{"do":"http","value":"https://example.com/"}`)); err == nil || !strings.Contains(err.Error(), "HostNotAllowed") {
		t.Errorf("a request without allowed hosts: %v", err)
	}
}

func TestAssemblyScriptPDK(t *testing.T) {
	if _, err := os.Stat("plugin/as/node_modules"); err != nil {
		t.Skip("npm ci --prefix bench/kits/plugin/as installs AssemblyScript")
	}
	build(t, "plugin/as", "npm", "run", "build")
	wasm, r := read(t, "plugin/as/plugin.wasm"), newRuntime(t)
	// The PDK cuts text that is not ASCII.
	same(t, r, wasm, "run", "echo hello", "echo Grüße aus Köln", "echo Köln!", "config thing", "config absent", "vars key", "log a line")
	if _, err := ours(t, r, wasm, []byte("other x")); err == nil || !strings.Contains(err.Error(), "run returned 1") {
		t.Errorf("a return code of 1: %v", err)
	}
}

func TestPluginInC(t *testing.T) {
	build(t, "plugin/c", "make", "plugin.wasm")
	wasm, r := read(t, "plugin/c/plugin.wasm"), newRuntime(t)
	same(t, r, wasm, "upper", "", "hello", strings.Repeat("x", 1<<20))
}
