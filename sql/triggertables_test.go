package sql_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

// changes are the events since the last call, as operation and rows.
func (b *bundle) changes() []string {
	b.Helper()
	var got []string
	for _, e := range b.events() {
		old, _ := json.Marshal(e["old"])
		row, _ := json.Marshal(e["new"])
		mark := ""
		if e["truncated"] == true {
			mark = " truncated"
		}
		got = append(got, fmt.Sprintf("%s %s %s%s", e["operation"], old, row, mark))
	}
	b.exec(`TRUNCATE runnel.river_job, runnel.invocation_events`)
	return got
}

func (b *bundle) changed(want ...string) {
	b.Helper()
	if got := b.changes(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		b.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFUNC_T1_KindsOfTables(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`SET DateStyle = 'German'`)

	b.exec(`CREATE TYPE mood AS ENUM ('sad', 'ok');
		CREATE DOMAIN positive AS int CHECK (value > 0);
		CREATE TYPE pair AS (a int, b text[]);
		CREATE TABLE typed (id positive PRIMARY KEY, m mood, p pair, ps pair[], d date, i interval, j jsonb, r int4range, u uuid);`)
	b.exec(`SELECT runnel.create_trigger('typed', 'hello')`)
	b.exec(`INSERT INTO typed VALUES (1, 'ok', '(1,"{x,\"y z\"}")', ARRAY['(2,{})']::pair[], '2026-01-02', '1 day', '{"b":1,"a":[null]}', '[1,5)', '00000000-0000-0000-0000-00000000000a')`)
	b.changed(`INSERT null {"d":"2026-01-02","i":"1 day","id":1,"j":{"a":[null],"b":1},"m":"ok","p":{"a":1,"b":["x","y z"]},"ps":[{"a":2,"b":[]}],"r":"[1,5)","u":"00000000-0000-0000-0000-00000000000a"}`)

	b.exec(`CREATE TABLE computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, n int GENERATED ALWAYS AS IDENTITY)`)
	b.exec(`SELECT runnel.create_trigger('computed', 'hello')`)
	b.exec(`INSERT INTO computed (id) VALUES (2); UPDATE computed SET id = 3`)
	b.changed(`INSERT null {"id":2,"n":1,"twice":4}`, `UPDATE {"id":2,"n":1,"twice":4} {"id":3,"n":1,"twice":6}`)

	b.exec(`CREATE TABLE dropped (a int, b int, c int, PRIMARY KEY (c, a))`)
	b.exec(`SELECT runnel.create_trigger('dropped', 'hello')`)
	b.exec(`ALTER TABLE dropped DROP COLUMN b, ADD COLUMN "d'""e" text`)
	b.exec(`INSERT INTO dropped VALUES (1, 3, 'x')`)
	b.changed(`INSERT null {"a":1,"c":3,"d'\"e":"x"}`)
	// Composite keys in their order, both images, whichever of them is the large one.
	b.exec(`UPDATE dropped SET c = 4, "d'""e" = repeat('é', 200000)`)
	b.exec(`DELETE FROM dropped`)
	b.changed(`UPDATE {"a":1,"c":3} {"a":1,"c":4} truncated`, `DELETE {"a":1,"c":4} null truncated`)

	b.exec(`CREATE TABLE keyless (id int, note text)`)
	b.exec(`SELECT runnel.create_trigger('keyless', 'hello')`)
	b.exec(`INSERT INTO keyless VALUES (1, 'x'), (1, 'x')`)
	b.exec(`UPDATE keyless SET note = 'y'`)
	b.changed(`INSERT null {"id":1,"note":"x"}`, `INSERT null {"id":1,"note":"x"}`,
		`UPDATE {"id":1,"note":"x"} {"id":1,"note":"y"}`, `UPDATE {"id":1,"note":"x"} {"id":1,"note":"y"}`)
	b.exec(`INSERT INTO keyless VALUES (2, repeat('x', 300000))`)
	if got := b.changes(); len(got) != 1 || len(got[0]) < 300000 || strings.HasSuffix(got[0], "truncated") {
		t.Errorf("a large row without a key is not whole: %.100s", got)
	}

	b.exec(`CREATE TABLE "select" ("user" int PRIMARY KEY, "order" int, "table" int, old int, new int, "rows" int)`)
	b.exec(`SELECT runnel.create_trigger('"select"', 'hello', condition => 'NEW."user" > OLD."user"', operations => '{UPDATE}')`)
	b.exec(`INSERT INTO "select" VALUES (1, 2, 3, 4, 5, 6); UPDATE "select" SET "user" = "user" + 1; UPDATE "select" SET "user" = 0`)
	b.changed(`UPDATE {"new":5,"old":4,"order":2,"rows":6,"table":3,"user":1} {"new":5,"old":4,"order":2,"rows":6,"table":3,"user":2}`)

	var columns, values []string
	for i := range 1500 {
		columns, values = append(columns, fmt.Sprintf("c%d int", i)), append(values, fmt.Sprint(i))
	}
	b.exec(`CREATE TABLE wide (` + strings.Join(columns, ",") + `)`)
	b.exec(`SELECT runnel.create_trigger('wide', 'hello')`)
	b.exec(`INSERT INTO wide VALUES (` + strings.Join(values, ",") + `)`)
	if row := b.events()[0]["new"].(map[string]any); len(row) != 1500 || row["c1499"] != 1499.0 {
		t.Errorf("%d of 1500 columns", len(row))
	}
}

func TestFUNC_T1_MergeAndUpsert(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE stock (id int PRIMARY KEY, n int); INSERT INTO stock VALUES (1, 10), (2, 20)`)
	b.exec(`SELECT runnel.create_trigger('stock', 'hello')`)
	b.exec(`INSERT INTO stock VALUES (1, 11), (3, 30) ON CONFLICT (id) DO UPDATE SET n = excluded.n`)
	b.changed(`UPDATE {"id":1,"n":10} {"id":1,"n":11}`, `INSERT null {"id":3,"n":30}`)
	if get[int](b, `SELECT current_setting('server_version_num')::int`) >= 150000 {
		b.exec(`MERGE INTO stock s USING (VALUES (1, 0), (2, 21), (4, 40)) AS v(id, n) ON v.id = s.id
			WHEN MATCHED AND v.n = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET n = v.n WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.n)`)
		got := b.changes()
		want := map[string]bool{`DELETE {"id":1,"n":11} null`: true, `UPDATE {"id":2,"n":20} {"id":2,"n":21}`: true, `INSERT null {"id":4,"n":40}`: true}
		for _, g := range got {
			delete(want, g)
		}
		if len(got) != 3 || len(want) != 0 {
			t.Errorf("MERGE made %q", got)
		}
	}
	// What a data-modifying WITH does is a statement of its own.
	b.exec(`WITH gone AS (DELETE FROM stock WHERE id = 2 RETURNING *) INSERT INTO stock SELECT id + 100, n FROM gone`)
	if got := b.changes(); len(got) != 2 {
		t.Errorf("WITH made %q", got)
	}
}

func TestFUNC_T1_PartitionsComeAndGo(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE m (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);
		CREATE TABLE m_1a PARTITION OF m_1 DEFAULT;
		CREATE TABLE m_2 (id int PRIMARY KEY, v text)`)
	b.exec(`SELECT runnel.create_trigger('m', 'hello')`)
	b.exec(`INSERT INTO m_2 VALUES (150, 'before')`)
	b.exec(`ALTER TABLE m ATTACH PARTITION m_2 FOR VALUES FROM (100) TO (200)`)
	b.exec(`INSERT INTO m VALUES (1, 'nested'), (151, 'attached'); INSERT INTO m_2 VALUES (152, 'direct'); INSERT INTO m_1a VALUES (2, 'deep')`)
	b.exec(`INSERT INTO m VALUES (153, repeat('x', 300000))`)
	events := b.events()
	for _, e := range events {
		if e["table"] != "m" {
			t.Errorf("table %v, want m", e["table"])
		}
	}
	if len(events) != 5 || events[4]["truncated"] != true || fmt.Sprint(events[4]["new"]) != "map[id:153]" {
		t.Errorf("%d events, want 5", len(events))
	}
	b.changes()
	b.exec(`ALTER TABLE m DETACH PARTITION m_2`)
	b.exec(`INSERT INTO m_2 VALUES (154, 'detached')`)
	b.changed()
	if n := get[int](b, `SELECT count(*) FROM pg_trigger WHERE tgrelid = 'm_2'::regclass AND NOT tgisinternal`); n != 0 {
		t.Errorf("%d triggers stayed on the detached partition", n)
	}

	// A table that had a trigger of its own before it became a partition misses what is
	// written through its parent, until the trigger is made again.
	b.exec(`SELECT runnel.drop_trigger('m', 'hello'), runnel.create_trigger('m_2', 'hello')`)
	b.exec(`ALTER TABLE m ATTACH PARTITION m_2 FOR VALUES FROM (100) TO (200)`)
	b.exec(`SELECT runnel.create_trigger('m_2', 'hello')`)
	b.exec(`INSERT INTO m VALUES (155, 'through the parent')`)
	b.changed(`INSERT null {"id":155,"v":"through the parent"}`)
}

