// Package npm installs packages for tests that run node. They are skipped where there
// is no node, no npm or no registry.
package npm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const oldestNode = 20 // the first with crypto as a global

// Install returns a folder with the packages of the package-lock.json in a folder, in
// node_modules. It is kept in the user's cache, so it is done once for a lock file.
func Install(t testing.TB, folder string) string {
	t.Helper()
	dir, why, err := install(folder)
	if err != nil {
		t.Fatal(err)
	}
	if why != "" {
		t.Skip(why)
	}
	return dir
}

func install(folder string) (dir, why string, err error) {
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
	lock, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
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
			text, err := os.ReadFile(filepath.Join(folder, name))
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
			return "", "", fmt.Errorf("npm ci: %w\n%s", err, out)
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

// Stage copies files into a new folder beside node_modules, where what they import is
// found. The folder goes with the test.
func Stage(t testing.TB, dir string, files ...string) string {
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

// Node runs node in a folder, for at most a minute, and returns what it printed.
func Node(t testing.TB, dir string, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "TZ=UTC", "NO_COLOR=1"), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	return string(out)
}
