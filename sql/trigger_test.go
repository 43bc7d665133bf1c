package sql_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
)

func TestFUNC_T1_NothingIsThereBeforeCommit(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY, item text)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello')`)

	writer := b.session()
	execute(t, writer, `BEGIN`)
	execute(t, writer, `INSERT INTO orders VALUES (1, 'tea')`)
	if got := b.events(); len(got) != 0 {
		t.Fatalf("%d jobs before COMMIT", len(got))
	}
	execute(t, writer, `COMMIT`)
	got := b.events()
	if len(got) != 1 {
		t.Fatalf("%d jobs after COMMIT, want 1", len(got))
	}
	for key, want := range map[string]any{
		"trigger": "database", "schema": "public", "table": "orders", "operation": "INSERT",
		"old": nil, "new": map[string]any{"id": 1.0, "item": "tea"},
	} {
		if !reflect.DeepEqual(got[0][key], want) {
			t.Errorf("%s is %v, want %v", key, got[0][key], want)
		}
	}
	if id, ok := got[0]["transaction_id"].(float64); !ok || id <= 0 {
		t.Errorf("transaction_id is %v", got[0]["transaction_id"])
	}
	if !strings.HasSuffix(fmt.Sprint(got[0]["timestamp"]), "Z") || len(got[0]) != 8 {
		t.Errorf("event is %v", got[0])
	}
}

func TestFUNC_T1_RollbackAndSavepoint(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello')`)

	b.exec(`BEGIN`)
	b.exec(`INSERT INTO orders VALUES (1)`)
	b.exec(`SELECT runnel.invoke('hello')`)
	b.exec(`ROLLBACK`)
	if got := b.events(); len(got) != 0 {
		t.Fatalf("%d jobs after ROLLBACK", len(got))
	}

	b.exec(`BEGIN`)
	b.exec(`INSERT INTO orders VALUES (1)`)
	b.exec(`SAVEPOINT s`)
	b.exec(`INSERT INTO orders VALUES (2)`)
	b.exec(`SELECT runnel.invoke('hello', '"inner"')`)
	b.exec(`ROLLBACK TO s`)
	b.exec(`SELECT runnel.invoke('hello', '"outer"')`)
	b.exec(`COMMIT`)
	got := b.events()
	if len(got) != 2 || got[0]["new"].(map[string]any)["id"] != 1.0 || got[1]["payload"] != "outer" {
		t.Errorf("got %v, want the row 1 and the outer call", got)
	}
}

func TestFUNC_T1_EveryKindOfWrite(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY, item text)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello', '{insert,Update,DELETE,truncate}')`)

	step := func(want ...string) {
		t.Helper()
		var got []string
		for _, e := range b.events() {
			pair, _ := json.Marshal([]any{e["old"], e["new"]})
			got = append(got, fmt.Sprint(e["operation"], string(pair)))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		b.exec(`TRUNCATE runnel.river_job, runnel.invocation_events`)
	}
	_, err := b.conn.CopyFrom(t.Context(), pgx.Identifier{"orders"}, []string{"id", "item"}, pgx.CopyFromRows([][]any{{1, "a"}, {2, "b"}}))
	if err != nil {
		t.Fatal(err)
	}
	step(`INSERT[null,{"id":1,"item":"a"}]`, `INSERT[null,{"id":2,"item":"b"}]`)

	b.exec(`INSERT INTO orders VALUES (1, 'x'), (3, 'c') ON CONFLICT DO NOTHING`)
	step(`INSERT[null,{"id":3,"item":"c"}]`)

	b.exec(`INSERT INTO orders VALUES (1, 'x'), (4, 'd') ON CONFLICT (id) DO UPDATE SET item = excluded.item`)
	got := b.events()
	if len(got) != 2 {
		t.Errorf("an upsert of one old and one new row made %d jobs", len(got))
	}
	b.exec(`TRUNCATE runnel.river_job, runnel.invocation_events`)

	b.exec(`UPDATE orders SET item = upper(item) WHERE id = 2`)
	step(`UPDATE[{"id":2,"item":"b"},{"id":2,"item":"B"}]`)

	b.exec(`DELETE FROM orders WHERE id = 2`)
	step(`DELETE[{"id":2,"item":"B"},null]`)

	b.exec(`UPDATE orders SET item = 'nobody' WHERE id = 99`)
	b.exec(`DELETE FROM orders WHERE id = 99`)
	b.exec(`INSERT INTO orders SELECT 5, 'e' WHERE false`)
	step()

	b.exec(`TRUNCATE orders`)
	step(`TRUNCATE[null,null]`)
}

