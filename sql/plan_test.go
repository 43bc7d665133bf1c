package sql_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

var seqScan = regexp.MustCompile(`Seq Scan on (\w+)`)

// The statements of the hot path find rows by index, whatever the planner knows
// about their parameters.
func TestPlans_UseIndexes(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`INSERT INTO runnel.invocation_events (id, created_at, function_id, function_name, trigger, event, role, respond)
		SELECT runnel.uuid_v7(), now() + (g % 5 - 1) * interval '1 day', f.id, f.name, 'http', '{}', 'anon', true FROM generate_series(1, 10000) g, runnel.functions f`)
	b.exec(`INSERT INTO runnel.river_job (kind, args, created_at, state, attempt, queue, tags, attempted_at, finalized_at)
		SELECT 'invoke', jsonb_build_object('id', id, 'function', 'hello'), created_at, CASE WHEN n <= 50 THEN 'running' ELSE 'completed' END::runnel.river_job_state, 1,
		       'functions', '{hello,http}', now(), CASE WHEN n <= 50 THEN NULL ELSE now() END
		FROM (SELECT *, row_number() OVER () n FROM runnel.invocation_events) e`)
	b.exec(`INSERT INTO runnel.invocation_responses (id, created_at, status) SELECT id, created_at, 'success' FROM runnel.invocation_events`)
	b.exec(`INSERT INTO runnel.function_invocations (id, attempt, created_at, function_id, function_name, trigger, status, role, finished_at)
		SELECT id, 1, created_at, function_id, 'hello', 'http', CASE WHEN random() < 0.05 THEN 'timeout' ELSE 'success' END, 'anon', now() FROM runnel.invocation_events`)
	b.exec(`INSERT INTO runnel.invocation_responses (id, created_at, status) SELECT gen_random_uuid(), now() + (g % 5 - 1) * interval '1 day', 'success' FROM generate_series(1, 60000) g`)
	old := b.oldDay(20)
	b.exec(`INSERT INTO runnel.invocation_responses (id, created_at, status) SELECT gen_random_uuid(), $1, 'success' FROM generate_series(1, 1000)`, old)
	b.exec(`ANALYZE`)

	// An empty partition may well be read from end to end.
	large := column[string](b, `SELECT relname::text FROM pg_class WHERE relnamespace = 'runnel'::regnamespace AND relkind = 'r' AND reltuples > 500`)
	if len(large) < 10 {
		t.Fatalf("only %v have rows to speak of", large)
	}

	ids := column[string](b, `SELECT id::text FROM runnel.invocation_events LIMIT 50`)
	times := column[time.Time](b, `SELECT created_at FROM runnel.invocation_events LIMIT 50`)
	for name, args := range map[string][]any{
		"load":        {ids, times},
		"responses":   {ids},
		"lost":        {time.Minute},
		"handback":    {int64(1), 1},
		"settle":      settleArguments(b),
		"invocation":  {ids[0]},
		"control":     {[]int64{1, 2}, []int32{1, 1}},
		"promote":     {100},
		"invocations": {get[string](b, `SELECT id::text FROM runnel.functions`), nil, nil, nil, nil, nil, 100},
	} {
		modes := []string{"force_generic_plan", "force_custom_plan"}
		if name == "invocations" {
			modes = modes[1:] // its optional parameters need a plan of their own
		}
		for _, mode := range modes {
			plan := explain(b, mode, name, args...)
			for line := range strings.Lines(plan) {
				m := seqScan.FindStringSubmatch(line)
				if m != nil && slices.Contains(large, m[1]) && !strings.Contains(line, "never executed") {
					t.Errorf("%s, %s reads %s from end to end:\n%s", name, mode, m[1], plan)
				}
			}
			if name == "responses" && strings.Contains(plan, old.Format("20060102")) {
				t.Errorf("%s looks for responses of three weeks ago:\n%s", mode, plan)
			}
		}
	}
}

// explain runs a statement of query/ and returns its plan, without the effects.
func explain(b *bundle, mode, name string, args ...any) string {
	b.Helper()
	text, err := os.ReadFile("query/" + name + ".sql")
	if err != nil {
		b.Fatal(err)
	}
	tx, err := b.conn.Begin(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Rollback(b.Context())
	if _, err := tx.Exec(b.Context(), `SET LOCAL plan_cache_mode = `+mode); err != nil {
		b.Fatal(err)
	}
	rows, err := tx.Query(b.Context(), "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) "+string(text), args...)
	if err != nil {
		b.Fatal(name, err)
	}
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			b.Fatal(err)
		}
		fmt.Fprintln(&plan, line)
	}
	if err := rows.Err(); err != nil {
		b.Fatal(name, err)
	}
	return plan.String()
}

func settleArguments(b *bundle) []any {
	b.Helper()
	jobs := column[int64](b, `SELECT id FROM runnel.river_job WHERE state = 'running'`)
	ids := column[string](b, `SELECT args ->> 'id' FROM runnel.river_job WHERE state = 'running'`)
	n := len(jobs)
	fill := func(v string) []string { return strings.Split(strings.Repeat(v+"\n", n-1)+v, "\n") }
	numbers, counts, bytes := make([]float64, n), make([]int64, n), make([][]byte, n)
	attempts, times, yes := make([]int32, n), make([]time.Time, n), make([]bool, n)
	for i := range n {
		attempts[i], times[i], yes[i] = 1, time.Now(), true
	}
	none := make([]*string, n)
	return []any{jobs, attempts, fill(sql.StateCompleted), numbers, ids, none, fill("hello"), attempts, fill("hash"),
		fill("http"), fill("success"), none, fill("anon"), numbers, numbers, counts, counts, none, none, fill("{}"), fill("[]"), none,
		none, none, times, times, yes, bytes, none, make([]bool, n)}
}
