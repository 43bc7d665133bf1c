package sql_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

// ledger is what Migrate has recorded.
const ledger = `
	SELECT concat_ws(' ', version, name, checksum, applied_at) FROM runnel.migration
	UNION ALL SELECT concat_ws(' ', name, checksum, applied_at) FROM runnel.routine ORDER BY 1`

func TestMigrate_Twice(t *testing.T) {
	b := setup(t) // migrated once
	before := column[string](b, ledger)
	if err := sql.Migrate(t.Context(), b.url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if after := column[string](b, ledger); !reflect.DeepEqual(before, after) || len(before) == 0 {
		t.Errorf("the second run changed %q to %q", before, after)
	}
	if err := b.db.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMigrate_ManyAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t)
	errs := make([]error, 6)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = sql.Migrate(t.Context(), url, nil) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	b := use(t, url)
	if n := len(column[string](b, ledger)); n == 0 {
		t.Error("nothing is recorded")
	}
	b.deploy("hello", runnel.Config{})
}

// A small managed plan has one role: it owns the database and nothing else.
func TestMigrate_AsAnOwnerWithoutAnyOtherRight(t *testing.T) {
	t.Parallel()
	address := pgtest.Empty(t)
	admin := connect(t, address)
	owner := login(t, admin, "owner")
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, admin, fmt.Sprintf(`ALTER DATABASE %s OWNER TO %s`, strings.TrimPrefix(u.Path, "/"), owner))
	t.Cleanup(func() {
		cleanup(t, admin, fmt.Sprintf(`ALTER DATABASE %s OWNER TO CURRENT_USER`, strings.TrimPrefix(u.Path, "/")))
	})
	u.User = url.UserPassword(owner, "secret-"+owner)

	if err := sql.Migrate(t.Context(), u.String(), nil); err != nil {
		t.Fatal(err)
	}
	b := use(t, u.String())
	b.deploy("hello", runnel.Config{})
	b.exec(`CREATE SCHEMA app; CREATE TABLE app.orders (id int)`)
	b.exec(`SELECT runnel.create_trigger('app.orders', 'hello'), runnel.schedule('n', '@daily', 'hello'), runnel.invoke('hello')`)
	b.exec(`INSERT INTO app.orders VALUES (1)`)
	if n := len(b.events()); n != 2 {
		t.Errorf("%d jobs, want 2", n)
	}
	if err := b.db.EnsurePartitions(t.Context(), 9); err != nil {
		t.Error(err)
	}
}

// A long query over the log must not stop a release.
func TestMigrate_WhileSomebodyReadsTheLog(t *testing.T) {
	b := setup(t)
	b.exec(`DROP TABLE runnel.function_invocations_` + time.Now().UTC().AddDate(0, 0, 5).Format("20060102"))
	b.exec(`BEGIN; SELECT FROM runnel.function_invocations`)
	var log bytes.Buffer
	if err := sql.Migrate(t.Context(), b.url, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "partitions of the next days were not made") {
		t.Errorf("log: %s", &log)
	}
}