// Old and new rows belong together also where keys move onto each other, where
// there is no key, and where a statement is too large for memory.
func TestFUNC_T1_UpdatePairsOldAndNew(t *testing.T) {
	for name, c := range map[string]struct{ table, update string }{
		"shifted key": {`CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, was int)`, `UPDATE t SET id = id + 1`},
		"swapped key": {`CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, was int)`, `UPDATE t SET id = 5001 - id`},
		"no key":      {`CREATE TABLE t (id int, was int)`, `UPDATE t SET id = 1`},
		"other order": {`CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, was int)`, `UPDATE t SET id = o.id FROM (SELECT was, row_number() OVER (ORDER BY md5(was::text)) AS id FROM t) o WHERE o.was = t.was`},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.deploy("hello", runnel.Config{})
			b.exec(c.table)
			b.exec(`INSERT INTO t SELECT g, g FROM generate_series(1, 5000) g`)
			b.exec(`SELECT runnel.create_trigger('t', 'hello')`)
			b.exec(`SET work_mem = '64kB'`) // so that the rows go to disk
			b.exec(c.update)
			events := b.events()
			if len(events) != 5000 {
				t.Fatalf("%d jobs, want 5000", len(events))
			}
			for _, e := range events {
				if o, n := e["old"].(map[string]any), e["new"].(map[string]any); o["was"] != n["was"] || o["id"] != o["was"] {
					t.Fatalf("%v was married to %v", o, n)
				}
			}
		})
	}
}

func TestFUNC_T1_StatementGranularity(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY, item text)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello', granularity => 'statement')`)
	b.exec(`INSERT INTO orders SELECT g, 'x' FROM generate_series(1, 250) g`)
	next := 1.0
	var sizes []int
	for _, e := range b.events() {
		rows := e["rows"].([]any)
		sizes = append(sizes, len(rows))
		for _, r := range rows {
			if pair := r.(map[string]any); pair["old"] != nil || pair["new"].(map[string]any)["id"] != next {
				t.Fatalf("got %v, want row %v", pair, next)
			}
			next++
		}
	}
	if fmt.Sprint(sizes) != "[100 100 50]" {
		t.Errorf("rows per job: %v", sizes)
	}
	b.exec(`TRUNCATE runnel.river_job, runnel.invocation_events`)
	b.exec(`UPDATE orders SET item = 'y' WHERE id <= 2`)
	got, _ := json.Marshal(b.events()[0]["rows"])
	if want := `[{"new":{"id":1,"item":"y"},"old":{"id":1,"item":"x"}},{"new":{"id":2,"item":"y"},"old":{"id":2,"item":"x"}}]`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b.exec(`TRUNCATE runnel.river_job, runnel.invocation_events`)
	// A row above 256 KB is its key; rows that would not fit into one event
	// together are split.
	b.exec(`INSERT INTO orders SELECT g, repeat('x', 4000000) FROM generate_series(1001, 1003) g`)
	got, _ = json.Marshal(b.events()[0]["rows"])
	if want := `[{"new":{"id":1001},"old":null,"truncated":true},{"new":{"id":1002},"old":null,"truncated":true},{"new":{"id":1003},"old":null,"truncated":true}]`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b.exec(`ALTER TABLE orders DROP CONSTRAINT orders_pkey`)
	b.exec(`TRUNCATE runnel.river_job, runnel.invocation_events`)
	b.exec(`INSERT INTO orders SELECT g, repeat('x', 4000000) FROM generate_series(1001, 1003) g`)
	if n := len(b.events()); n != 3 {
		t.Errorf("three rows of 4 MB without a key made %d jobs, want 3", n)
	}
}

