package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/js"
)

const folderFile = "runnel.json"

// folder is a function's folder; examples/README.md describes the format.
type folder struct {
	dir    string
	Name   string                     `json:"name"`
	Config map[string]json.RawMessage `json:"config"`
	Build  []string                   `json:"build"`
	Module string                     `json:"module"`
	SQL    string                     `json:"sql"`
	Try    []try                      `json:"try"`
}

// try is a command that shows the function at work.
type try struct {
	Trigger string `json:"trigger"`
	Command string `json:"command"`
}

// deployment is what is sent to the server.
type deployment struct {
	name   string
	config map[string]json.RawMessage
	file   string // where wasm came from, for messages
	wasm   []byte // or a bundled script
	anew   bool   // a version is made of what has not changed, too
}

// metadata is the configuration with the name in it.
func (d deployment) metadata() map[string]json.RawMessage {
	m := maps.Clone(d.config)
	if m == nil {
		m = make(map[string]json.RawMessage)
	}
	m["name"], _ = json.Marshal(d.name) // a string always encodes
	if !d.anew {
		m["if_changed"] = json.RawMessage("true")
	}
	return m
}

// readFolder reads runnel.json. A folder without one is described by its name
// alone.
func readFolder(dir string) (*folder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir}
	path := filepath.Join(dir, folderFile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		if err := dec.Decode(f); err != nil {
			return nil, fmt.Errorf("%s: %w: correct it; examples/README.md lists the fields", path, err)
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s has something after its JSON object: remove it", path)
		}
		if _, ok := f.Config["name"]; ok {
			return nil, fmt.Errorf("%s: \"name\" stands beside \"config\", not in it: move it", path)
		}
		if err := checkConfig(f.Config); err != nil {
			return nil, fmt.Errorf("%s: \"config\": %w", path, err)
		}
	}
	if f.Name == "" {
		f.Name = filepath.Base(abs)
	}
	return f, nil
}

// sqlFile is the path of the folder's SQL, or "".
func (f *folder) sqlFile() string {
	if f.SQL == "" {
		return ""
	}
	return filepath.Join(f.dir, f.SQL)
}

// build runs the folder's build command, if any. What it says goes to progress.
func (f *folder) build(ctx context.Context, progress io.Writer) error {
	if len(f.Build) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, f.Build[0], f.Build[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = f.dir, progress, progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: build command %q failed: %w", f.dir, strings.Join(f.Build, " "), err)
	}
	return nil
}

// load gets the module: "module", else the folder's Go package, compiled outside
// of the folder, else its only .wasm file, else its script, bundled with what it
// imports. What the compiler says goes to progress.
func (f *folder) load(ctx context.Context, progress io.Writer) (deployment, error) {
	d := deployment{name: f.Name, config: f.Config}
	var err error
	if f.Module != "" {
		d.file = filepath.Join(f.dir, f.Module)
	} else {
		sources, globErr := filepath.Glob(filepath.Join(f.dir, "*.go"))
		modules, moreErr := filepath.Glob(filepath.Join(f.dir, "*.wasm"))
		if err := errors.Join(globErr, moreErr); err != nil {
			return d, err
		}
		switch {
		case len(sources) > 0:
			d.file = f.dir
			d.wasm, err = buildGo(ctx, f.dir, progress)
			return d, err
		case len(modules) == 1:
			d.file = modules[0]
		case len(modules) == 0:
			if d.file, err = findEntry(f.dir); err != nil {
				return d, err
			}
			if d.file == "" {
				return d, fmt.Errorf("%s has neither a .wasm file nor Go, TypeScript or JavaScript source: compile the function to WebAssembly, or say how in %s (\"build\", \"module\")", f.dir, folderFile)
			}
		default:
			return d, fmt.Errorf("%s has %d .wasm files: name one in %s (\"module\")", f.dir, len(modules), folderFile)
		}
	}
	if js.IsSource(d.file) {
		d.wasm, err = bundle(ctx, d.file, progress)
		d.file = strings.TrimSuffix(d.file, filepath.Ext(d.file)) + ".js"
		return d, err
	}
	d.wasm, err = os.ReadFile(d.file)
	if err == nil && filepath.Ext(d.file) != ".wasm" && !bytes.HasPrefix(d.wasm, []byte("\x00asm")) {
		return d, fmt.Errorf("%s is neither a script (%s) nor a WebAssembly module", d.file, strings.Join(js.Extensions, ", "))
	}
	return d, err
}

// buildGo compiles the main package in dir for WASI.
func buildGo(ctx context.Context, dir string, progress io.Writer) ([]byte, error) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("%s has Go source, but there is no go command: install Go from https://go.dev/dl, or name a compiled module in %s (\"module\")", dir, folderFile)
	}
	tmp, err := os.MkdirTemp("", "runnel-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "module.wasm")
	fmt.Fprintf(progress, "%s: building with go build\n", dir)
	cmd := exec.CommandContext(ctx, goTool, "build", "-trimpath", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, progress, progress
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: go build failed: %w", dir, err)
	}
	wasm, err := os.ReadFile(out)
	if err == nil && !bytes.HasPrefix(wasm, []byte("\x00asm")) { // the archive of a library
		return nil, fmt.Errorf("%s: the Go package is not a main package: write \"package main\"", dir)
	}
	return wasm, err
}

// findFolders lists the function folders of root: root itself when it is one, else
// those right below it that are. One has a runnel.json, or an index.ts or index.js and
// a name that a function can have; in the current folder the latter may be anything.
func findFolders(root string) ([]string, error) {
	if isFunction(root, root) {
		return []string{root}, nil
	}
	files, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var dirs []string
	for _, f := range files {
		if dir := filepath.Join(root, f.Name()); isFunction(root, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, err
}

func isFunction(root, dir string) bool {
	if exists(filepath.Join(dir, folderFile)) {
		return true
	}
	if filepath.Clean(root) == "." || runnel.CheckName(filepath.Base(dir)) != nil || filepath.Base(dir) == "node_modules" {
		return false
	}
	return exists(filepath.Join(dir, "index.ts")) || exists(filepath.Join(dir, "index.js"))
}
