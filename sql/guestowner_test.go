package sql_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

// owned is a new database whose owner is a login without superuser. It is gone
// when the test ends.
type owned struct {
	address string // as the owner
	root    string // as the superuser
	admin   *pgx.Conn
	owner   string
}

func newOwned(t *testing.T, attributes string) owned {
	t.Helper()
	o := owned{root: pgtest.Empty(t)}
	o.admin = connect(t, o.root)
	u, err := url.Parse(o.root)
	if err != nil {
		t.Fatal(err)
	}
	database := strings.TrimPrefix(u.Path, "/")
	o.owner = "owner_" + strings.TrimPrefix(database, "runnel_test_")
	execute(t, o.admin, fmt.Sprintf(`CREATE ROLE %s LOGIN NOSUPERUSER PASSWORD 'owner' %s`, o.owner, attributes))
	t.Cleanup(func() {
		cleanup(t, o.admin, fmt.Sprintf(`ALTER DATABASE %s OWNER TO CURRENT_USER`, database))
		cleanup(t, o.admin, fmt.Sprintf(`DROP OWNED BY %s CASCADE`, o.owner))
		cleanup(t, o.admin, fmt.Sprintf(`DROP ROLE %s`, o.owner))
	})
	execute(t, o.admin, fmt.Sprintf(`ALTER DATABASE %s OWNER TO %s`, database, o.owner))
	u.User = url.UserPassword(o.owner, "owner")
	o.address = u.String()
	return o
}

// managed is an owner as managed Postgres gives one: with CREATEROLE. Its
// migration would have made the levels, were they not there from another test.
func managed(t *testing.T) owned {
	t.Helper()
	pgtest.Database(t) // makes the levels
	o := newOwned(t, "CREATEROLE")
	var version int
	if err := o.admin.QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		t.Fatal(err)
	}
	if version >= 16_00_00 { // what who creates a role gets there
		execute(t, o.admin, fmt.Sprintf(`GRANT anon, authenticated, service_role TO %s WITH ADMIN TRUE, INHERIT FALSE, SET FALSE`, o.owner))
	}
	if err := sql.Migrate(t.Context(), o.address, nil); err != nil {
		t.Fatal(err)
	}
	return o
}

// A plan with a single role: nothing is answered, everything else works.
func TestFUNC_I3_WithoutCreateRoleNothingIsAnswered(t *testing.T) {
	t.Parallel()
	o := newOwned(t, "NOCREATEROLE")
	if err := sql.Migrate(t.Context(), o.address, nil); err != nil {
		t.Fatal(err)
	}
	b := guestsAs(t, o.address, o.root, 4)
	for _, caller := range []runnel.Caller{{Role: runnel.RoleAnon}, user(alice)} {
		b.guest(caller, false).fails("RlsUnavailable", "", `SELECT 1`)
		b.guest(caller, true).fails("RlsUnavailable", "", `SELECT 1`)
	}
	for level, err := range b.db.CheckSlots(t.Context()) {
		if err == nil || !strings.Contains(err.Error(), "CREATEROLE") {
			t.Errorf("%s: %v", level, err)
		}
	}
	if n := get[int](b, `SELECT count(*)::int FROM runnel.slots`); n != 0 {
		t.Errorf("%d slots", n)
	}
	if err := b.db.Ready(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
	unset, err := sql.Open(t.Context(), o.address, sql.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer unset.Close()
	if raw := unset.Guest(user(alice), false).Query(t.Context(), `SELECT 1`, nil); !strings.Contains(string(raw), "RUNNEL_SLOT_SECRET") {
		t.Errorf("without a secret: %s", raw)
	}
}

func TestFUNC_I3_CreateRoleIsEnough(t *testing.T) {
	t.Parallel()
	o := managed(t)
	b := guestsAs(t, o.address, o.root, 4)
	b.exec(`
		CREATE TABLE note (owner uuid NOT NULL DEFAULT auth.uid(), text text NOT NULL);
		ALTER TABLE note ENABLE ROW LEVEL SECURITY;
		CREATE POLICY own ON note TO authenticated USING (owner = (SELECT auth.uid()));
		INSERT INTO note VALUES ('` + alice + `', 'of alice'), ('` + bob + `', 'of bob');
		GRANT SELECT ON note TO anon, authenticated, service_role`)
	b.guest(user(alice), false).wants(`[["of alice"]]`, `SELECT text FROM note`)
	b.guest(runnel.Caller{Role: runnel.RoleAnon}, false).wants(`[]`, `SELECT text FROM note`)
	b.guest(user(alice), true).wants(`[["of alice"],["of bob"]]`, `SELECT text FROM note ORDER BY text`)
	b.guest(user(alice), false).fails("PermissionDenied", "42501", `SELECT set_config('role', $1, false)`, `"`+o.owner+`"`)
	for level, err := range b.db.CheckSlots(t.Context()) {
		if err != nil {
			t.Errorf("%s: %v", level, err)
		}
	}
}

// Without BYPASSRLS service_role would read less than it promises, without a
// word. Levels belong to the server, so this test has it to itself: it is not
// parallel.
func TestFUNC_I3_ServiceRoleWithoutBypassIsNotUsed(t *testing.T) {
	o := managed(t)
	t.Cleanup(func() { cleanup(t, o.admin, `ALTER ROLE service_role BYPASSRLS`) })
	execute(t, o.admin, `ALTER ROLE service_role NOBYPASSRLS`)
	b := guestsAs(t, o.address, o.root, 4)
	got := b.guest(user(alice), true).fails("RlsUnavailable", "", `SELECT 1`)
	if !strings.Contains(fmt.Sprint(got), "ALTER ROLE service_role BYPASSRLS") {
		t.Errorf("got %v", got)
	}
	b.guest(user(alice), false).wants(`[["authenticated"]]`, `SELECT current_user`)
	for level, err := range b.db.CheckSlots(t.Context()) {
		if (err == nil) != (level != runnel.RoleService) {
			t.Errorf("%s: %v", level, err)
		}
	}
}