func TestFUNC_T1_PartitionedTable(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int, region text) PARTITION BY LIST (region);
		CREATE TABLE orders_eu PARTITION OF orders FOR VALUES IN ('eu');`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello')`)
	b.exec(`CREATE TABLE orders_us PARTITION OF orders FOR VALUES IN ('us')`)
	b.exec(`INSERT INTO orders VALUES (1, 'eu')`)
	b.exec(`INSERT INTO orders_eu VALUES (2, 'eu')`) // a statement trigger on orders would miss it
	b.exec(`INSERT INTO orders_us VALUES (3, 'us')`) // a partition made later
	b.exec(`UPDATE orders SET region = 'us' WHERE id = 1`)
	var got []string
	for _, e := range b.events() {
		got = append(got, fmt.Sprint(e["table"], e["operation"]))
	}
	// Postgres moves a row between partitions by deleting and inserting it.
	if want := "[ordersINSERT ordersINSERT ordersINSERT ordersDELETE ordersINSERT]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
	b.refuses("0A000", "granularity statement", `SELECT runnel.create_trigger('orders', 'hello', granularity => 'statement')`)
	b.refuses("0A000", "granularity statement", `SELECT runnel.create_trigger('orders_eu', 'hello', granularity => 'statement')`)

	b.exec(`SELECT runnel.create_trigger('orders', 'hello', '{TRUNCATE}')`)
	b.exec(`TRUNCATE runnel.river_job, runnel.invocation_events`)
	b.exec(`TRUNCATE orders`)
	if got := b.events(); len(got) != 1 || got[0]["operation"] != "TRUNCATE" {
		t.Errorf("TRUNCATE made %v", got)
	}
}

func TestFUNC_T1_Inheritance(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE base (id int); CREATE TABLE derived (extra text) INHERITS (base);`)
	b.exec(`SELECT runnel.create_trigger('base', 'hello'), runnel.create_trigger('derived', 'hello')`)
	b.exec(`INSERT INTO derived VALUES (1, 'x')`)
	b.exec(`UPDATE base SET id = 2`)
	got, _ := json.Marshal([]any{len(b.events()), b.events()[1]["new"]})
	if want := `[2,{"extra":"x","id":2}]`; string(got) != want {
		t.Errorf("got %s, want %s: one job per change, with the child's columns", got, want)
	}
}

func TestFUNC_T1_UnprivilegedWriter(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.deploy("trusted", runnel.Config{CanBypassRLS: ptr(true)})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	b.exec(`CREATE TABLE parts (id int) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts DEFAULT;`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello'), runnel.create_trigger('orders', 'trusted'), runnel.create_trigger('parts', 'hello')`)
	writer := b.login("writer")
	b.exec(`GRANT INSERT, UPDATE, DELETE, SELECT ON orders, parts TO ` + writer)

	conn := connect(t, b.as(writer))
	execute(t, conn, `SELECT set_config('request.jwt.claims', '{"sub":"user-7","n":12345678901234567890}', false)`)
	execute(t, conn, `INSERT INTO orders VALUES (1)`)
	execute(t, conn, `INSERT INTO parts VALUES (1)`)
	if _, err := conn.Exec(t.Context(), `SELECT runnel.invoke('hello')`); err == nil {
		t.Error("a role without any grant may call runnel.invoke")
	}
	got := column[string](b, `SELECT function_name || ' ' || role || ' ' || user_id || ' ' || claims FROM runnel.invocation_events ORDER BY id`)
	want := []string{
		`hello anon user-7 {"sub":"user-7","n":12345678901234567890}`,
		`trusted service_role user-7 {"sub":"user-7","n":12345678901234567890}`,
		`hello anon user-7 {"sub":"user-7","n":12345678901234567890}`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFUNC_T1_OddNames(t *testing.T) {
	b := setup(t)
	long := strings.Repeat("a", 63)
	b.deploy(long+"b", runnel.Config{})
	b.deploy(long+"c", runnel.Config{})
	b.exec(`CREATE SCHEMA "My ""Schema"""; CREATE TABLE "My ""Schema"""."it's a ta.ble" ("sel""ect" int PRIMARY KEY, "user" text, "é" int);`)
	for _, fn := range []string{"b", "c"} {
		b.exec(`SELECT runnel.create_trigger('"My ""Schema"""."it''s a ta.ble"', $1)`, long+fn)
	}
	b.exec(`INSERT INTO "My ""Schema"""."it's a ta.ble" VALUES (1, 'x', 2)`)
	got := b.events()
	if len(got) != 2 || got[0]["schema"] != `My "Schema"` || got[0]["table"] != "it's a ta.ble" ||
		!reflect.DeepEqual(got[0]["new"], map[string]any{`sel"ect`: 1.0, "user": "x", "é": 2.0}) {
		t.Errorf("got %v", got)
	}
	b.exec(`SELECT runnel.drop_trigger('"My ""Schema"""."it''s a ta.ble"', $1)`, long+"b")
	if n := get[int](b, `SELECT count(*) FROM runnel.triggers`); n != 1 {
		t.Errorf("%d triggers are left, want 1", n)
	}
}

func TestTrigger_DoesNotDependOnTheWritersSettings(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (at timestamptz, raw bytea, ratio float8)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello')`)
	b.exec(`SET timezone = 'Asia/Kolkata'; SET bytea_output = 'escape'; SET extra_float_digits = 0; SET search_path = ''`)
	b.exec(`INSERT INTO public.orders VALUES ('2026-01-02 03:04:05Z', '\x00ff', 0.1::float8 + 0.2)`)
	got, _ := json.Marshal(b.events()[0]["new"])
	if want := `{"at":"2026-01-02T03:04:05+00:00","ratio":0.30000000000000004,"raw":"\\x00ff"}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTrigger_NumbersKeepTheirDigits(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (n numeric, j json)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello')`)
	b.exec(`INSERT INTO orders VALUES (12345678901234567890.1234567890, '{"b":1,"a":1,"a":2}')`)
	raw := get[string](b, `SELECT convert_from(event, 'UTF8') FROM runnel.invocation_events`)
	if want := `"new":{"n":12345678901234567890.1234567890,"j":{"b":1,"a":1,"a":2}}`; !strings.Contains(raw, want) {
		t.Errorf("%s does not contain %s", raw, want)
	}
}

