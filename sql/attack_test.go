package sql_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
)

// attack is what a hostile function sends, as Alice, in one invocation.
//
// Whatever it answers, every attack must leave this true: nothing it reads holds
// the vault's secret or Bob's note, the rows of others are as they were, and the
// next invocation on the same connection is the honest one it should be.
type attack struct {
	name  string
	steps []string
	want  string // of the last step: a SQLSTATE, a code, or rows; "" is anything
	risk  string // what remains, where something does
}

// $OWNER is the owner's login, $PEER and $OURS the process ids of another
// function's connection and of the owner's, $SLOT the own login. app_exec is a
// careless application's function: it executes its argument, with the caller's
// rights.
var attacks = []attack{
	// The role.
	{"reset role", []string{`RESET ROLE`}, "42501", ""},
	{"set role", []string{`SET ROLE service_role`}, "42501", ""},
	{"set local role", []string{`SET LOCAL ROLE service_role`}, "42501", ""},
	{"set session authorization", []string{`SET SESSION AUTHORIZATION $OWNER`}, "42501", ""},
	{"reset in a comment's shadow", []string{`/* SELECT /* */ 1 */ RESET ROLE`}, "42501", ""},
	{"reset after a line comment", []string{"-- SELECT\rRESET ROLE"}, "42501", ""},
	{"reset after a byte order mark", []string{"\ufeffRESET ROLE"}, "InvalidRequest", ""},
	{"second statement", []string{`SELECT 1; RESET ROLE`}, "42601", ""},
	{"NUL hides the rest", []string{"SELECT 1\x00; RESET ROLE"}, "22021", ""},
	{"set_config role none", []string{`SELECT set_config('role', 'none', false)`, `SELECT secret FROM vault`}, "42501", ""},
	{"set_config role none in the same statement", []string{`SELECT set_config('role', 'none', true), (SELECT count(*) FROM vault)`}, `[["none",0]]`, ""},
	{"set_config role owner", []string{`SELECT set_config('role', '$OWNER', false)`}, "42501", ""},
	{"set_config role service_role", []string{`SELECT set_config('role', 'service_role', false)`}, "42501", ""},
	{"none, then service_role", []string{`SELECT set_config('role', 'none', false)`, `SELECT set_config('role', 'service_role', false)`}, "42501", ""},
	{"set_config session_authorization", []string{`SELECT set_config('session_authorization', '$OWNER', false)`}, "42501", ""},
	{"update pg_settings", []string{`UPDATE pg_settings SET setting = 'none' WHERE name = 'role'`, `SELECT secret FROM vault`}, "", ""},
	{"query_to_xml resets", []string{`SELECT query_to_xml('RESET ROLE', true, false, '')`, `SELECT secret FROM vault`}, `[]`, ""},
	{"query_to_xml with set_config", []string{`SELECT query_to_xml('SELECT set_config(''role'', ''none'', false)', true, false, '')`, `SELECT secret FROM vault`}, "42501", ""},
	{"query_to_xml reads", []string{`SELECT query_to_xml('SELECT secret FROM vault', true, false, '')`}, "", ""},
	{"table_to_xml", []string{`SELECT table_to_xml('vault', true, false, '')`}, "", ""},
	{"database_to_xml", []string{`SELECT database_to_xml(true, false, '')`}, "", ""},
	{"cursor_to_xml", []string{`SELECT cursor_to_xml('c', 10, true, false, '')`}, "34000", ""},
	{"ts_stat reads", []string{`SELECT word FROM ts_stat('SELECT to_tsvector(secret) FROM vault')`}, `[]`, ""},
	{"ts_stat with set_config", []string{`SELECT word FROM ts_stat('SELECT to_tsvector(set_config(''role'', ''none'', false))')`, `SELECT secret FROM vault`}, "42501", ""},
	{"DO", []string{`DO $x$ BEGIN PERFORM set_config('role', 'none', false); END $x$`}, "42501", ""},
	{"DO through the application", []string{`SELECT app_exec('DO $x$ BEGIN RESET ROLE; SET ROLE service_role; END $x$')`}, "42501", ""},
	{"application sets the role", []string{`SELECT app_exec('SET ROLE service_role')`}, "42501", ""},
	{"application resets the role", []string{`SELECT app_exec('RESET ROLE')`, `SELECT secret FROM vault`}, `[]`, ""},
	{"application sets the authorization", []string{`SELECT app_exec('SET SESSION AUTHORIZATION $OWNER')`}, "42501", ""},
	{"application grants a level", []string{`SELECT set_config('role', 'none', false)`, `SELECT app_exec('GRANT service_role TO "$SLOT"')`}, "42501", ""},
	{"application sets its own password", []string{`SELECT set_config('role', 'none', false)`, `SELECT app_exec('ALTER ROLE "$SLOT" PASSWORD ''x''')`}, "",
		"only with an application function that executes its caller's text: the slot's login is refused once, and then repaired"},

	// Transactions and cursors.
	{"commit", []string{`COMMIT`}, "42501", ""},
	{"begin", []string{`BEGIN`}, "42501", ""},
	{"savepoint", []string{`SAVEPOINT x`}, "42501", ""},
	{"prepare transaction", []string{`PREPARE TRANSACTION 'x'`}, "42501", ""},
	{"procedure commits", []string{`CALL app_commit()`}, "2D000", ""},
	{"declare", []string{`DECLARE c CURSOR WITH HOLD FOR SELECT 1`}, "42501", ""},
	{"cursor left open", []string{`SELECT app_exec('DECLARE c CURSOR WITH HOLD FOR SELECT 1')`}, "", ""},
	{"prepared statement left", []string{`SELECT app_exec('PREPARE note AS SELECT 1')`}, "", ""},
	{"deferred trigger at commit", []string{`SELECT app_exec('CREATE TEMP TABLE d (x int); CREATE FUNCTION pg_temp.late() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN SET ROLE service_role; UPDATE note SET owner = ''''` + alice + `''''; RETURN NULL; END''; CREATE CONSTRAINT TRIGGER t AFTER INSERT ON d DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.late(); INSERT INTO d VALUES (1)')`}, "42501", ""},

	// Claims.
	{"claims by setting", []string{`SELECT set_config('request.jwt.claims', '{"sub":"` + bob + `","role":"service_role"}', false)`, `SELECT text FROM note`}, `[["of alice"]]`, ""},
	{"claims by legacy setting", []string{`SELECT set_config('request.jwt.claim.sub', '` + bob + `', false)`, `SELECT text FROM note`}, `[["of alice"]]`, ""},
	{"claims by the application", []string{`SELECT app_exec('SET request.jwt.claims = ''{"sub":"` + bob + `"}''')`, `SELECT auth.uid()`}, `[["` + alice + `"]]`, ""},
	{"claims in the table", []string{`UPDATE runnel.claims SET claims = '{"sub":"` + bob + `"}'`}, "42501", ""},
	{"claims read", []string{`SELECT * FROM runnel.claims`}, "42501", ""},
	{"claims as the slot", []string{`SELECT set_config('role', 'none', false)`, `INSERT INTO runnel.claims VALUES (session_user, 1, '{}', 0)`}, "42501", ""},
	{"claims of a policy that reads settings", []string{`SELECT set_config('request.jwt.claims', '{"sub":"` + bob + `"}', false)`, `SELECT current_setting('request.jwt.claims')::json ->> 'sub'`}, `[["` + bob + `"]]`,
		"a policy that reads request.jwt.claims itself can be deceived by whoever can send SQL: policies must use auth.uid() and auth.jwt()"},
	{"shadow auth.uid", []string{`SELECT app_exec('CREATE FUNCTION auth.uid(int) RETURNS uuid LANGUAGE sql AS ''SELECT null::uuid''')`}, "42501", ""},
	{"shadow by search_path", []string{`SELECT app_exec('CREATE FUNCTION pg_temp.uid() RETURNS uuid LANGUAGE sql AS ''SELECT ''''` + bob + `''''::uuid''')`, `SELECT set_config('search_path', 'pg_temp, auth, public', false)`, `SELECT text FROM note`}, `[["of alice"]]`, ""},
	{"shadow operator", []string{`SELECT app_exec('CREATE FUNCTION pg_temp.yes(uuid, uuid) RETURNS boolean LANGUAGE sql AS ''SELECT true''; CREATE OPERATOR public.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = pg_temp.yes)')`}, "42501", ""},

	// Row level security.
	{"row_security off", []string{`SELECT set_config('row_security', 'off', false)`, `SELECT secret FROM vault`}, "42501", ""},
	{"disable row level security", []string{`SELECT app_exec('ALTER TABLE vault DISABLE ROW LEVEL SECURITY')`}, "42501", ""},
	{"add a policy", []string{`SELECT app_exec('CREATE POLICY p ON vault USING (true)')`}, "42501", ""},
	{"replication role", []string{`SELECT set_config('session_replication_role', 'replica', false)`}, "42501", ""},
	{"division oracle", []string{`SELECT * FROM vault WHERE 1 / (length(secret) - 19) = 0`}, `[]`, ""},
	{"cast oracle", []string{`SELECT * FROM vault WHERE secret::int = 1`}, `[]`, ""},
	{"cheap leaking function", []string{`SELECT app_exec('CREATE FUNCTION pg_temp.leak(text) RETURNS boolean COST 0.0000001 LANGUAGE plpgsql AS ''BEGIN RAISE EXCEPTION ''''%'''', $1; END''')`, `SELECT * FROM vault WHERE pg_temp.leak(secret)`}, `[]`, ""},
	{"statistics", []string{`SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE tablename IN ('vault', 'note')`}, `[]`, ""},
	{"unique key oracle", []string{`INSERT INTO note (id, text) VALUES (2, 'x')`}, "23505", "Postgres tells that a key exists, also of a row that policies hide; it shows the value that was sent, no other"},
	{"write into another's row", []string{`WITH w AS (UPDATE note SET text = 'owned' RETURNING id) SELECT count(*) FROM w`}, `[[1]]`, ""},
	{"write the vault in a CTE", []string{`WITH w AS (DELETE FROM vault RETURNING *) SELECT * FROM w`}, "42501", ""},
	{"lock the vault", []string{`SELECT * FROM vault FOR UPDATE`}, "42501", ""},
	{"merge into the vault", []string{`MERGE INTO vault USING (SELECT 1) AS x(x) ON true WHEN MATCHED THEN DELETE`}, "42501", ""},
	{"returning what was there before", []string{`UPDATE note SET text = 'of alice' RETURNING old.text`}, "", ""},
	{"statistics of hidden rows", []string{`SELECT n_live_tup FROM pg_stat_user_tables WHERE relname = 'vault'`}, "", "the number of rows of a table, also of hidden ones, can be read from statistics and from plans"},
	{"replace statistics", []string{`SELECT pg_clear_relation_stats('public', 'vault')`}, "", ""},
	{"explain analyze", []string{`EXPLAIN (ANALYZE, VERBOSE) SELECT secret FROM vault`}, "", ""},

	// The server.
	{"copy to a program", []string{`COPY note TO PROGRAM 'cat'`}, "42501", ""},
	{"copy from a file", []string{`SELECT app_exec('COPY note FROM ''/etc/passwd''')`}, "42501", ""},
	{"copy in an application function", []string{`SELECT app_exec('COPY note TO STDOUT')`}, "", ""},
	{"read a file", []string{`SELECT pg_read_file('/etc/passwd')`}, "42501", ""},
	{"list a directory", []string{`SELECT pg_ls_dir('.')`}, "42501", ""},
	{"import a large object", []string{`SELECT lo_import('/etc/passwd')`}, "42501", ""},
	{"export a large object", []string{`SELECT lo_export(1, '/tmp/x')`}, "42501", ""},
	{"create a large object", []string{`SELECT count(lo_from_bytea(0, 'x'))`}, `[[1]]`, "large objects take space that no policy limits: sql/harden.sql closes them"},
	{"terminate a peer", []string{`SELECT pg_terminate_backend($PEER)`}, "42501", ""},
	{"cancel a peer", []string{`SELECT pg_cancel_backend($PEER)`}, "42501", ""},
	{"terminate the owner", []string{`SELECT set_config('role', 'none', false)`, `SELECT pg_terminate_backend($OURS)`}, "42501", ""},
	{"read a peer's SQL", []string{`SELECT query FROM pg_stat_activity WHERE usename <> session_user AND query NOT IN ('', '<insufficient privilege>')`}, `[]`, ""},
	{"terminate itself", []string{`SELECT pg_terminate_backend(pg_backend_pid())`}, "42501", ""},
	{"terminate itself as the slot", []string{`SELECT set_config('role', 'none', false)`, `SELECT pg_terminate_backend(pg_backend_pid())`}, "Unavailable", ""},
	{"sleep past the time", []string{`SELECT pg_sleep(3600)`}, "57014", ""},
	{"lift the time limit", []string{`SELECT set_config('statement_timeout', '0', false)`, `SELECT pg_sleep(3600)`}, "57014", ""},
	{"lift the time limit within the statement", []string{`SELECT set_config('statement_timeout', '0', false), pg_sleep(3600)`}, "57014", ""},
	{"answer without end", []string{`SELECT repeat('x', 1000000) FROM generate_series(1, 100000000)`}, "TooLarge", ""},
	{"one huge value", []string{`SELECT repeat('x', 500000000)`}, "", ""},
	{"list connections", []string{`SELECT client_addr FROM pg_stat_activity WHERE usename <> session_user AND client_addr IS NOT NULL`}, `[]`, ""},
	{"read passwords", []string{`SELECT rolpassword FROM pg_authid`}, "42501", ""},
	{"read pg_hba.conf", []string{`SELECT * FROM pg_hba_file_rules`}, "42501", ""},
	{"reload the configuration", []string{`SELECT pg_reload_conf()`}, "42501", ""},
	{"alter system", []string{`ALTER SYSTEM SET port = 1`}, "42501", ""},
	{"create an extension", []string{`SELECT app_exec('CREATE EXTENSION dblink')`}, "", ""},
	{"write to the log of changes", []string{`SELECT count(pg_logical_emit_message(false, 'x', 'y'))`}, `[[1]]`, "noise in the WAL, which readers of logical replication may see: sql/harden.sql closes it"},
	{"read a function's source", []string{`SELECT count(*) FROM pg_proc WHERE proname = 'app_exec' AND prosrc <> ''`}, `[[1]]`, "every role of Postgres can read the source of functions: keep secrets out of them"},

	// Runnel.
	{"write a job", []string{`INSERT INTO runnel.river_job (kind) VALUES ('x')`}, "42501", ""},
	{"read environments", []string{`SELECT * FROM runnel.environment`}, "42501", ""},
	{"read events", []string{`SELECT set_config('role', 'none', false)`, `SELECT * FROM runnel.invocation_events`}, "42501", ""},
	{"invoke", []string{`SELECT runnel.invoke('x')`}, "42501", ""},
	{"make a slot", []string{`SELECT runnel.create_slot('a', 'anon', 'x', 'x')`}, "42501", ""},
	{"notify", []string{`NOTIFY "runnel.river_control", '{"action":"pause","queue":"*"}'`}, "42501", ""},
	{"listen", []string{`LISTEN x`}, "42501", ""},
	{"pg_notify at River's control channel", []string{`SELECT count(pg_notify('runnel.river_control', '{"action":"cancel","job_id":1,"queue":"functions"}'))`}, `[[1]]`,
		"Postgres has no right to withhold; workers do not listen to that channel (package jobs, TestFUNC_I3_NotificationsCarryNoAuthority)"},

	// What the next invocation would find.
	{"listening left", []string{`SELECT app_exec('LISTEN x')`}, "", ""},
	{"settings left", []string{`SELECT set_config('search_path', 'evil', false), set_config('statement_timeout', '1', false), set_config('app.user', 'evil', false)`}, "", ""},
	{"temporary table left", []string{`SELECT app_exec('CREATE TEMP TABLE note (text text); INSERT INTO pg_temp.note VALUES (''planted'')')`}, "", ""},
	{"select into", []string{`SELECT 1 AS x INTO TEMP planted`}, "42501", ""},
	{"create table as", []string{`CREATE TEMP TABLE planted AS SELECT 1`}, "42501", ""},
	{"explain a create table as", []string{`EXPLAIN ANALYZE CREATE TEMP TABLE note AS SELECT 'planted'::text AS text`}, "", ""},
	{"advisory lock left", []string{`SELECT count(pg_advisory_lock(42))`}, `[[1]]`, "advisory locks of the application can be taken while the invocation runs: sql/harden.sql closes them"},
	{"role none left", []string{`SELECT set_config('role', 'none', false)`}, "", ""},
	{"seed left", []string{`SELECT count(setseed(0.5))`}, `[[1]]`, ""},
	{"sequence values left", []string{`INSERT INTO note (text) VALUES ('mine')`, `DELETE FROM note WHERE text = 'mine'`}, "", ""},
}

