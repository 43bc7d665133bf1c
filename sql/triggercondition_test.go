package sql_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
)

// What a condition selects is what Postgres's own row-level trigger with the same WHEN
// selects, in the same order, whether the statement changes one row or thousands, and
// whether the condition can be looked at for all of them at once.
func TestFUNC_T1_ConditionsSelectWhatWhenSelects(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`
		CREATE TYPE mood AS ENUM ('sad', 'ok');
		CREATE DOMAIN positive AS int CHECK (value >= 0);
		CREATE FUNCTION odd(n int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT n % 2 = 1';
		CREATE TABLE expected (at bigint GENERATED ALWAYS AS IDENTITY, change text);
		CREATE FUNCTION expect() RETURNS trigger LANGUAGE plpgsql SET timezone = 'UTC' AS $$
		BEGIN
			INSERT INTO expected (change) VALUES (TG_OP || ' ' || CASE TG_OP WHEN 'INSERT' THEN 'null' ELSE row_to_json(OLD.*)::text END
				|| ' ' || CASE TG_OP WHEN 'DELETE' THEN 'null' ELSE row_to_json(NEW.*)::text END);
			RETURN NULL;
		END $$`)
	const pure, row = "matching", "plain"
	for i, c := range []struct{ operation, condition, kind string }{
		{"INSERT", `NEW.id % 3 = 0`, pure},
		{"INSERT", `NEW.n IS NULL OR NEW.v LIKE 'it''s 1%' AND NEW."Odd "" name" <> ')) UNION SELECT'`, pure},
		{"INSERT", `NEW.n > 5 OR NEW.id IN (1, 7, 9, 1000) OR NEW.at < '2020-01-01Z'`, pure},
		{"INSERT", `CASE WHEN NEW.n IS NULL THEN false ELSE coalesce(nullif(NEW.n, 3), 0) = 0 END`, pure},
		{"INSERT", `NEW.tags @> ARRAY['a'] OR NEW.doc ->> 'k' = '5' OR lower(NEW.v) ~ '^it.s 2'`, pure},
		{"INSERT", `true`, pure},
		{"INSERT", `NULL`, pure},
		{"INSERT", `NEW.place = 'x' OR NEW.twice > 30`, pure},
		{"INSERT", `NEW.feeling = 'ok'`, row},
		{"INSERT", `NEW.pos > 5`, row},
		{"INSERT", `odd(NEW.id)`, row},
		{"INSERT", `NEW.at < now()`, row},
		{"INSERT", `NEW.v = current_user OR NEW.id = 2`, row},
		{"INSERT", `NEW.id::text::int > 3`, row},
		{"INSERT", `NEW.at::date < '2020-01-01'`, row},
		{"INSERT", `NOT (NEW.* IS NULL)`, row},
		{"UPDATE", `OLD.n IS DISTINCT FROM NEW.n`, pure},
		{"UPDATE", `NEW.id > OLD.id AND OLD.id % 2 = 0`, pure},
		{"UPDATE", `OLD.* IS DISTINCT FROM NEW.*`, row},
		{"UPDATE", `OLD.place = NEW.place AND NEW.n > 3`, pure},
		{"UPDATE", `false`, pure},
		{"DELETE", `OLD.id BETWEEN 3 AND 12`, pure},
		{"DELETE", `OLD.n IS NULL`, pure},
	} {
		name := fmt.Sprint("t", i)
		b.exec(`CREATE TABLE ` + name + ` (gone int, id int UNIQUE DEFERRABLE, n int, v text, "Odd "" name" text DEFAULT ''')', place text, place_ text,
			at timestamptz, tags text[], doc jsonb, feeling mood DEFAULT 'sad', pos positive DEFAULT 0, twice int GENERATED ALWAYS AS (n * 2) STORED)`)
		b.exec(`ALTER TABLE ` + name + ` DROP COLUMN gone, ADD COLUMN later text DEFAULT 'z'`)
		b.exec(`SELECT runnel.create_trigger($1::text::regclass, 'hello', ARRAY[$2], condition => $3)`, name, c.operation, c.condition)
		b.exec(fmt.Sprintf(`CREATE TRIGGER aa AFTER %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION expect()`, c.operation, name, c.condition))
		kinds := column[string](b, `SELECT DISTINCT split_part(encode(tgargs, 'escape'), '\000', 5) FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgname LIKE 'runnel%'`, name)
		if len(kinds) != 1 || kinds[0] != c.kind {
			t.Errorf("%s %s: kind %v, want %s", c.operation, c.condition, kinds, c.kind)
		}
		matched := 0
		for _, size := range []int{1, 8, 9, 40} {
			fill := fmt.Sprintf(`INSERT INTO %s (id, n, v, place, at, tags, doc, feeling, pos)
				SELECT g, CASE WHEN g %% 5 = 0 THEN NULL ELSE g %% 7 END, 'it''s ' || g, CASE g %% 4 WHEN 0 THEN 'x' END, timestamptz '2019-12-20Z' + g * interval '1 day',
				       ARRAY[CASE g %% 3 WHEN 1 THEN 'a' ELSE 'b' END], jsonb_build_object('k', g), CASE g %% 2 WHEN 0 THEN 'ok' ELSE 'sad' END::mood, g
				FROM generate_series(1, %d) g`, name, size)
			b.exec(fill)
			b.exec(`UPDATE ` + name + ` SET n = n + 1 WHERE id % 2 = 0`)
			b.exec(`UPDATE ` + name + ` SET id = id + 1, at = at + interval '1 hour'`)
			b.exec(`UPDATE ` + name + ` SET id = ` + fmt.Sprint(size+2) + ` - id`)
			b.exec(`DELETE FROM ` + name)
			want := column[string](b, `SELECT change FROM expected ORDER BY at`)
			var got []string
			for _, raw := range column[[]byte](b, `
				SELECT e.event FROM runnel.river_job j JOIN runnel.invocation_events e ON e.id = (j.args ->> 'id')::uuid ORDER BY j.id`) {
				var e struct {
					Operation string
					Old, New  json.RawMessage
				}
				if err := json.Unmarshal(raw, &e); err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%s %s %s", e.Operation, e.Old, e.New))
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s %s, %d rows: got %d\n%s\nwant %d\n%s", c.operation, c.condition, size, len(got), strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
			}
			matched += len(got)
			b.exec(`TRUNCATE expected, runnel.river_job, runnel.invocation_events`)
		}
		if (matched == 0) != (c.condition == "NULL" || c.condition == "false") {
			t.Errorf("%s %s matched %d rows in all", c.operation, c.condition, matched)
		}
		b.exec(`DROP TABLE ` + name)
	}
}

