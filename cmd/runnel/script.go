package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/js"
)

// entryNames are what the file that a folder of JavaScript begins with is called, the
// first that is there.
var entryNames = []string{"index", "main", "handler", "function"}

// findEntry returns the script that a folder begins with, or "" when it has none.
func findEntry(dir string) (string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var sources []string
	for _, f := range files {
		name := f.Name()
		if f.Type().IsRegular() && js.IsSource(name) && !strings.HasSuffix(name, ".d.ts") && !strings.Contains(name, ".config.") && !strings.Contains(name, ".test.") {
			sources = append(sources, name)
		}
	}
	for _, name := range entryNames {
		for _, ext := range []string{".ts", ".tsx", ".mts", ".js", ".mjs", ".jsx", ".cts", ".cjs"} {
			if slices.Contains(sources, name+ext) {
				return filepath.Join(dir, name+ext), nil
			}
		}
	}
	switch len(sources) {
	case 0:
		return "", nil
	case 1:
		return filepath.Join(dir, sources[0]), nil
	}
	return "", fmt.Errorf("%s has %d scripts and none is called index.ts or index.js: name the one to begin with in %s (\"module\")", dir, len(sources), folderFile)
}

// bundle makes one script of a file and what it imports, after its types were
// checked, where that can be done. What there is to say goes to progress.
func bundle(ctx context.Context, file string, progress io.Writer) ([]byte, error) {
	if ext := filepath.Ext(file); ext == ".ts" || ext == ".tsx" || ext == ".mts" || ext == ".cts" {
		if err := checkTypes(ctx, file, progress); err != nil {
			return nil, err
		}
	}
	script, err := js.Bundle(file)
	if err != nil {
		var known *runnel.Error
		if errors.As(err, &known) {
			return nil, fmt.Errorf("%s cannot be bundled:\n%s", file, known.Message)
		}
		return nil, err
	}
	return script.Inline(), nil
}

// checkTypes runs the TypeScript compiler that is installed for a file's folder.
// Without one, or without a tsconfig.json, types are only stripped, which it says.
func checkTypes(ctx context.Context, file string, progress io.Writer) error {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return err
	}
	var tsc, config string
	for at := dir; ; at = filepath.Dir(at) {
		if p := filepath.Join(at, "node_modules", ".bin", "tsc"); tsc == "" && exists(p) {
			tsc = p
		}
		if config == "" && exists(filepath.Join(at, "tsconfig.json")) {
			config = at
		}
		if at == filepath.Dir(at) || exists(filepath.Join(at, "package.json")) {
			break // the folder's own project
		}
	}
	switch {
	case tsc == "":
		fmt.Fprintf(progress, "%s: types are stripped and not checked: no TypeScript compiler is installed (npm install --save-dev typescript)\n", file)
		return nil
	case config == "":
		fmt.Fprintf(progress, "%s: types are stripped and not checked: there is no tsconfig.json\n", file)
		return nil
	}
	cmd := exec.CommandContext(ctx, tsc, "--noEmit", "-p", config)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if len(out) == 0 {
		return fmt.Errorf("%s: %s: %w", file, tsc, err)
	}
	return fmt.Errorf("%s has type errors, and was not deployed:\n%s", file, strings.TrimSpace(string(out)))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
