package cmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The README's first command, as a newcomer runs it: no database, one command,
// then the four commands that it prints, typed into a shell.
func TestDevBringsEverythingUpAndPrintsFourCommandsThatWork(t *testing.T) {
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	here := t.TempDir()
	t.Cleanup(func() { // for root the database may be elsewhere (see package localpg)
		if note, err := os.ReadFile(filepath.Join(here, ".runnel/postgres/location")); err == nil {
			place, _, _ := strings.Cut(string(note), "\n")
			os.RemoveAll(place)
		}
	})
	s := &system{t: t}
	started := time.Now()
	p := s.spawn(here, []string{"dev", "--functions", examples}, "DATABASE_URL=", fmt.Sprintf("PORT=%d", freePort(t)))
	s.eventually("dev prints what to try", func() bool { return strings.Contains(p.output(), "Ctrl-C") })
	t.Logf("up after %s", time.Since(started).Round(time.Millisecond))

	url := regexp.MustCompile(`postgres://\S+`).FindString(p.output())
	if s.pool, err = pgxpool.New(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	defer s.pool.Close()

	tries := regexp.MustCompile(`(?m)^  # (\w+)\n  (.*)$`).FindAllStringSubmatch(p.output(), -1)
	var triggers []string
	for _, try := range tries {
		triggers = append(triggers, try[1])
	}
	slices.Sort(triggers)
	if want := []string{"database", "http", "schedule", "sql"}; !slices.Equal(triggers, want) {
		t.Fatalf("commands for %v, want one for each of %v", triggers, want)
	}
	results := map[string]string{
		"http":     `"visits":1`,
		"sql":      `"total_cents":`,
		"database": "orders: 1 row inserted",
		"schedule": `"sum":6`,
	}
	for _, try := range tries {
		trigger, command := try[1], try[2]
		s.eventually(trigger+" answers", func() bool {
			if trigger != "schedule" && one[int](s, `SELECT count(*)::int FROM runnel.function_invocations WHERE trigger = $1`, trigger) > 0 {
				return true // typed once
			}
			sh := exec.Command("sh", "-c", command)
			sh.Dir = here
			out, err := sh.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
			return trigger != "schedule" || strings.Contains(string(out), "success")
		})
		result := one[string](s, `SELECT result::text FROM runnel.function_invocations WHERE trigger = $1 LIMIT 1`, trigger)
		if compact := strings.ReplaceAll(strings.ReplaceAll(result, `": `, `":`), ", ", ","); !strings.Contains(compact, results[trigger]) {
			t.Errorf("%s: result %s, want %s", trigger, result, results[trigger])
		}
	}
	for _, trigger := range []string{"http", "sql", "database"} {
		if n := one[int](s, `SELECT count(*)::int FROM runnel.function_invocations WHERE trigger = $1 AND status = 'success'`, trigger); n != 1 {
			t.Errorf("%s: %d rows, want exactly 1", trigger, n)
		}
	}
	if n := one[int](s, `SELECT count(*)::int FROM (SELECT FROM runnel.function_invocations GROUP BY result->>'scheduled_time', id HAVING count(*) > 1) d`); n != 0 {
		t.Errorf("%d invocations have more than one row", n)
	}
	if got := one[string](s, `SELECT environment->>'API_KEY' FROM runnel.function_invocations WHERE trigger = 'sql'`); got != "***REDACTED***" {
		t.Errorf("API_KEY is logged as %s", got)
	}
	s.pool.Close()
	p.signal(t, syscall.SIGINT, 30*time.Second)
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("dev ended with exit code %d after Ctrl-C", code)
	}
}
