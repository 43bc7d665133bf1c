// Package npmtest runs packages from npm inside functions and compares what they
// return with node, which runs the same bundle. It has tests only: they install
// package-lock.json into the user's cache with npm ci, and are skipped without node
// and npm.
package npmtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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

const oldestNode = 20 // the first with crypto as a global

// installed returns a folder with work/ and node_modules.
func installed(t *testing.T) string {
	t.Helper()
	dir, why, err := install()
	if err != nil {
		t.Fatal(err)
	}
	if why != "" {
		t.Skip(why)
	}
	return dir
}

// install is done once for a lock file; a second test process finds it done.
func install() (dir, why string, err error) {
	once.Do(func() { once.dir, once.why, once.err = prepare() })
	return once.dir, once.why, once.err
}

var once struct {
	sync.Once
	dir, why string
	err      error
}

func prepare() (dir, why string, err error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", tool + " is not installed (apt-get install nodejs npm)", nil
		}
	}
	version, err := exec.Command("node", "--version").Output()
	if err != nil {
		return "", "", err
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestNode {
		return "", "node is too old for these packages: " + string(version), nil
	}
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		return "", "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.Sum256(lock)
	dir = filepath.Join(cache, "runnel-npmtest-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return "", "", err
		}
		tmp, err := os.MkdirTemp(filepath.Dir(dir), "runnel-npmtest-")
		if err != nil {
			return "", "", err
		}
		defer os.RemoveAll(tmp)
		for _, name := range []string{"package.json", "package-lock.json"} {
			text, err := os.ReadFile(name)
			if err == nil {
				err = os.WriteFile(filepath.Join(tmp, name), text, 0o644)
			}
			if err != nil {
				return "", "", err
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		npm.Dir = tmp
		if out, err := npm.CombinedOutput(); err != nil {
			for _, offline := range []string{"ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH"} {
				if bytes.Contains(out, []byte(offline)) {
					return "", "npm cannot reach a registry: " + offline, nil
				}
			}
			return "", "", errors.New("npm ci: " + err.Error() + "\n" + string(out))
		}
		// Whoever else installed it meanwhile has the same.
		if err := os.Rename(tmp, dir); err != nil {
			if _, there := os.Stat(filepath.Join(dir, "node_modules")); there != nil {
				return "", "", err
			}
		}
	}
	return dir, "", nil
}

// stage copies files into a new folder beside node_modules, where they are resolved.
func stage(t *testing.T, dir string, files ...string) string {
	t.Helper()
	to, err := os.MkdirTemp(dir, "work-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(to) })
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(f)), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// node runs a script and returns what it printed.
func node(t *testing.T, dir string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TZ=UTC", "NO_COLOR=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	return string(out)
}

// Every file of work/ returns in a function what it returns in node.
func TestPackagesDoInAFunctionWhatTheyDoInNode(t *testing.T) {
	dir := installed(t)
	files, err := filepath.Glob("work/*.js")
	if err != nil || len(files) < 15 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".js")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := stage(t, dir, file)
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
			want := node(t, folder, "-e", `import(process.argv[1]).then((m) => m.work()).then((r) => console.log(JSON.stringify(r)))`, bundle)
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
	dir := installed(t)
	template := "../../../cmd/runnel/template/"
	folder := stage(t, dir, template+"runnel.d.ts", template+"tsconfig.json", template+"hello/index.ts", "types/check.ts")
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
