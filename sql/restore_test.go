package sql_test

import (
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

// A dump that Postgres's own programs restore into a database with another name and
// another owner, as docs/OPERATIONS.md says: everything is the new owner's, works, and
// is no more open than it was. With and without the rights in the dump.
func TestRestore_UnderAnotherOwner(t *testing.T) {
	b := setup(t)
	dump, restore := pgtest.Program(t, "pg_dump"), pgtest.Program(t, "pg_restore")
	b.deploy("hello", runnel.Config{})
	app := b.login("app")
	b.exec(`GRANT USAGE ON SCHEMA runnel TO ` + app + `; GRANT EXECUTE ON FUNCTION runnel.invoke TO ` + app)
	b.exec(`CREATE TABLE notes (id int PRIMARY KEY, owner uuid, note text); ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
		GRANT SELECT ON notes TO authenticated; CREATE POLICY own ON notes TO authenticated USING (owner = (SELECT auth.uid()));
		INSERT INTO notes VALUES (1, '` + alice + `', 'hers'), (2, '` + bob + `', 'his')`)
	b.exec(`SELECT runnel.create_trigger('notes', 'hello', condition => 'NEW.id > 0', operations => '{INSERT}'), runnel.schedule('nightly', '30 4 * * *', 'hello')`)
	later := get[string](b, `SELECT runnel.invoke('hello', run_at => now() + interval '1 hour', idempotency_key => 'once')::text`)
	file := filepath.Join(t.TempDir(), "dump")
	if out, err := exec.CommandContext(t.Context(), dump, "-Fc", "-f", file, b.url).CombinedOutput(); err != nil {
		if strings.Contains(string(out), "server version mismatch") {
			t.Skip("this pg_dump is older than the server")
		}
		t.Fatalf("%v: %s", err, out)
	}
	for name, flags := range map[string][]string{"with rights": nil, "without rights": {"--no-acl"}} {
		t.Run(name, func(t *testing.T) {
			o := newOwned(t, "CREATEROLE")
			u, err := url.Parse(o.root)
			if err != nil {
				t.Fatal(err)
			}
			all := append([]string{"--no-owner", "--role=" + o.owner, "--exit-on-error", "-d", u.String()}, flags...)
			if out, err := exec.CommandContext(t.Context(), restore, append(all, file)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if err := sql.Migrate(t.Context(), o.address, nil); err != nil {
				t.Fatal(err)
			}
			r := use(t, o.address)
			if got := column[string](r, `
				SELECT 'not the owner''s: ' || p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'runnel'::regnamespace AND p.proowner <> current_user::regrole
				UNION ALL
				SELECT 'everyone''s: ' || p.oid::regprocedure FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
				WHERE p.pronamespace = 'runnel'::regnamespace AND a.grantee = 0`); len(got) != 0 {
				t.Error(got)
			}
			if !get[bool](r, `SELECT has_schema_privilege('public', 'auth', 'USAGE')`) {
				t.Error("policies cannot call auth.uid()")
			}
			if again := get[string](r, `SELECT runnel.invoke('hello', idempotency_key => 'once')::text`); again != later {
				t.Errorf("the key of the dump made %s, want %s", again, later)
			}
			r.exec(`INSERT INTO notes SELECT g FROM generate_series(10, 19) g`)
			r.exec(`INSERT INTO notes VALUES (20)`)
			if n := len(r.fetch("w1")); n != 11 {
				t.Errorf("%d jobs to run, want 11", n)
			}
			if flags == nil && !get[bool](r, `SELECT has_function_privilege($1, 'runnel.invoke(text,jsonb,timestamptz,text,int,int)', 'EXECUTE')`, app) {
				t.Error("the application's right is gone")
			}
		})
	}
}

// Restored as somebody else, the schema is not to be used, and the error says why.
func TestMigrate_SchemaOfAnotherOwner(t *testing.T) {
	t.Parallel()
	pgtest.Database(t) // makes the levels
	o := newOwned(t, "NOCREATEROLE")
	if err := sql.Migrate(t.Context(), o.root, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := sql.Migrate(t.Context(), o.address, nil)
		if runnel.CodeOf(err) != runnel.CodeInvalidRequest || !strings.Contains(err.Error(), "must own the schema runnel") {
			t.Fatalf("got %v", err)
		}
		execute(t, o.admin, `ALTER SCHEMA runnel OWNER TO `+o.owner) // and nothing in it
	}
}