// What rolls back at the last moment has not happened.
func TestFUNC_T1_FailuresAtCommit(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE parent (id int PRIMARY KEY);
		CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`)
	b.exec(`SELECT runnel.create_trigger('child', 'hello')`)
	b.exec(`BEGIN; INSERT INTO child VALUES (1, 1)`)
	if _, err := b.conn.Exec(t.Context(), `COMMIT`); err == nil {
		t.Fatal("the deferred constraint did not fail")
	}
	b.changed()
	b.exec(`BEGIN; INSERT INTO child VALUES (1, 1); INSERT INTO parent VALUES (1); COMMIT`)
	b.changed(`INSERT null {"id":1,"parent":1}`)

	// Savepoints, and the ones that PL/pgSQL makes.
	b.exec(`DO $$ BEGIN
		INSERT INTO child VALUES (2, 1);
		BEGIN INSERT INTO child VALUES (3, 1); RAISE EXCEPTION 'x'; EXCEPTION WHEN OTHERS THEN NULL; END;
	END $$`)
	b.changed(`INSERT null {"id":2,"parent":1}`)
}

// Limits of triggers, so that nobody has to find them out.
func TestFUNC_T1_WhereTriggersDoNotFire(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello')`)

	// A subscriber of logical replication, and pg_restore --disable-triggers.
	b.exec(`SET session_replication_role = replica; INSERT INTO orders VALUES (1); SET session_replication_role = origin`)
	b.changed()
	b.exec(`ALTER TABLE orders ENABLE ALWAYS TRIGGER runnel_hello_insert`)
	b.exec(`SET session_replication_role = replica; INSERT INTO orders VALUES (2); SET session_replication_role = origin`)
	b.changed(`INSERT null {"id":2}`)

	// Two-phase commit: Postgres refuses to prepare what has sent a notification. The
	// writer gets an error, and nothing is lost without one.
	b.exec(`BEGIN; INSERT INTO orders VALUES (3)`)
	_, err := b.conn.Exec(t.Context(), `PREPARE TRANSACTION 'x'`)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "0A000" && pg.Code != "55000" { // 55000: max_prepared_transactions is 0
		t.Errorf("prepared: %v", err)
	}
	b.exec(`ROLLBACK`)
	b.changed()

	b.exec(`ALTER TABLE orders DISABLE TRIGGER runnel_hello_insert`)
	b.exec(`INSERT INTO orders VALUES (4)`)
	b.changed()
	if get[bool](b, `SELECT enabled FROM runnel.triggers`) {
		t.Error("a disabled trigger is listed as enabled")
	}
}

