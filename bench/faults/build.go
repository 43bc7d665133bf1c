package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// programs are the binaries under test, each set built when it is first needed.
type programs struct {
	dir  string // of the builds; somebody else's to remove
	mu   sync.Mutex
	made map[string]error // by name; guarded by mu
}

// Sets of binaries.
const (
	released = "released" // what a user deploys
	rigged   = "rigged"   // RUNNEL_FAILPOINT ends them
	skewed   = "skewed"   // RUNNEL_FAULTS_CLOCK sets their clock wrong
	upgraded = "upgraded" // the release after: one migration more
	broken   = "broken"   // forgets log rows: to see that the audit sees it
)

// folder builds a set and answers where it is.
func (p *programs) folder(ctx context.Context, set string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := filepath.Join(p.dir, set)
	if err, ok := p.made[set]; ok {
		return out, err
	}
	err := build(ctx, set, out)
	if p.made == nil {
		p.made = map[string]error{}
	}
	p.made[set] = err
	return out, err
}

func build(ctx context.Context, set, out string) error {
	module, err := goTool(ctx, "", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	args := []string{"build", "-o", out + "/"}
	replace := map[string]string{}
	switch set {
	case rigged:
		args = append(args, "-tags", "faults")
	case skewed:
		err = wrongClock(ctx, out, replace)
	case upgraded:
		err = nextMigration(module, out, replace)
	case broken:
		err = forgetful(module, out, replace)
	}
	if err != nil {
		return err
	}
	if len(replace) > 0 {
		overlay, err := json.Marshal(map[string]any{"Replace": replace})
		if err != nil {
			return err
		}
		file := filepath.Join(out, "overlay.json")
		if err := os.WriteFile(file, overlay, 0o600); err != nil {
			return err
		}
		args = append(args, "-overlay", file)
	}
	_, err = goTool(ctx, module, append(args, "./cmd/api", "./cmd/worker", "./cmd/runnel")...)
	return err
}

func goTool(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// wrongClock replaces time.Now of the standard library by one that adds the
// seconds of RUNNEL_FAULTS_CLOCK, for us and for every library, as a machine whose
// wall clock is wrong would. Monotonic readings, and so timers, stay right. Go
// reads the clock without a system call, so nothing outside of the process can do
// this (faketime, a time namespace).
func wrongClock(ctx context.Context, dir string, replace map[string]string) error {
	root, err := goTool(ctx, "", "env", "GOROOT")
	if err != nil {
		return err
	}
	file := filepath.Join(root, "src", "time", "time.go")
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const now = "sec, nsec, mono := runtimeNow()\n\tif mono == 0"
	text := string(b)
	if strings.Count(text, now) != 1 {
		return errors.New("this Go's time.Now is not the one that can be set wrong: adapt wrongClock")
	}
	text = strings.Replace(text, now, "sec, nsec, mono := runtimeNow()\n\tsec += wrong\n\tif mono == 0", 1)
	clock := `package time

import "syscall"

var wrong = readWrong()

func readWrong() int64 {
	s, _ := syscall.Getenv("RUNNEL_FAULTS_CLOCK")
	n, sign := int64(0), int64(1)
	for i := range len(s) {
		switch {
		case s[i] == '-':
			sign = -1
		case s[i] >= '0' && s[i] <= '9':
			n = 10*n + int64(s[i]-'0')
		}
	}
	return sign * n
}
`
	for name, content := range map[string]string{file: text, filepath.Join(filepath.Dir(file), "wrong.go"): clock} {
		copied := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(copied, []byte(content), 0o600); err != nil {
			return err
		}
		replace[name] = copied
	}
	return nil
}

// forgetful leaves out the log row of one attempt in fifty.
func forgetful(module, dir string, replace map[string]string) error {
	file := filepath.Join(module, "sql", "query", "settle.sql")
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const logged = "WHERE NOT unlogged\n"
	text := string(b)
	if strings.Count(text, logged) != 1 {
		return errors.New("settle.sql writes log rows in another way: adapt forgetful")
	}
	copied := filepath.Join(dir, "settle.sql")
	replace[file] = copied
	return os.WriteFile(copied, []byte(strings.Replace(text, logged, "WHERE NOT unlogged AND random() > 0.02\n", 1)), 0o600)
}

// nextMigration adds a migration such as a release might bring.
func nextMigration(module, dir string, replace map[string]string) error {
	folder := filepath.Join(module, "sql", "migration")
	existing, err := filepath.Glob(filepath.Join(folder, "*.sql"))
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%03d_faults.sql", len(existing)+1)
	copied := filepath.Join(dir, name)
	replace[filepath.Join(folder, name)] = copied
	return os.WriteFile(copied, []byte(`ALTER TABLE runnel.functions ADD COLUMN faults text NOT NULL DEFAULT '';
ALTER TABLE runnel.function_invocations ADD COLUMN faults text;
CREATE INDEX function_invocations_faults ON runnel.function_invocations (job_id);
`), 0o600)
}
