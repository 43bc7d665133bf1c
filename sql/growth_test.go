package sql_test

import (
	"regexp"
	"strconv"
	"testing"
)

var rowsOf = regexp.MustCompile(`rows=(\d+)`)

// What is asked for one function, or for a page, looks at no more rows than that takes,
// however many functions and dead letters there are. go run ./bench/growth measures it.
func TestPlans_DoNotGrowWithFunctionsOrDeadLetters(t *testing.T) {
	b := setup(t)
	b.exec(`INSERT INTO runnel.modules (wasm_hash, wasm_bytes) VALUES (encode(sha256('x'), 'hex'), 'x')`)
	b.exec(`WITH f AS (INSERT INTO runnel.functions (name, version) SELECT 'f' || g, 1 FROM generate_series(1, 3000) g RETURNING id)
		INSERT INTO runnel.function_versions SELECT f.id, 1, m.wasm_hash, 'command' FROM f, runnel.modules m`)
	b.exec(`UPDATE runnel.functions SET updated_at = now() - interval '1 day'`)
	b.exec(`INSERT INTO runnel.river_job (kind, queue, max_attempts, attempt, args, state, finalized_at, tags)
		SELECT 'invoke', 'functions', 1, 1, jsonb_build_object('id', runnel.uuid_v7(), 'function', 'f' || g % 50), 'discarded', now() - g * interval '1 second', '{f,http}'
		FROM generate_series(1, 5000) g`)
	b.exec(`VACUUM ANALYZE runnel.river_job, runnel.functions, runnel.function_versions`)
	id := get[string](b, `SELECT args ->> 'id' FROM runnel.river_job ORDER BY id LIMIT 1`)
	const generic, custom = "force_generic_plan", "force_custom_plan"
	for _, c := range []struct {
		mode, name string
		args       []any
		most       int // rows in any step
	}{
		{generic, "functions", []any{"f77"}, 1},
		{generic, "deployed", []any{"now"}, 1},
		{generic, "job", []any{id}, 1},
		{custom, "deadletters", []any{nil, nil, nil, nil, nil, nil, nil, nil, 101}, 110},
		{custom, "deadletters", []any{"f7", nil, nil, nil, nil, nil, nil, nil, 101}, 110},
		{custom, "deadletters", []any{"nobody", nil, nil, nil, nil, nil, nil, nil, 101}, 1},
		{custom, "deadletters", []any{nil, nil, nil, nil, nil, id, nil, nil, 101}, 1},
	} {
		plan := explain(b, c.mode, c.name, c.args...)
		for _, found := range rowsOf.FindAllStringSubmatch(plan, -1) {
			if n, _ := strconv.Atoi(found[1]); n > c.most {
				t.Errorf("%s %v reads %d rows:\n%s", c.name, c.args, n, plan)
				break
			}
		}
	}

	// Inside of a function its plans are not shown: whatever it read is in the statistics.
	before := get[int](b, `SELECT coalesce(sum(idx_tup_fetch + seq_tup_read), 0) FROM pg_stat_xact_user_tables WHERE relname = 'river_job'`)
	if n := get[int](b, `SELECT count(*) + (SELECT coalesce(sum(idx_tup_fetch + seq_tup_read), 0) FROM pg_stat_xact_user_tables WHERE relname = 'river_job') FROM runnel.find_job($1)`, id); n-before > 10 {
		t.Errorf("find_job reads %d rows", n-before)
	}
}