func TestMigrate_GrantsNothingToPublic(t *testing.T) {
	b := setup(t)
	if err := b.db.EnsurePartitions(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	got := column[string](b, `
		SELECT 'schema' FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
		WHERE n.nspname = 'runnel' AND a.grantee = 0
		UNION ALL
		SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
		WHERE p.pronamespace = 'runnel'::regnamespace AND a.grantee = 0
		UNION ALL
		SELECT c.oid::regclass::text FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault(CASE WHEN c.relkind = 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
		WHERE c.relnamespace = 'runnel'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S') AND a.grantee = 0`)
	if len(got) != 0 {
		t.Errorf("everyone may use %v", got)
	}
}

// Whatever runs with the owner's rights must say where it looks names up.
func TestMigrate_DefinersPinTheirSearchPath(t *testing.T) {
	b := setup(t)
	got := column[string](b, `
		SELECT oid::regprocedure::text FROM pg_proc
		WHERE pronamespace = 'runnel'::regnamespace AND prosecdef
		  AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)`)
	if len(got) != 0 {
		t.Errorf("no pinned search_path: %v", got)
	}
	if n := get[int](b, `SELECT count(*) FROM pg_proc WHERE pronamespace = 'runnel'::regnamespace AND prosecdef`); n < 8 {
		t.Errorf("only %d definers were looked at", n)
	}
}

// A database of somebody else's build is neither changed nor used.
func TestMigrate_AnotherBuildsDatabaseIsRefused(t *testing.T) {
	b := setup(t)
	b.exec(`UPDATE runnel.migration SET checksum = 'other' WHERE version = 2; DELETE FROM runnel.routine`)
	const want = "migration 002_invocations was applied to this database with another content"
	for _, err := range []error{sql.Migrate(t.Context(), b.url, nil), b.db.Ready(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "DROP SCHEMA runnel CASCADE") {
			t.Errorf("got %v", err)
		}
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.routine`); n != 0 {
		t.Errorf("%d routines were replaced", n)
	}
}

// What is applied again is what has changed, and the rights that were given stay.
func TestMigrate_ReplacesWhatChanged(t *testing.T) {
	b := setup(t)
	before := column[string](b, `SELECT md5(pg_get_functiondef(oid)) FROM pg_proc WHERE pronamespace = 'runnel'::regnamespace AND prokind = 'f' ORDER BY 1`)
	b.exec(`
		CREATE OR REPLACE FUNCTION runnel.bucket_ms(bucket int) RETURNS double precision LANGUAGE sql IMMUTABLE AS 'SELECT 0::double precision';
		DROP TRIGGER count_invocations ON runnel.function_invocations;
		UPDATE runnel.routine SET checksum = 'of an older release' WHERE name = 'counts';
		GRANT EXECUTE ON FUNCTION runnel.stats TO pg_monitor`)
	var log bytes.Buffer
	if err := sql.Migrate(t.Context(), b.url, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), `msg=migrated tables="" routines=counts`) {
		t.Errorf("log: %s", &log)
	}
	if after := column[string](b, `SELECT md5(pg_get_functiondef(oid)) FROM pg_proc WHERE pronamespace = 'runnel'::regnamespace AND prokind = 'f' ORDER BY 1`); !reflect.DeepEqual(before, after) {
		t.Error("the functions are others than before")
	}
	if !get[bool](b, `SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'count_invocations') AND has_function_privilege('pg_monitor', 'runnel.stats(timestamptz, uuid)', 'EXECUTE')`) {
		t.Error("the trigger or the right is gone")
	}
}

// An older release's migrate, run late or for a rollback, must not put its functions
// beside newer tables.
func TestMigrate_LeavesANewerSchemaAlone(t *testing.T) {
	b := setup(t)
	b.exec(`
		INSERT INTO runnel.migration (version, name, checksum) VALUES (999, 'from_a_newer_release', '');
		UPDATE runnel.routine SET checksum = 'newer'`)
	before := column[string](b, ledger)
	var log bytes.Buffer
	if err := sql.Migrate(t.Context(), b.url, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if after := column[string](b, ledger); !reflect.DeepEqual(before, after) || !strings.Contains(log.String(), "of a newer release") {
		t.Errorf("%q became %q; log: %s", before, after, &log)
	}
}

// nextRelease is this release's files with some more, or others.
func nextRelease(t *testing.T, more map[string]string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	for _, folder := range []string{"migration", "routine"} {
		entries, err := fs.ReadDir(sql.SchemaFiles, folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := fs.ReadFile(sql.SchemaFiles, folder+"/"+e.Name())
			if err != nil {
				t.Fatal(err)
			}
			files[folder+"/"+e.Name()] = &fstest.MapFile{Data: text}
		}
	}
	for name, text := range more {
		files[strings.ReplaceAll(name, "NNN", fmt.Sprintf("%03d", 1+count(files, "migration/")))] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func count(files fstest.MapFS, folder string) (n int) {
	for name := range files {
		if strings.HasPrefix(name, folder) {
			n++
		}
	}
	return n
}

// A migration and the routines that go with it come together, or not at all: also
// when the process is killed between them, because it is one transaction.
func TestMigrate_IsAllOrNothing(t *testing.T) {
	b := setup(t)
	before := column[string](b, ledger)
	next := nextRelease(t, map[string]string{
		"migration/NNN_next.sql": "ALTER TABLE runnel.functions ADD COLUMN next int; DROP FUNCTION runnel.bucket_ms(int) CASCADE;",
		"routine/counts.sql":     "-- broken\nCREATE OR REPLACE FUNCTION runnel.bucket_ms(bucket int) RETURNS bigint LANGUAGE sql AS 'SELECT 1'; nonsense",
	})
	err := sql.MigrateTo(t.Context(), b.url, next)
	if err == nil || !strings.Contains(err.Error(), "counts failed and left nothing behind") || !strings.Contains(err.Error(), "near line 2") {
		t.Errorf("got %v", err)
	}
	if after := column[string](b, ledger); !reflect.DeepEqual(before, after) {
		t.Errorf("%q became %q", before, after)
	}
	if get[bool](b, `SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'runnel.functions'::regclass AND attname = 'next') OR to_regprocedure('runnel.bucket_ms(int)') IS NULL`) {
		t.Error("half of it is there")
	}
}

// Two releases at once, in either order, end at the newer one; the older one's
// processes go on.
func TestMigrate_TwoReleasesAtOnce(t *testing.T) {
	b := setup(t)
	next := nextRelease(t, map[string]string{
		"migration/NNN_next.sql": "ALTER TABLE runnel.functions ADD COLUMN next int;",
		"routine/next.sql":       "CREATE OR REPLACE FUNCTION runnel.next() RETURNS int LANGUAGE sql AS 'SELECT 1';",
	})
	b.exec(`UPDATE runnel.routine SET checksum = ''`)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			if i%2 == 0 {
				errs[i] = sql.MigrateTo(t.Context(), b.url, next)
			} else {
				errs[i] = sql.Migrate(t.Context(), b.url, nil)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n := get[int](b, `SELECT runnel.next()`); n != 1 {
		t.Error(n)
	}
	if err := b.db.Ready(t.Context()); err != nil {
		t.Errorf("the older release: %v", err)
	}
	b.deploy("hello", runnel.Config{})
}

// Routines are created in any order, and so unchecked. All there, they must hold.
func TestMigrate_RoutinesCompile(t *testing.T) {
	b := setup(t)
	b.exec(`SET check_function_bodies = on`)
	validated := 0
	for _, validator := range []string{"fmgr_sql_validator", "plpgsql_validator"} {
		validated += get[int](b, fmt.Sprintf(`
			SELECT count(%[1]s(p.oid)) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
			WHERE p.pronamespace = 'runnel'::regnamespace AND l.lanvalidator = '%[1]s'::regproc`, validator))
	}
	if validated < 50 {
		t.Errorf("only %d were looked at", validated)
	}
}

func TestMigrate_OtherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	address := pgtest.Empty(t)
	admin := connect(t, address)
	name := "latin_" + strings.ReplaceAll(sql.NewID()[14:], "-", "")
	execute(t, admin, `CREATE DATABASE `+name+` ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`)
	t.Cleanup(func() { cleanup(t, admin, `DROP DATABASE `+name+` WITH (FORCE)`) })
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	if err := sql.Migrate(t.Context(), u.String(), nil); err == nil || !strings.Contains(err.Error(), "ENCODING 'UTF8'") {
		t.Errorf("got %v", err)
	}
}

func TestReady_SaysWhatToDo(t *testing.T) {
	t.Parallel()
	b := use(t, pgtest.Empty(t))
	err := b.db.Ready(t.Context())
	if runnel.CodeOf(err) != runnel.CodeUnavailable || !strings.Contains(err.Error(), "run runnel migrate") {
		t.Errorf("not migrated: got %v", err)
	}
	if err := sql.Migrate(t.Context(), b.url, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.db.Ready(t.Context()); err != nil {
		t.Errorf("migrated: %v", err)
	}
	b.exec(`DELETE FROM runnel.migration WHERE version = (SELECT max(version) FROM runnel.migration)`)
	if err := b.db.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "run runnel migrate") {
		t.Errorf("one behind: got %v", err)
	}
	b.exec(`INSERT INTO runnel.migration (version, name, checksum) VALUES (999, 'from a newer release', '')`)
	if err := b.db.Ready(t.Context()); err != nil {
		t.Errorf("ahead: %v", err)
	}
}

func TestOpen_Errors(t *testing.T) {
	t.Parallel()
	_, err := sql.Open(t.Context(), "postgres://user:hunter22@127.0.0.1:1/db?connect_timeout=2", sql.Options{})
	if runnel.CodeOf(err) != runnel.CodeUnavailable || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("nobody there: got %v", err)
	}
	_, err = sql.Open(t.Context(), "postgres://user:hunter22@:x/db", sql.Options{})
	if runnel.CodeOf(err) != runnel.CodeInvalidRequest || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("not an address: got %v", err)
	}
}
