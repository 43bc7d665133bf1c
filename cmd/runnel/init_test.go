package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInitWritesAFunction(t *testing.T) {
	alone(t)
	out, errs, code := command(t, "", "init", "shop")
	if code != 0 || !strings.Contains(out, filepath.Join("shop", "hello", "index.ts")) || !strings.Contains(errs, "runnel dev shop") {
		t.Fatalf("init: %d %q %q", code, out, errs)
	}
	f, err := readFolder(filepath.Join("shop", "hello"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "hello" || f.Module != "index.ts" {
		t.Errorf("the folder is %+v", f)
	}
	if dirs, err := findFolders("shop"); err != nil || len(dirs) != 1 {
		t.Errorf("runnel dev would find %q, %v", dirs, err)
	}
}

func TestInitOverwritesNothing(t *testing.T) {
	alone(t)
	write(t, "tsconfig.json", "mine")
	out, errs, code := command(t, "", "init", "--json")
	var e struct{ Error string }
	if code != 1 || out != "" || json.Unmarshal([]byte(errs), &e) != nil || !strings.Contains(e.Error, "tsconfig.json") {
		t.Errorf("init: %d %q %q", code, out, errs)
	}
	if text, _ := os.ReadFile("tsconfig.json"); string(text) != "mine" {
		t.Errorf("tsconfig.json is %q", text)
	}
	if _, err := os.Lstat("runnel.d.ts"); err == nil {
		t.Error("runnel.d.ts was written although init failed")
	}
}

func TestInitFollowsNoLink(t *testing.T) {
	alone(t)
	if err := os.Symlink("elsewhere", "runnel.d.ts"); err != nil {
		t.Skip(err)
	}
	if _, _, code := command(t, "", "init"); code != 1 {
		t.Errorf("init wrote through a link: exit code %d", code)
	}
	if _, err := os.Stat("elsewhere"); err == nil {
		t.Error("a file was written where a link points")
	}
	if _, errs, code := command(t, "", "init", "a", "b"); code != 2 {
		t.Errorf("init a b: %d %q", code, errs)
	}
}
