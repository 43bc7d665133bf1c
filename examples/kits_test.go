package examples_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox"
)

// kits are the examples of the language kits: how each of their modules is built from
// its folder, and what for.
var kits = []struct {
	dir, module string
	kind        sandbox.Kind
	build       []string
	needs       []string // commands
	slow        bool     // under the race detector
	shot        bool     // runs from a snapshot too
}{
	{"go-webhook", "command.wasm", sandbox.Command, []string{"go", "build", "-ldflags=-s -w", "-o", "command.wasm", "."}, nil, true, false},
	{"go-webhook", "reactor.wasm", sandbox.Reactor, []string{"go", "build", "-tags", "reactor", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "reactor.wasm", "."}, nil, true, true},
	{"c-rollup", "command.wasm", sandbox.Command, []string{"make", "command.wasm"}, []string{"make", "clang", "wasm-ld"}, false, false},
	{"c-rollup", "reactor.wasm", sandbox.Reactor, []string{"make", "reactor.wasm"}, []string{"make", "clang", "wasm-ld"}, false, true},
	{"as-iban", "iban.wasm", sandbox.Reactor, []string{"npm", "run", "build"}, []string{"npm"}, false, false},
	{"rust-mailing", "mailing.wasm", sandbox.Command, []string{"make", "mailing.wasm"}, []string{"make", "rustc", "wasm-ld"}, true, false},
	{"rust-mailing", "reactor.wasm", sandbox.Reactor, []string{"make", "reactor.wasm"}, []string{"make", "rustc", "wasm-ld"}, true, false},
	{"extism-slug", "slug.wasm", sandbox.Extism, []string{"go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "slug.wasm", "."}, nil, true, false},
}

// needed are files that a toolchain has to have beyond its command; a name with a
// wildcard is one that fits.
var needed = map[string][]string{
	"c-rollup":     {"/usr/lib/wasm32-wasi/libc.a", "/usr/lib/llvm-*/lib/clang/*/lib/wasi/libclang_rt.builtins-wasm32.a"},
	"rust-mailing": {"/usr/lib/rustlib/wasm32-wasi*/lib/libstd-*.rlib"},
	"as-iban":      {"kits/as-iban/node_modules/.bin/asc"},
}

// TestKits builds each example and compares what it answers with its cases.json. It
// skips a language whose toolchain is not there; .ci/run installs them all.
func TestKits(t *testing.T) {
	for _, kit := range kits {
		t.Run(kit.dir+" "+string(kit.kind), func(t *testing.T) {
			if kit.slow && raceEnabled {
				t.Skip("compiling a module of megabytes takes minutes under the race detector")
			}
			for _, tool := range kit.needs {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skipf("%s is not installed: docs/LANGUAGES.md says what this language needs", tool)
				}
			}
			for _, pattern := range needed[kit.dir] {
				if files, _ := filepath.Glob(pattern); len(files) == 0 {
					t.Skipf("%s is not installed: docs/LANGUAGES.md says what this language needs", pattern)
				}
			}
			cmd := exec.Command(kit.build[0], kit.build[1:]...)
			cmd.Dir, cmd.Env = filepath.Join("kits", kit.dir), os.Environ()
			if kit.build[0] == "go" {
				cmd.Env = append(cmd.Env, "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off")
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", kit.build, err, out)
			}
			wasm, err := os.ReadFile(filepath.Join(cmd.Dir, kit.module))
			if err != nil {
				t.Fatal(err)
			}
			if info, err := sandbox.Check(t.Context(), wasm); err != nil || info.Kind != kit.kind {
				t.Fatalf("got %+v, %v", info, err)
			}
			cases, f := filepath.Join(cmd.Dir, "cases.json"), newFunction(t, wasm)
			fuel := runCases(t, f, cases)
			if !kit.shot {
				return
			}
			shot, _, err := f.runtime.Snapshot(t.Context(), sandbox.Snapshot{Wasm: wasm, Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			after := runCases(t, newFunction(t, shot), cases)
			t.Logf("fuel %d, from a snapshot %d", fuel, after)
			// Go's runtime has started, and encoding/json knows the kit's types.
			if after > fuel || kit.build[0] == "go" && after > fuel/2 {
				t.Errorf("fuel %d, from a snapshot %d", fuel, after)
			}
		})
	}
}

// runCases returns the fuel that all cases took.
func runCases(t *testing.T, f *function, file string) (fuel int64) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Event  json.RawMessage   `json:"event"`
		Env    map[string]string `json:"env"`
		Result json.RawMessage   `json:"result"`
		Error  string            `json:"error"` // part of the message
		Log    string            `json:"log"`   // a line of the log
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&cases); err != nil || len(cases) == 0 {
		t.Fatalf("%s: %v", file, err)
	}
	for _, c := range cases {
		f.env = c.Env
		out, err := f.run(context.Background(), string(c.Event))
		fuel += out.Fuel
		switch {
		case c.Error != "":
			if runnel.CodeOf(err) != runnel.CodeFunctionError || !strings.Contains(err.Error(), c.Error) {
				t.Errorf("%s\n  got  %s, %v\n  want an error that says %q", c.Event, out.Output, err, c.Error)
			}
		case err != nil:
			t.Errorf("%s: %v", c.Event, err)
		default:
			if got, want := canonical(t, out.Output), canonical(t, c.Result); got != want {
				t.Errorf("%s\n  got  %s\n  want %s", c.Event, got, want)
			}
		}
		logged := false
		for _, line := range out.Logs {
			logged = logged || line.Message == c.Log
		}
		if c.Log != "" && !logged {
			t.Errorf("%s: %q is not in the log: %v", c.Event, c.Log, out.Logs)
		}
		if out.Duration > 5*time.Second {
			t.Errorf("%s took %v", c.Event, out.Duration)
		}
	}
	return fuel
}