func TestFUNC_T1_ConditionOverManyRows(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY, amount int, note text)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello', '{INSERT,UPDATE}', condition => 'NEW.amount > 90')`)
	ids := func() string {
		var ids []any
		for _, e := range b.events() {
			ids = append(ids, e["new"].(map[string]any)["id"])
		}
		b.exec(`TRUNCATE runnel.river_job, runnel.invocation_events`)
		return fmt.Sprint(ids)
	}

	// What is rolled back was never there.
	b.exec(`BEGIN`)
	b.exec(`INSERT INTO orders SELECT g, g FROM generate_series(1, 92) g`)
	b.exec(`SAVEPOINT s`)
	b.exec(`INSERT INTO orders SELECT g, g FROM generate_series(93, 120) g`)
	b.exec(`ROLLBACK TO s`)
	b.exec(`COMMIT`)
	if got := ids(); got != "[91 92]" {
		t.Errorf("after a rollback to a savepoint: %s", got)
	}

	// Inserted and updated by one statement, each with its own rows.
	b.exec(`INSERT INTO orders SELECT g, 100 FROM generate_series(85, 100) g ON CONFLICT (id) DO UPDATE SET amount = 91`)
	if got := len(b.events()); got != 16 {
		t.Errorf("an upsert of 16 rows made %d jobs", got)
	}
	ids()

	// The condition follows its columns, and they cannot go.
	b.exec(`ALTER TABLE orders RENAME COLUMN amount TO "the ""sum"""; ALTER TABLE orders RENAME TO sales; ALTER TABLE sales ADD COLUMN amount int`)
	b.exec(`INSERT INTO sales SELECT g, g FROM generate_series(200, 210) g WHERE g > 0`)
	if got := len(b.events()); got != 11 {
		t.Errorf("%d jobs after renaming, want 11", got)
	}
	ids()
	if _, err := b.conn.Exec(t.Context(), `ALTER TABLE sales DROP COLUMN "the ""sum"""`); err == nil {
		t.Error("the condition's column could be dropped")
	}

	// Disabled: a line in the log, where a row matches and not otherwise.
	b.exec(`UPDATE runnel.functions SET enabled = false`)
	b.exec(`UPDATE sales SET note = 'x' WHERE "the ""sum""" BETWEEN 1 AND 50`)
	if n := get[int](b, `SELECT count(*) FROM runnel.function_invocations`); n != 0 {
		t.Errorf("%d skips of rows that do not match", n)
	}
	b.exec(`UPDATE sales SET note = 'x'`)
	if got := column[string](b, `SELECT status || error_code FROM runnel.function_invocations`); fmt.Sprint(got) != "[skippedFunctionNotFound]" {
		t.Errorf("skips: %v", got)
	}
	b.exec(`UPDATE runnel.functions SET enabled = true`)

	// A row that the condition cannot be computed for fails the statement, as before.
	b.exec(`SELECT runnel.create_trigger('sales', 'hello', '{UPDATE}', condition => '100 / NEW.id > 1')`)
	if _, err := b.conn.Exec(t.Context(), `UPDATE sales SET id = 0 WHERE id = 1`); err == nil || !strings.Contains(err.Error(), "22012") {
		t.Errorf("division by zero: %v", err)
	}

	// One trigger in the list; dropped as one.
	if got := get[string](b, `SELECT operations::text || level FROM runnel.triggers`); got != "{UPDATE}row" {
		t.Errorf("listed as %s", got)
	}
	b.exec(`SELECT runnel.drop_trigger('sales', 'hello')`)
	if n := get[int](b, `SELECT count(*) FROM pg_trigger WHERE tgrelid = 'sales'::regclass`); n != 0 {
		t.Errorf("%d triggers are left", n)
	}
}