// Whose rights a function has that runs because of a SECURITY DEFINER function: not
// its owner's. The claims are those of the session either way.
func TestFUNC_I3_ADefinersWriteIsNotTheDefiners(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello')`)
	b.exec(`CREATE FUNCTION place(n int) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO public.orders VALUES (n)'`)
	writer := b.login("writer")
	b.exec(`GRANT EXECUTE ON FUNCTION place TO ` + writer)
	conn := connect(t, b.as(writer))
	execute(t, conn, `SELECT set_config('request.jwt.claims', '{"sub":"user-7"}', false)`)
	execute(t, conn, `SELECT place(1)`)
	if got := get[string](b, `SELECT role || ' ' || user_id FROM runnel.invocation_events`); got != "anon user-7" {
		t.Errorf("runs as %q, want anon user-7", got)
	}
}

// A dump is taken and restored with Postgres's own programs; afterwards everything
// works as before.
func TestFUNC_T1_DumpAndRestore(t *testing.T) {
	b := setup(t)
	psql := pgtest.Program(t, "psql")
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE SCHEMA "My Schema"; CREATE TABLE "My Schema"."it's" (id int PRIMARY KEY, v text);
		CREATE TABLE parts (id int) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts DEFAULT`)
	b.exec(`SELECT runnel.create_trigger('"My Schema"."it''s"', 'hello', granularity => 'statement'), runnel.create_trigger('parts', 'hello')`)
	b.exec(`SELECT runnel.schedule('nightly', '30 4 * * *', 'hello', timezone => 'Europe/Berlin', overlap => 'queue')`)
	b.sweep(fireNow)
	b.exec(`INSERT INTO "My Schema"."it's" VALUES (1, 'x')`)
	ids := column[string](b, `SELECT args ->> 'id' FROM runnel.river_job ORDER BY id`)
	b.finish(b.fetch("w1")...)
	b.exec(`INSERT INTO parts VALUES (1)`) // waits in the queue

	out := pgtest.Dump(t, b.url)
	into := pgtest.Empty(t)
	restore := exec.CommandContext(t.Context(), psql, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null", "--dbname", into)
	restore.Stdin = strings.NewReader(out)
	if _, err := restore.Output(); err != nil {
		t.Fatal(pgtest.Stderr(err))
	}
	if err := sql.Migrate(t.Context(), into, nil); err != nil {
		t.Fatal(err)
	}
	r := use(t, into)
	const everything = `SELECT concat_ws('|', (SELECT string_agg(table_name || operations::text || level, ',' ORDER BY table_name) FROM runnel.triggers),
		(SELECT string_agg(concat_ws(' ', name, cron, timezone, overlap), ',') FROM runnel.schedules), (SELECT count(*) FROM runnel.schedule_ticks),
		(SELECT string_agg(wasm_hash, ',') FROM runnel.modules), (SELECT count(*) FROM runnel.function_invocations), (SELECT count(*) FROM runnel.invocation_events),
		(SELECT string_agg(state::text, ',' ORDER BY id) FROM runnel.river_job))`
	if was, is := get[string](b, everything), get[string](r, everything); was != is {
		t.Errorf("restored\n%s\nof\n%s", is, was)
	}
	if attempts, err := r.db.Invocation(t.Context(), ids[0]); err != nil || len(attempts) != 1 {
		t.Errorf("the log of the dump: %v, %v", attempts, err)
	}
	// What waited runs, and what is written fires.
	r.exec(`INSERT INTO "My Schema"."it's" VALUES (2, 'y'); INSERT INTO parts VALUES (2); SELECT runnel.invoke('hello')`)
	attempts := r.fetch("w2")
	if len(attempts) != 4 {
		t.Errorf("%d jobs to run after the restore, want 4", len(attempts))
	}
	r.finish(attempts...)
	r.exec(`UPDATE runnel.schedules SET next_run = NULL`)
	if fired := r.sweep(func(s sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
		return []sql.Tick{{Time: someTime.Add(time.Hour), Outcome: sql.TickFired}}, now.Add(time.Hour), nil
	}); fired != 1 {
		t.Errorf("the schedule fired %d, want 1", fired)
	}
	if fired := r.sweep(fireNow); fired != 0 {
		t.Errorf("a tick of the dump fired again")
	}
}

// finish ends attempts as a worker does.
func (b *bundle) finish(attempts ...attempt) {
	b.Helper()
	var list []sql.Settlement
	for _, a := range attempts {
		list = append(list, a.settlement("completed", ""))
	}
	if _, err := b.db.Settle(b.Context(), list); err != nil {
		b.Fatal(err)
	}
}