// Plans are cached by session: a new column must be in the next event.
func TestTrigger_TableChangesBetweenStatements(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello')`)
	for i := range 8 {
		b.exec(fmt.Sprintf(`INSERT INTO orders (id) VALUES (%d)`, i))
	}
	b.exec(`ALTER TABLE orders ADD COLUMN item text DEFAULT 'x'`)
	b.exec(`INSERT INTO orders VALUES (100, 'new')`)
	b.exec(`ALTER TABLE orders RENAME COLUMN item TO article`)
	b.exec(`ALTER TABLE orders RENAME TO purchases`)
	b.exec(`INSERT INTO purchases VALUES (101, 'newer')`)
	events := b.events()
	got, _ := json.Marshal([]any{events[8]["new"], events[9]["new"], events[9]["table"]})
	if want := `[{"id":100,"item":"new"},{"article":"newer","id":101},"purchases"]`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTrigger_Condition(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY, state text)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello', '{UPDATE}', condition => $1)`, `OLD.state IS DISTINCT FROM NEW.state AND NEW.state = 'it''s paid'`)
	b.exec(`INSERT INTO orders VALUES (1, 'new'), (2, 'new')`)
	b.exec(`UPDATE orders SET state = 'it''s paid' WHERE id = 1; UPDATE orders SET id = id; UPDATE orders SET state = 'gone'`)
	if got := b.events(); len(got) != 1 || got[0]["old"].(map[string]any)["state"] != "new" {
		t.Errorf("got %v, want the one change to paid", got)
	}
	row := get[string](b, `SELECT row_to_json(t) FROM (SELECT function_name, table_schema, table_name, operations, granularity, level, condition, enabled FROM runnel.triggers) t`)
	if want := `{"function_name":"hello","table_schema":"public","table_name":"orders","operations":["UPDATE"],"granularity":"auto","level":"row","condition":"((old.state IS DISTINCT FROM new.state) AND (new.state = 'it''s paid'::text))","enabled":true}`; row != want {
		t.Errorf("got %s, want %s", row, want)
	}
	b.refuses("0A000", "together with a condition", `SELECT runnel.create_trigger('orders', 'hello', granularity => 'statement', condition => 'true')`)
	b.refuses("0A000", "TRUNCATE", `SELECT runnel.create_trigger('orders', 'hello', '{TRUNCATE}', condition => 'true')`)
}

