package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeSource(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderOfTypeScriptIsBundled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeSource(t, filepath.Join(dir, "index.ts"), "import { greet } from './greet';\nexport const handler = (e: { name: string }) => greet(e.name);\n", 0o644)
	writeSource(t, filepath.Join(dir, "greet.ts"), "export const greet = (n: string) => `hello ${n}`;\n", 0o644)
	f, err := readFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	d, err := f.load(t.Context(), &said)
	if err != nil || !strings.HasSuffix(d.file, "index.js") || !strings.Contains(string(d.wasm), "hello ${n}") || !strings.Contains(string(d.wasm), "sourceMappingURL") {
		t.Errorf("%v %s\n%s", err, d.file, d.wasm)
	}
	if !strings.Contains(said.String(), "not checked") {
		t.Errorf("it said %q", said.String())
	}
	writeSource(t, filepath.Join(dir, "index.ts"), "import 'node:fs';\n\nexport const handler = () => oops(;\n", 0o644)
	if _, err := f.load(t.Context(), &said); err == nil || !strings.Contains(err.Error(), "index.ts:3:34") {
		t.Errorf("error %v", err)
	}
}

func TestTypeErrorsStopADeploy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeSource(t, filepath.Join(dir, "package.json"), `{}`, 0o644)
	writeSource(t, filepath.Join(dir, "tsconfig.json"), `{}`, 0o644)
	writeSource(t, filepath.Join(dir, "src", "index.ts"), "export const handler = () => 1;\n", 0o644)
	tsc := filepath.Join(dir, "node_modules", ".bin", "tsc")
	writeSource(t, tsc, "#!/bin/sh\necho \"src/index.ts(1,1): error TS2322: $*\"\nexit 2\n", 0o755)
	_, err := bundle(t.Context(), filepath.Join(dir, "src", "index.ts"), &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "TS2322: --noEmit -p "+dir) {
		t.Errorf("error %v", err)
	}
	writeSource(t, tsc, "#!/bin/sh\nexit 0\n", 0o755)
	if _, err := bundle(t.Context(), filepath.Join(dir, "src", "index.ts"), &bytes.Buffer{}); err != nil {
		t.Error(err)
	}
}

func TestTheEntryOfAFolder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		files []string
		want  string
	}{
		{[]string{"a.ts"}, "a.ts"},
		{[]string{"b.js", "index.js"}, "index.js"},
		{[]string{"index.js", "index.ts"}, "index.ts"},
		{[]string{"main.js", "other.js", "runnel.d.ts", "vite.config.ts"}, "main.js"},
		{[]string{"runnel.d.ts"}, ""},
		{nil, ""},
	} {
		dir := t.TempDir()
		for _, name := range c.files {
			writeSource(t, filepath.Join(dir, name), "", 0o644)
		}
		got, err := findEntry(dir)
		if want := c.want; err != nil || want != "" && got != filepath.Join(dir, want) || want == "" && got != "" {
			t.Errorf("%v: %s, %v", c.files, got, err)
		}
	}
	dir := t.TempDir()
	writeSource(t, filepath.Join(dir, "a.ts"), "", 0o644)
	writeSource(t, filepath.Join(dir, "b.ts"), "", 0o644)
	if _, err := findEntry(dir); err == nil || !strings.Contains(err.Error(), folderFile) {
		t.Errorf("error %v", err)
	}
}
