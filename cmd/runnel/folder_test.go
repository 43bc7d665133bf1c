package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files writes a folder; content by path.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReadFolder(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"hello/runnel.json": `{"config":{"timeout":"2s"},"sql":"../x.sql","try":[{"trigger":"http","command":"c"}]}`})
	f, err := readFolder(filepath.Join(dir, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "hello" || string(f.Config["timeout"]) != `"2s"` || f.sqlFile() != filepath.Join(dir, "x.sql") || f.Try[0].Command != "c" {
		t.Errorf("%+v", f)
	}
}

func TestReadFolderRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		`{"nmae":"x"}`:            `"nmae"`,
		`{"config":{"name":"x"}}`: "move it",
		`{} {}`:                   "something after",
		`{`:                       "runnel.json",
		`{"build":"make"}`:        "build",
	} {
		_, err := readFolder(files(t, map[string]string{"runnel.json": text}))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want one saying %q", text, err, says)
		}
	}
}

func TestModuleOfAFolder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		want  string // the module's bytes
		says  string // or the error
	}{
		"the only one":    {map[string]string{"a.wasm": "A"}, "A", ""},
		"named":           {map[string]string{"a.wasm": "A", "b.wasm": "B", "runnel.json": `{"module":"b.wasm"}`}, "B", ""},
		"named elsewhere": {map[string]string{"out/b.wasm": "B", "runnel.json": `{"module":"out/b.wasm"}`}, "B", ""},
		"built":           {map[string]string{"src": "S", "runnel.json": `{"build":["cp","src","a.wasm"]}`}, "S", ""},
		"two":             {map[string]string{"a.wasm": "A", "b.wasm": "B"}, "", "2 .wasm files"},
		"none":            {map[string]string{"x.txt": ""}, "", "neither"},
		"missing":         {map[string]string{"runnel.json": `{"module":"b.wasm"}`}, "", "b.wasm"},
		"build fails":     {map[string]string{"a.wasm": "A", "runnel.json": `{"build":["false"]}`}, "", "build command"},
		"build unknown":   {map[string]string{"a.wasm": "A", "runnel.json": `{"build":["no-such-command"]}`}, "", "no-such-command"},
	} {
		f, err := readFolder(files(t, c.files))
		if err != nil {
			t.Fatal(err)
		}
		var progress buffer
		err = f.build(t.Context(), &progress)
		var d deployment
		if err == nil {
			d, err = f.load(t.Context(), &progress)
		}
		if c.says == "" && (err != nil || string(d.wasm) != c.want) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %q, %v; want %q or an error saying %q", name, d.wasm, err, c.want, c.says)
		}
	}
}

func TestGoFolder(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the standard library for WASI")
	}
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	dir := files(t, map[string]string{"go.mod": "module x\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { println(1) }\n"})
	f, err := readFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	var progress buffer
	d, err := f.load(t.Context(), &progress)
	if err != nil || !strings.HasPrefix(string(d.wasm), "\x00asm") {
		t.Errorf("%.8q, %v\n%s", d.wasm, err, progress.String())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.wasm")); len(left) != 0 {
		t.Errorf("the build left %v in the folder", left)
	}
	write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() { undefined() }\n")
	if _, err := f.load(t.Context(), &progress); err == nil || !strings.Contains(progress.String(), "undefined: undefined") {
		t.Errorf("broken source: error %v, progress %q", err, progress.String())
	}
	write(t, filepath.Join(dir, "main.go"), "package notmain\n")
	if _, err := f.load(t.Context(), &progress); err == nil || !strings.Contains(err.Error(), "package main") {
		t.Errorf("not a main package: error %v", err)
	}
}