func TestTrigger_ReplaceDropAndDelete(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.deploy("other", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	if got := get[string](b, `SELECT runnel.create_trigger('orders', 'hello')`); got != "runnel_hello" {
		t.Errorf("create_trigger answered %q", got)
	}
	b.exec(`SELECT runnel.create_trigger('orders', 'hello', '{DELETE}')`)
	b.exec(`SELECT runnel.create_trigger('orders', 'other', '{DELETE}')`)
	if got := column[string](b, `SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'orders'::regclass ORDER BY 1`); fmt.Sprint(got) != "[runnel_hello_delete runnel_other_delete]" {
		t.Errorf("triggers: %v", got)
	}
	b.exec(`SELECT runnel.drop_trigger('orders', 'hello')`)
	b.refuses("42704", "no trigger of function hello", `SELECT runnel.drop_trigger('orders', 'hello')`)
	if err := b.db.Delete(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if n := get[int](b, `SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass`); n != 0 {
		t.Errorf("%d triggers are left after their function was deleted", n)
	}
	b.exec(`SELECT runnel.create_trigger('orders', 'hello')`)
	b.exec(`DROP TABLE orders`)
	if n := get[int](b, `SELECT count(*) FROM runnel.triggers`); n != 0 {
		t.Errorf("%d triggers of a dropped table are listed", n)
	}
}

// Who deletes a function may not own the table. The trigger that stays must not
// hurt the table's writers.
func TestTrigger_OutlivesItsFunction(t *testing.T) {
	b := setup(t)
	owner, writer := b.login("runnel_owner"), b.login("app")
	database := get[string](b, `SELECT current_database()`)
	b.exec(`CREATE SCHEMA app AUTHORIZATION ` + writer)
	b.exec(`CREATE TABLE app.orders (id int); CREATE TABLE app.parts (id int) PARTITION BY RANGE (id); CREATE TABLE app.parts_1 PARTITION OF app.parts DEFAULT`)
	b.exec(`ALTER TABLE app.orders OWNER TO ` + writer + `; ALTER TABLE app.parts OWNER TO ` + writer + `; ALTER TABLE app.parts_1 OWNER TO ` + writer)
	b.exec(`GRANT USAGE ON SCHEMA runnel TO ` + writer)
	b.exec(`GRANT EXECUTE ON FUNCTION runnel.create_trigger, runnel.drop_trigger, runnel.prepare_trigger, runnel.trigger_name, runnel.is_pure, runnel.on_change_rows, runnel.on_change_row TO ` + writer)
	b.deploy("hello", runnel.Config{})
	conn := connect(t, b.as(writer))
	execute(t, conn, `SELECT runnel.create_trigger('app.orders', 'hello'), runnel.create_trigger('app.parts', 'hello')`)
	execute(t, conn, `INSERT INTO app.orders VALUES (1); INSERT INTO app.parts VALUES (1)`)
	if n := len(b.events()); n != 2 {
		t.Fatalf("%d jobs, want 2", n)
	}
	b.exec(`GRANT CREATE ON DATABASE ` + database + ` TO ` + owner)
	b.exec(`GRANT USAGE ON SCHEMA runnel TO ` + owner + `; GRANT ALL ON ALL TABLES IN SCHEMA runnel TO ` + owner)
	// The cleanup runs as the owner of its function.
	b.exec(`ALTER FUNCTION runnel.drop_triggers_of_function OWNER TO ` + owner)
	b.exec(`DELETE FROM runnel.functions`)
	b.exec(`ALTER FUNCTION runnel.drop_triggers_of_function OWNER TO CURRENT_USER`)
	if n := get[int](b, `SELECT count(*) FROM pg_trigger WHERE tgrelid = 'app.orders'::regclass`); n != 3 {
		t.Fatalf("%d triggers are left, want 3 that could not be dropped", n)
	}
	execute(t, conn, `INSERT INTO app.orders VALUES (2); INSERT INTO app.parts VALUES (2); TRUNCATE app.orders`)
	if n := len(b.events()); n != 2 {
		t.Errorf("%d jobs, want no more than before", n)
	}
}

func TestTrigger_DisabledFunctionIsSkippedAndLogged(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{Enabled: ptr(false)})
	b.exec(`CREATE TABLE orders (id int)`)
	b.exec(`CREATE TABLE parts (id int) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts DEFAULT;`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello'), runnel.create_trigger('parts', 'hello')`)
	b.exec(`INSERT INTO orders SELECT generate_series(1, 5)`)
	b.exec(`DELETE FROM orders WHERE false`)
	b.exec(`INSERT INTO parts SELECT generate_series(1, 5)`)
	if n := len(b.events()); n != 0 {
		t.Errorf("%d jobs for a disabled function", n)
	}
	got := column[string](b, `SELECT concat_ws('|', status, attempt, trigger, role, error_code, error_message) FROM runnel.function_invocations ORDER BY finished_at`)
	want := []string{
		`skipped|0|database|anon|FunctionNotFound|function hello is disabled: INSERT on public.orders was not delivered`,
		`skipped|0|database|anon|FunctionNotFound|function hello is disabled: INSERT on public.parts was not delivered`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTrigger_HugeRowIsSkippedAndLogged(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int, item text)`)
	b.exec(`SELECT runnel.create_trigger('orders', 'hello')`)
	b.exec(`INSERT INTO orders SELECT g, repeat('x', CASE g WHEN 2 THEN 7000000 ELSE 1 END) FROM generate_series(1, 3) g`)
	if n := len(b.events()); n != 2 {
		t.Errorf("%d jobs, want 2", n)
	}
	if got := column[string](b, `SELECT error_code FROM runnel.function_invocations`); fmt.Sprint(got) != "[TooLarge]" {
		t.Errorf("logged %v", got)
	}
}

// A cast to json that somebody gave a type of theirs would run as the owner of
// the schema, inside the trigger function.
func TestTrigger_ForeignTypesAreNotTouched(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	mallory := b.login("mallory")
	b.exec(`CREATE SCHEMA m AUTHORIZATION ` + mallory)
	b.exec(`GRANT USAGE ON SCHEMA runnel TO ` + mallory)
	b.exec(`GRANT EXECUTE ON FUNCTION runnel.create_trigger, runnel.prepare_trigger, runnel.trigger_name, runnel.is_pure, runnel.on_change_rows, runnel.on_change_row TO ` + mallory)
	conn := connect(t, b.as(mallory))
	execute(t, conn, `
		CREATE TABLE m.proof (who text);
		CREATE TYPE m.mood AS ENUM ('ok');
		CREATE FUNCTION m.leak(m.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN INSERT INTO m.proof VALUES (current_user); RETURN '1'; END $$;
		CREATE CAST (m.mood AS json) WITH FUNCTION m.leak(m.mood);
		CREATE TYPE m.pair AS (a int, moods m.mood[]);
		CREATE DOMAIN m.moody AS m.mood;
		CREATE DOMAIN m.positive AS int CHECK (value > 0);
		CREATE TABLE m.plain (id int);
		CREATE TABLE m.parts (id int) PARTITION BY RANGE (id);
		CREATE TABLE m.parts_1 PARTITION OF m.parts DEFAULT;`)
	for _, typ := range []string{"m.mood", "m.mood[]", "m.pair", "m.moody", "m.pair[]"} {
		execute(t, conn, `CREATE TABLE m.t (c `+typ+`)`)
		refuses(t, conn, "42501", "which belongs to "+mallory, `SELECT runnel.create_trigger('m.t', 'hello')`)
		execute(t, conn, `DROP TABLE m.t`)
	}
	execute(t, conn, `CREATE TABLE m.t (c m.positive)`)
	execute(t, conn, `SELECT runnel.create_trigger('m.t', 'hello')`)
	execute(t, conn, `INSERT INTO m.t VALUES (1)`)

	// The column may also come later.
	execute(t, conn, `SELECT runnel.create_trigger('m.plain', 'hello'), runnel.create_trigger('m.parts', 'hello')`)
	for _, table := range []string{"m.plain", "m.parts"} {
		execute(t, conn, `ALTER TABLE `+table+` ADD COLUMN c m.mood DEFAULT 'ok'`)
		execute(t, conn, `INSERT INTO `+table+` VALUES (1)`)
		execute(t, conn, `UPDATE `+table+` SET id = 2`)
	}
	if got := column[string](b, `SELECT who FROM m.proof`); len(got) != 0 {
		t.Errorf("the cast ran as %v", got)
	}
	if n := len(b.events()); n != 1 {
		t.Errorf("%d jobs, want the one of the harmless table", n)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.function_invocations WHERE status = 'skipped' AND error_code = 'Forbidden'`); n != 4 {
		t.Errorf("%d skips are logged, want 4", n)
	}
}

func TestTrigger_Refusals(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int); CREATE VIEW v AS SELECT 1 AS one;`)
	b.refuses("42704", "function nobody does not exist", `SELECT runnel.create_trigger('orders', 'nobody')`)
	b.refuses("42704", "function NULL does not exist", `SELECT runnel.create_trigger('orders', NULL)`)
	b.refuses("42P01", "no such table", `SELECT runnel.create_trigger(NULL, 'hello')`)
	b.refuses("42809", "v is not a table", `SELECT runnel.create_trigger('v', 'hello')`)
	b.refuses("42809", "belongs to runnel", `SELECT runnel.create_trigger('runnel.function_invocations', 'hello')`)
	b.refuses("42809", "belongs to pg_catalog", `SELECT runnel.create_trigger('pg_class', 'hello')`)
	for _, operations := range []string{`'{}'`, `'{MERGE}'`, `NULL`, `'{INSERT,NULL}'`} {
		b.refuses("22023", "operations", `SELECT runnel.create_trigger('orders', 'hello', `+operations+`)`)
	}
	b.refuses("22023", "granularity 'table'", `SELECT runnel.create_trigger('orders', 'hello', granularity => 'table')`)
	b.refuses("22023", "granularity NULL", `SELECT runnel.create_trigger('orders', 'hello', granularity => NULL)`)

	stranger := b.login("stranger")
	b.exec(`GRANT USAGE ON SCHEMA runnel TO ` + stranger)
	b.exec(`GRANT EXECUTE ON FUNCTION runnel.create_trigger, runnel.prepare_trigger, runnel.trigger_name, runnel.is_pure, runnel.on_change_rows, runnel.on_change_row TO ` + stranger)
	conn := connect(t, b.as(stranger))
	refuses(t, conn, "42501", "permission denied to put a trigger on public.orders", `SELECT runnel.create_trigger('orders', 'hello')`)
	b.exec(`GRANT TRIGGER ON orders TO ` + stranger)
	execute(t, conn, `SELECT runnel.create_trigger('orders', 'hello')`)
}

// A condition is one expression, also where the owner's connection makes the trigger
// of what somebody sent over HTTP.
func TestTrigger_ConditionIsOneExpression(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int PRIMARY KEY, state text, "New;" int); CREATE TABLE victim (id int)`)
	b.exec(`CREATE FUNCTION big(o orders) RETURNS boolean LANGUAGE sql AS 'SELECT o.id > 9'`)
	for condition, operations := range map[string]string{
		`OLD.* IS DISTINCT FROM NEW.*`:                        "{UPDATE}",
		`OLD IS DISTINCT FROM NEW -- whatever it was`:         "{UPDATE}",
		`big(NEW) AND NEW."New;" > 0 AND NEW.state <> ');--'`: "{INSERT,UPDATE}",
		`OLD.state ~ '^\d+$' /* ; */`:                         "{DELETE,UPDATE}",
		`(true) OR (false)`:                                   "{INSERT,UPDATE,DELETE}",
		`NEW.state = $a$;$a$`:                                 "{INSERT}",
	} {
		b.exec(`SELECT runnel.create_trigger('orders', 'hello', $2::text[], condition => $1)`, condition, operations)
	}
	for condition, sqlstate := range map[string]string{
		`true) EXECUTE FUNCTION runnel.on_change_row('x'); DROP TABLE victim; --`:           "42601",
		`true) EXECUTE FUNCTION runnel.on_change_row('x'); DROP TABLE victim; SELECT (true`: "42601",
		`true) AS x; DROP TABLE victim; --`:                                                 "42601",
		`true); DROP TABLE victim; SELECT (true`:                                            "42P11",
		`true) EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger() --`:         "42601",
		`true) FROM victim --`: "42601",
		`OLD.nothing`:          "42703",
		`NEW.id > 5`:           "42P17", // a DELETE has no NEW
		`(SELECT true)`:        "0A000",
		`true, true`:           "42601",
		`id > 5`:               "42702",
		`)`:                    "42601",
		`'`:                    "42601",
		`/*`:                   "42601",
		`NEW.id = 'x'`:         "22P02",
		`7`:                    "42804",
	} {
		b.refuses(sqlstate, "", `SELECT runnel.create_trigger('orders', 'hello', condition => $1)`, condition)
	}
	b.exec(`SELECT FROM victim`)
}

// What others may create in a schema of the caller's search_path is not called in the
// place of Postgres's own.
func TestTrigger_SearchPathOfTheCallerIsForTheConditionOnly(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE TABLE orders (id int, total int); CREATE TABLE called (what text)`)
	// Each fits better than the function or operator in pg_catalog that it is named after.
	for signature, result := range map[string]string{
		`format(text, text, regclass)`: "text", `format(text, text)`: "text", `format(text, text, text)`: "text", `format(text, text, text, regclass, text, uuid, text, uuid, timestamptz, text)`: "text",
		`unnest(text[])`: "SETOF text", `same(oid, regclass)`: "boolean", `same(regclass, oid)`: "boolean", `same(name, text)`: "boolean", `joined(text[], text)`: "text[]",
	} {
		b.exec(`CREATE FUNCTION public.` + signature + ` RETURNS ` + result + ` LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.called VALUES ('` + signature + `'); RAISE EXCEPTION 'called'; END $$`)
	}
	b.exec(`CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = public.same); CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.same)`)
	b.exec(`CREATE FUNCTION public.large(int) RETURNS boolean LANGUAGE sql AS 'SELECT $1 > 100'`)
	b.exec(`SET search_path = public, pg_catalog`)
	for range 2 {
		b.exec(`SELECT runnel.create_trigger('orders', 'hello', condition => NULL)`)
		b.exec(`SELECT runnel.create_trigger('orders', 'hello', '{INSERT}', condition => 'large(NEW.total)')`)
	}
	if got := get[string](b, `SELECT current_setting('search_path')`); got != "public, pg_catalog" {
		t.Errorf("the caller's search_path is %q afterwards", got)
	}
	b.exec(`INSERT INTO orders VALUES (1, 5), (2, 500)`)
	b.exec(`RESET search_path`)
	if got := b.events(); len(got) != 1 {
		t.Errorf("%d events, want that of the large one", len(got))
	}
	b.exec(`SET search_path = public, pg_catalog; SELECT runnel.drop_trigger('orders', 'hello'); RESET search_path`)
	if n := get[int](b, `SELECT count(*) FROM called`); n != 0 {
		t.Errorf("%d of others' functions were called", n)
	}
}

// A condition is SQL of its author, and nothing more than that.
func TestTrigger_ConditionHasItsAuthorsRights(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	author := b.login("author")
	b.exec(`CREATE SCHEMA a AUTHORIZATION ` + author + `; GRANT USAGE ON SCHEMA runnel TO ` + author)
	b.exec(`GRANT EXECUTE ON FUNCTION runnel.create_trigger, runnel.prepare_trigger, runnel.trigger_name, runnel.is_pure, runnel.on_change_rows, runnel.on_change_row TO ` + author)
	conn := connect(t, b.as(author))
	execute(t, conn, `CREATE TABLE a.t (id int)`)
	_, err := conn.Exec(t.Context(), `SELECT runnel.create_trigger('a.t', 'hello', '{INSERT}', condition => $1)`,
		`true) EXECUTE FUNCTION runnel.on_change_row('x'); DELETE FROM runnel.functions; --`)
	if err == nil || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("got %v, want a syntax error", err)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.functions`); n != 1 {
		t.Error("the condition deleted the functions")
	}
}