// Postgres refuses to make a partition of a table that has such a trigger: nothing is
// missed.
func TestFUNC_T1_ATableWithAConditionDoesNotBecomeAPartition(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE whole (id int) PARTITION BY RANGE (id); CREATE TABLE part (id int); CREATE TABLE base (id int)`)
	b.exec(`SELECT runnel.create_trigger('part', 'hello', '{INSERT}', condition => 'NEW.id > 0')`)
	for _, text := range []string{`ALTER TABLE whole ATTACH PARTITION part DEFAULT`, `ALTER TABLE part INHERIT base`} {
		if _, err := b.conn.Exec(t.Context(), text); err == nil || !strings.Contains(err.Error(), "ROW triggers with transition tables are not supported") && !strings.Contains(err.Error(), `"runnel_hello_insert" prevents table`) {
			t.Errorf("%s: %v", text, err)
		}
	}
	b.exec(`SELECT runnel.drop_trigger('part', 'hello'); ALTER TABLE whole ATTACH PARTITION part DEFAULT; SELECT runnel.create_trigger('part', 'hello', '{INSERT}', condition => 'NEW.id > 0')`)
	b.exec(`INSERT INTO whole SELECT generate_series(-20, 20)`)
	if n := len(b.events()); n != 20 {
		t.Errorf("%d jobs, want 20", n)
	}
}

// Who may make triggers can make them by hand, with any condition and any name. What
// is looked at with the owner's rights holds nothing of theirs.
func TestTrigger_ConditionsRunNothingAsTheOwner(t *testing.T) {
	b := setup(t)
	hello := b.deploy("hello", runnel.Config{})
	mallory := b.login("mallory")
	b.exec(`CREATE SCHEMA m AUTHORIZATION ` + mallory + `; GRANT USAGE ON SCHEMA runnel TO ` + mallory)
	b.exec(`GRANT EXECUTE ON FUNCTION runnel.create_trigger, runnel.prepare_trigger, runnel.trigger_name, runnel.on_change_rows, runnel.on_change_row TO ` + mallory)
	conn := connect(t, b.as(mallory))
	execute(t, conn, `
		CREATE TABLE m.proof (who text);
		CREATE FUNCTION m.leak(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO m.proof VALUES (current_user); RETURN true; END $$;
		CREATE FUNCTION m.calm(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN m.leak($1); END $$;
		CREATE FUNCTION m.both(int, int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN m.leak($1); END $$;
		CREATE OPERATOR m.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = m.both);
		CREATE DOMAIN m.trap AS int CHECK (m.leak(value));
		GRANT USAGE ON SCHEMA m TO PUBLIC; GRANT INSERT ON m.proof TO PUBLIC`)

	// Without the right to is_pure everything works, row by row.
	execute(t, conn, `CREATE TABLE m.slow (id int)`)
	execute(t, conn, `SELECT runnel.create_trigger('m.slow', 'hello', '{INSERT}', condition => 'NEW.id > 0')`)
	execute(t, conn, `INSERT INTO m.slow SELECT generate_series(-5, 15)`)
	if n := len(b.events()); n != 15 {
		t.Errorf("%d jobs, want 15", n)
	}
	b.exec(`TRUNCATE runnel.river_job, runnel.invocation_events`)

	args := fmt.Sprintf(`('%s', 'row', 'aaaaaaaa-0000-4000-8000-000000000000', '2026-01-01Z', 'matching')`, hello.ID)
	for i, c := range []struct{ trigger, condition string }{
		{`made`, `m.leak(NEW.id)`},
		{`made`, `m.calm(NEW.id)`},
		{`made`, `NEW.id OPERATOR(m.===) 1`},
		{`made`, `NEW.id = '1'::m.trap`},
		{`made`, `NEW.id::m.trap > 0`},
		{`made`, `query_to_xml('SELECT m.leak(1)', true, false, '') IS NOT NULL`},
		{`x WHEN (m.leak(1)) EXECUTE FUNCTION runnel.on_change_row(`, `NEW.id > 0`},
		{`x WHEN (true) UNION SELECT 'x', m.leak(1)::text --`, `NEW.id > 0`},
	} {
		table := fmt.Sprint("m.t", i)
		execute(t, conn, `CREATE TABLE `+table+` (id int, "WHEN (m.leak(1)) --" int)`)
		execute(t, conn, fmt.Sprintf(`CREATE TRIGGER "%s" AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH ROW WHEN (%s) EXECUTE FUNCTION runnel.on_change_row%s`, c.trigger, table, c.condition, args))
		execute(t, conn, fmt.Sprintf(`CREATE TRIGGER made_too AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION runnel.on_change_rows%s`, table, args))
		execute(t, conn, `INSERT INTO `+table+` SELECT generate_series(1, 20)`)
	}
	if got := column[string](b, `SELECT DISTINCT who FROM m.proof WHERE who <> $1`, mallory); len(got) != 0 {
		t.Errorf("something ran as %v", got)
	}
	if got := column[string](b, `SELECT DISTINCT error_code || ' ' || (error_message LIKE '%its condition is none that create_trigger%')::text FROM runnel.function_invocations`); fmt.Sprint(got) != "[Forbidden true]" {
		t.Errorf("the log says %v", got)
	}
	if n := len(b.events()); n != 40 {
		t.Errorf("%d jobs, want those of the two honest conditions under odd names", n)
	}
}
