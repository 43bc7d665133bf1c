package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
)

// Successes that leave no row are counted like all others, and failures leave one.
func TestSampledSuccessesAreCounted(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 8)
	h.function("hello", guests.Answer(`"hello"`), `{"log_success":"failures"}`)
	h.function("trap", guests.Trap(), `{"log_success":0,"max_attempts":1}`)
	h.function("some", guests.Answer(`1`), `{"log_success":0.5}`)
	if r := h.mustHTTP("hello", `{}`); string(r.Result) != `"hello"` {
		t.Errorf("the caller was answered %+v", r)
	}
	h.exec(`SELECT runnel.invoke(f) FROM unnest('{hello,hello,hello,trap,trap}'::text[]) f`)
	h.exec(`SELECT runnel.invoke('some') FROM generate_series(1, 200)`)
	until(h, 0, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NULL`)
	if got := one[string](h, `SELECT string_agg(function_name || ' ' || attempts || ' ' || success || ' ' || error, ', ' ORDER BY function_name) FROM runnel.function_stats`); got != "hello 4 4 0, some 200 200 0, trap 2 0 2" {
		t.Errorf("counted: %s", got)
	}
	if got := one[string](h, `SELECT coalesce(string_agg(DISTINCT function_name || ' ' || status, ', '), '') FROM runnel.function_invocations WHERE function_name <> 'some'`); got != "trap error" {
		t.Errorf("rows: %s", got)
	}
	if n := one[int](h, `SELECT count(*)::int FROM runnel.function_invocations WHERE function_name = 'some'`); n < 60 || n > 140 {
		t.Errorf("%d of 200 rows, want about half", n)
	}
}

// A row that cannot be stored is stored without its content, and says so. The
// others of its batch are stored as they are.
func TestAPoisonRowIsReduced(t *testing.T) {
	h := newHouse(t)
	h.exec(`ALTER TABLE runnel.function_invocations ADD CHECK (result IS DISTINCT FROM '"poison"')`)
	h.exec(`ALTER TABLE runnel.function_invocations ADD CHECK (error_message NOT LIKE '%poison%')`)
	h.function("hello", guests.Answer(`"hello"`), "")
	h.function("poison", guests.Answer(`"poison"`), "")
	h.function("fails", guests.Exit(1, "poison\n"), `{"max_attempts":1}`)
	h.exec(`SELECT runnel.invoke(f) FROM unnest('{hello,poison,fails}'::text[]) f, generate_series(1, 10)`)
	h.worker("w1", 16)
	h.settledOnce(30)
	if got := one[string](h, `SELECT string_agg(what, ', ' ORDER BY what) FROM (SELECT function_name || ' ' || status || ' ' || count(*) AS what FROM runnel.function_invocations GROUP BY function_name, status) w`); got != "fails error 10, hello success 10, poison success 10" {
		t.Errorf("rows: %s", got)
	}
	for _, name := range []string{"poison", "fails"} {
		if logs := one[string](h, `SELECT logs::text FROM runnel.function_invocations WHERE function_name = $1 LIMIT 1`, name); !strings.Contains(logs, "refused to store") {
			t.Errorf("%s does not say what is missing: %s", name, logs)
		}
	}
	if n := one[int](h, `SELECT count(*)::int FROM runnel.function_invocations WHERE function_name = 'hello' AND result = '"hello"' AND logs::text NOT LIKE '%refused%'`); n != 10 {
		t.Errorf("%d of the other rows are whole", n)
	}
}

// While the log cannot be written no job is done, and nothing is lost of what ran.
func TestAnUnwritableLogKeepsJobs(t *testing.T) {
	for name, broken := range map[string][2]string{
		"no table": {`ALTER TABLE runnel.function_invocations RENAME TO away`, `ALTER TABLE runnel.away RENAME TO function_invocations`},
		"disk full": {`CREATE FUNCTION runnel.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;
			CREATE TRIGGER no_space BEFORE INSERT ON runnel.function_invocations FOR EACH ROW EXECUTE FUNCTION runnel.full()`, `DROP TRIGGER no_space ON runnel.function_invocations`},
		"counts are broken": {`ALTER TABLE runnel.invocation_counts_new RENAME TO away`, `ALTER TABLE runnel.away RENAME TO invocation_counts_new`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			w := h.worker("w1", 4)
			h.function("hello", guests.Answer(`"hello"`), "")
			h.mustHTTP("hello", `{}`)
			h.exec(broken[0])
			h.exec(`SELECT runnel.invoke('hello') FROM generate_series(1, 3)`)
			until(h, 3, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`)
			deadline := time.Now().Add(30 * time.Second)
			for w.Unsettled() != 3 {
				if time.Now().After(deadline) {
					t.Fatalf("%v attempts wait to be settled, want 3", w.Unsettled())
				}
				time.Sleep(10 * time.Millisecond)
			}
			if n := one[int](h, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`); n != 3 {
				t.Errorf("%d jobs are still running, want 3", n)
			}
			h.exec(broken[1])
			h.settledOnce(4)
			if n := one[int](h, `SELECT count(*)::int FROM runnel.function_invocations WHERE status = 'success' AND result = '"hello"'`); n != 4 {
				t.Errorf("%d whole rows of 4", n)
			}
			if s, err := h.db.Stats(t.Context(), "hello", time.Time{}); err != nil || s.ByStatus[runnel.StatusSuccess] != 4 {
				t.Errorf("counted %+v, %v", s, err)
			}
		})
	}
}
