// Package npmtest runs packages from npm inside functions and compares what they
// return with node, which runs the same bundle. It has tests only: they install
// package-lock.json into the user's cache with npm ci, and are skipped without node
// and npm.
package npmtest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
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

// Every file of work/ returns in a function what it returns in node.
func TestPackagesDoInAFunctionWhatTheyDoInNode(t *testing.T) {
	dir := npm.Install(t, ".")
	files, err := filepath.Glob("work/*.js")
	if err != nil || len(files) < 15 {
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
			want := npm.Node(t, folder, nil, "-e", `import(process.argv[1]).then((m) => m.work()).then((r) => console.log(JSON.stringify(r)))`, bundle)
			out, err := jstest.Run(t, string(script.Code), sandbox.Call{Timeout: 30 * time.Second})
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
