package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	denoVersion    = "2.9.6"
	workerdVersion = "1.20261117.1"
)

// install returns a folder with an npm package in node_modules. It is kept in the
// user's cache, so it is done once for a version.
func install(ctx context.Context, name, version string) (string, error) {
	if _, err := exec.LookPath("npm"); err != nil {
		return "", errors.New("npm is not installed: apt-get install nodejs npm")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "runnel-bench-"+name+"-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(cache, "runnel-bench-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	manifest := fmt.Sprintf(`{"private":true,"dependencies":{%q:%q}}`, name, version)
	if err := os.WriteFile(filepath.Join(tmp, "package.json"), []byte(manifest), 0o644); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	npm.Dir = tmp
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm cannot install %s %s: %w: %s", name, version, err, out)
	}
	return dir, os.Rename(tmp, dir)
}

// shipped is a program in an installed folder.
func shipped(dir, pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "node_modules", pattern))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%s has no %s: there is none for this platform", dir, pattern)
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}
