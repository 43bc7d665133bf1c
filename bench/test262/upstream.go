package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	quickjs "github.com/aperturerobotics/go-quickjs-wasi-reactor"
)

// upstream are the programs of a native build of the engine's source.
type upstream struct {
	runTest262, qjs string
	dir             string // for files of a test
	config          string // of run-test262
	timeout         time.Duration
}

// newUpstream finds the programs in a folder. They must be of the version that
// functions run in.
func newUpstream(folder string, s *suite, timeout time.Duration) (*upstream, error) {
	u := &upstream{runTest262: filepath.Join(folder, "run-test262"), qjs: filepath.Join(folder, "qjs"), timeout: timeout}
	out, err := exec.Command(u.qjs, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s does not run: make upstream QUICKJS=FOLDER builds it: %w", u.qjs, err)
	}
	if got := "v" + string(bytes.TrimSpace(out)); got != quickjs.Version {
		return nil, fmt.Errorf("%s is QuickJS-NG %s, functions run in %s: check out that tag and build it", u.qjs, got, quickjs.Version)
	}
	if u.dir, err = os.MkdirTemp("", "runnel-test262-"); err != nil {
		return nil, err
	}
	features, err := os.ReadFile(filepath.Join(s.dir, "features.txt"))
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(s.dir)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[config]\nmode=default-nostrict\nasync=yes\nmodule=yes\nverbose=yes\nharnessdir=%s/harness\n[features]\n", abs)
	for line := range strings.Lines(string(features)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintln(&b, line)
		}
	}
	u.config = filepath.Join(u.dir, "test262.conf")
	return u, os.WriteFile(u.config, []byte(b.String()), 0o600)
}

func (u *upstream) close() { _ = os.RemoveAll(u.dir) }

// own runs a test as upstream does, with run-test262.
func (u *upstream) own(ctx context.Context, s *suite, t test) (passed bool, err error) {
	out, err := u.output(ctx, u.runTest262, "-c", u.config, "-f", filepath.Join(s.dir, t.path))
	if strings.Contains(out, ": unknown feature: ") {
		return false, fmt.Errorf("run-test262 would skip: %.200s", out)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return false, err
	}
	return err == nil, nil
}

// ours runs a test with the runner that functions have, in qjs.
func (u *upstream) ours(ctx context.Context, t test, event []byte) (passed bool, err error) {
	file := filepath.Join(u.dir, "test.js")
	source := runner + "\nhandler(" + string(event) + ").then((answer) => console.log(JSON.stringify(answer)))\n"
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		return false, err
	}
	out, err := u.output(ctx, u.qjs, "--module", file)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return false, err
	}
	return err == nil && t.passed(out), nil
}

// output is what a program prints. A program that is stopped for taking too long has
// failed like any other.
func (u *upstream) output(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, u.timeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	return string(out), err
}