func TestFindFolders(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"a/runnel.json": "{}", "b/runnel.json": "{}", "c/x.wasm": "", "demo.sql": ""})
	got, err := findFolders(dir)
	if want := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, file := range []string{"d/index.ts", "e/index.js", "_shared/index.ts", "node_modules/index.js", "f/main.ts", ".git/index.js"} {
		write(t, filepath.Join(dir, file), "")
	}
	got, err = findFolders(dir)
	if want := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "d"), filepath.Join(dir, "e")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	got, err = findFolders(filepath.Join(dir, "a"))
	if want := []string{filepath.Join(dir, "a")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// What dev takes for its folder: the one it is given, else the first that has
// functions, else the current one, for those to come.
func TestTheFolderOfDev(t *testing.T) {
	alone(t)
	for _, c := range []struct{ file, given, root, dirs string }{
		{"", "", ".", ""},
		{"hello/runnel.json", "", ".", "hello"},
		{"functions/f/runnel.json", "", "functions", "functions/f"},
		{"examples/readme.txt", "", "functions", "functions/f"},
		{"examples/e/runnel.json", "", "examples", "examples/e"},
		{"", "functions", "functions", "functions/f"},
		{"index.ts", "", "examples", "examples/e"},
		{"", ".", ".", "hello"},
		{"src/index.ts", ".", ".", "hello"},
		{"", "hello", "hello", "hello"},
	} {
		if c.file != "" {
			write(t, c.file, "{}")
		}
		d := &dev{tool: new(tool), functions: c.given}
		if root, dirs, err := d.root(); err != nil || root != c.root || strings.Join(dirs, " ") != c.dirs {
			t.Errorf("%+v: %s %v, %v", c, root, dirs, err)
		}
	}
}

func TestFolderOfAFile(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"a/x.wasm": "A", "b/x.wasm": "B", "b/runnel.json": `{"name":"bee","build":["false"]}`})
	for path, want := range map[string]string{"a/x.wasm": "x", "b/x.wasm": "bee"} {
		f, err := folderOf(filepath.Join(dir, path))
		if err != nil || f.Name != want || f.Module != "x.wasm" || f.Build != nil {
			t.Errorf("%s: %+v, %v; want %s", path, f, err, want)
		}
	}
	if _, err := folderOf(filepath.Join(dir, "none.wasm")); err == nil || !strings.Contains(err.Error(), "there is no") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	config := map[string]json.RawMessage{"timeout": json.RawMessage(`"2s"`)}
	for anew, want := range map[bool]string{true: `{"name":"f","timeout":"2s"}`, false: `{"if_changed":true,"name":"f","timeout":"2s"}`} {
		b, err := json.Marshal(deployment{name: "f", config: config, anew: anew}.metadata())
		if err != nil || string(b) != want {
			t.Errorf("%s, %v", b, err)
		}
	}
	if _, ok := config["name"]; ok {
		t.Error("the folder's configuration was changed")
	}
}

func TestWatcher(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"a/runnel.json": `{"sql":"../x.sql"}`, "a/.git/HEAD": "1", "b/runnel.json": `{}`, "x.sql": "select 1"})
	w := newWatcher(dir)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	w.deploying(a)
	w.deploying(b)
	look := func(want ...string) {
		t.Helper()
		got, err := w.changed()
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("changed: %v, %v; want %v", got, err, want)
		}
	}
	look()
	look()
	write(t, filepath.Join(a, ".git/HEAD"), "22")
	look()
	write(t, filepath.Join(a, "main.go"), "package main")
	look() // an editor may still be writing
	look(a)
	look(a) // until it is deployed
	w.deploying(a)
	look()
	write(t, filepath.Join(dir, "x.sql"), "select 22")
	look()
	look(a)
	w.deploying(a)
	write(t, filepath.Join(dir, "c/runnel.json"), "{}")
	look()
	look(filepath.Join(dir, "c"))
	if err := os.Remove(filepath.Join(a, "main.go")); err != nil {
		t.Fatal(err)
	}
	w.deploying(filepath.Join(dir, "c"))
	look()
	look(a)
}
