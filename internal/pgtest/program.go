package pgtest

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Program finds one of Postgres's own programs, or skips the test.
func Program(t testing.TB, name string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if path, err := exec.LookPath(name); err == nil {
		found = append(found, path)
	}
	for _, path := range found {
		if exec.CommandContext(context.Background(), path, "--version").Run() == nil {
			return path
		}
	}
	t.Skipf("%s is not installed: apt-get install postgresql", name)
	return ""
}

// Dump is what pg_dump makes of a database. A program older than the server skips
// the test.
func Dump(t testing.TB, url string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), Program(t, "pg_dump"), append([]string{"--no-owner", "--dbname", url}, args...)...).Output()
	if err == nil {
		return string(out)
	}
	if e := Stderr(err); strings.Contains(e, "server version mismatch") {
		t.Skip("this pg_dump is older than the server")
	} else {
		t.Fatal(e)
	}
	return ""
}

// Stderr is what a program said that ended with err.
func Stderr(err error) string {
	if e, ok := err.(*exec.ExitError); ok {
		return err.Error() + ": " + string(e.Stderr)
	}
	return err.Error()
}