func newAttacked(t *testing.T) *bundle {
	t.Helper()
	b := guestsOn(t, pgtest.Database(t), 1)
	b.exec(`
		CREATE TABLE note (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, owner uuid NOT NULL DEFAULT auth.uid(), text text NOT NULL);
		ALTER TABLE note ENABLE ROW LEVEL SECURITY;
		CREATE POLICY own ON note TO authenticated USING (owner = (SELECT auth.uid())) WITH CHECK (owner = (SELECT auth.uid()));
		CREATE TABLE vault (secret text);
		ALTER TABLE vault ENABLE ROW LEVEL SECURITY;
		INSERT INTO vault VALUES ('s3cret-of-the-vault');
		INSERT INTO note (id, owner, text) VALUES (1, '` + alice + `', 'of alice'), (2, '` + bob + `', 'of bob');
		ALTER TABLE note ALTER id RESTART WITH 10;
		ANALYZE;
		GRANT SELECT, INSERT, UPDATE, DELETE ON note TO authenticated;
		GRANT SELECT ON vault TO authenticated, anon;
		CREATE FUNCTION app_exec(sql text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE sql; END';
		CREATE PROCEDURE app_commit() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'`)
	return b
}

func TestFUNC_I3_Attacks(t *testing.T) {
	t.Parallel()
	b := newAttacked(t)
	peer := b.guest(runnel.Caller{Role: runnel.RoleAnon}, false)
	first := b.guest(user(alice), false)
	slot := first.ask(`SELECT session_user`)
	first.Close()
	if slot.Error != nil {
		t.Fatal(slot)
	}
	replace := strings.NewReplacer(
		"$OWNER", get[string](b, `SELECT current_user`), "$OURS", get[string](b, `SELECT pg_backend_pid()::text`),
		"$PEER", strings.Trim(peer.ask(`SELECT pg_backend_pid()`).String(), "[]"), "$SLOT", strings.Trim(slot.String(), `[]"`))

	t.Attr("postgres", get[string](b, `SELECT current_setting('server_version')`))

	// What follows setseed(0.5), if nobody sets another seed.
	b.exec(`SELECT setseed(0.5)`)
	predicted := get[string](b, `SELECT random()::text`)

	held, risks := 0, 0
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			g := &guestCalls{t, b.db.Guest(user(alice), false)}
			defer g.Close()
			t.Attr("attack", a.name)
			t.Attr("risk", a.risk)
			var got answer
			for _, step := range a.steps {
				limit := 30 * time.Second
				if strings.Contains(step, "pg_sleep") {
					limit = time.Second
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				got = g.askIn(ctx, replace.Replace(step), "[]")
				cancel()
				all := fmt.Sprint(got)
				if got.Error != nil {
					all += got.Error.Detail + got.Error.Hint
				}
				if strings.Contains(all, "s3cret") || strings.Contains(all, "of bob") {
					t.Fatalf("%s reads what is not its own: %s", step, all)
				}
			}
			switch {
			case a.want == "":
			case got.Error == nil && got.String() != a.want, got.Error != nil && got.Error.SQLState != a.want && got.Error.Code != a.want:
				t.Errorf("got %v, want %s", got, a.want)
			}
			g.Close()
			t.Attr("answer", brief(got))

			next := &guestCalls{t, b.db.Guest(user(alice), false)}
			defer next.Close()
			next.wants(`[["authenticated","`+alice+`","\"$user\", public",null,null,0,0,0,null]]`, `SELECT current_user, auth.uid(), current_setting('search_path'),
				nullif(current_setting('app.user', true), ''), nullif(current_setting('request.jwt.claims', true), ''),
				(SELECT count(*) FROM pg_prepared_statements WHERE name <> '') + (SELECT count(*) FROM pg_cursors WHERE name <> ''),
				(SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
				to_regclass('pg_temp.note')`)
			next.wants(`[[true]]`, `SELECT random() <> $1::float8`, predicted)
			if got := next.ask(`SELECT id FROM note`); got.String() != `[[1]]` {
				t.Errorf("the next invocation sees %v", got)
			}
			next.Close()
			if got := get[string](b, `SELECT string_agg(n.owner::text || n.id, ',' ORDER BY id) || (SELECT count(*) FROM vault)::text || (SELECT relrowsecurity FROM pg_class WHERE relname = 'vault') FROM note n`); got != alice+"1,"+bob+"21true" {
				t.Errorf("the database is %s", got)
			}
			b.exec(`UPDATE note SET text = 'of alice' WHERE id = 1`)
		})
		if a.risk == "" {
			held++
		} else {
			risks++
			t.Logf("residual risk of %q: %s", a.name, a.risk)
		}
	}
	peer.wants(`[["anon"]]`, `SELECT current_user`)
	t.Logf("%d attacks held, %d with a residual risk", held, risks)
	if held+risks < 50 {
		t.Error("fewer than 50 attacks")
	}
}

// brief is an answer for a table of all attacks (bench/attacks), in one line.
func brief(a answer) string {
	if a.Error != nil {
		return strings.TrimSpace(a.Error.Code + " " + a.Error.SQLState)
	}
	if len(a.Rows) > 0 {
		if s := a.String(); len(s) <= 40 {
			return s
		}
	}
	return fmt.Sprintf("%d rows", a.RowCount)
}

// A careless application function can be told to strip the level of its grants.
// That denies service; it gives nothing.
func TestFUNC_I3_DropOwnedGivesNothing(t *testing.T) {
	t.Parallel()
	b := newAttacked(t)
	g := b.guest(user(alice), false)
	g.wants(`[[""]]`, `SELECT app_exec('DROP OWNED BY authenticated')`)
	if got := g.ask(`SELECT secret FROM vault`); got.Error == nil && got.String() != `[]` {
		t.Errorf("got %v", got)
	}
	if n := get[int](b, `SELECT count(*)::int FROM vault`); n != 1 {
		t.Error("the vault is gone")
	}
}
