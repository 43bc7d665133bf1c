package doctor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const slotSecret = "a slot secret of the doctor's tests"

// patient is an installation with everything set.
type patient struct {
	*testing.T
	url  string
	conn *pgx.Conn
	keys string
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	t.Parallel()
	p := &patient{T: t, url: pgtest.Database(t), keys: keyring.Generate()}
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), `DO $$ DECLARE s name; BEGIN
			FOR s IN SELECT slot FROM runnel.slots LOOP
				PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = s;
				EXECUTE format('DROP ROLE %I', s);
			END LOOP; END $$`)
		if err != nil {
			t.Error(err)
		}
		conn.Close(context.Background())
	})
	p.conn = conn
	return p
}

func (p *patient) exec(text string) {
	p.Helper()
	if _, err := p.conn.Exec(p.Context(), text); err != nil {
		p.Fatalf("%s: %v", text, err)
	}
}

// examine examines with these settings changed or, when empty, taken away.
func (p *patient) examine(changed ...string) []Finding {
	p.Helper()
	environ := []string{
		"DATABASE_URL=" + p.url, "RUNNEL_ADMIN_TOKEN=an admin token of the tests", "RUNNEL_SLOTS=2",
		"RUNNEL_JWT_SECRET=a jwt secret of the doctor's own tests", "RUNNEL_SLOT_SECRET=" + slotSecret, "RUNNEL_SECRET_KEYS=" + p.keys,
	}
	for _, kv := range changed {
		key, value, _ := strings.Cut(kv, "=")
		environ = slices.DeleteFunc(environ, func(e string) bool { return strings.HasPrefix(e, key+"=") })
		if value != "" {
			environ = append(environ, kv)
		}
	}
	return Examine(p.Context(), environ)
}

// find is the findings of a check that are not OK; each must say why and what next.
func find(t *testing.T, findings []Finding, check string) (found []Finding) {
	t.Helper()
	for _, f := range findings {
		if f.Status != OK && (f.What == "" || f.Why == "" || f.Next == "") {
			t.Errorf("says too little: %+v", f)
		}
		if f.Check == check && f.Status != OK {
			found = append(found, f)
		}
	}
	return found
}

// expect wants one finding of a check with that status and these words.
func expect(t *testing.T, findings []Finding, check string, status Status, words ...string) {
	t.Helper()
	for _, f := range find(t, findings, check) {
		ok := f.Status == status
		for _, w := range words {
			ok = ok && strings.Contains(f.What+" "+f.Why+" "+f.Next, w)
		}
		if ok {
			return
		}
	}
	t.Errorf("no %s about %s with %q in %+v", status, check, words, findings)
}

func TestHealthy(t *testing.T) {
	p := newPatient(t)
	p.exec(`INSERT INTO runnel.workers (id) VALUES ('w')`)
	for _, f := range p.examine() {
		if f.Status != OK || f.Why != "" || f.Next != "" {
			t.Errorf("%+v", f)
		}
	}
}

func TestSettings(t *testing.T) {
	p := newPatient(t)
	expect(t, p.examine("DATABASE_URL="), "settings", Problem, "DATABASE_URL is not set", "runnel dev")
	found := p.examine("RUNNEL_ADMIN_TOKEN=", "RUNNEL_JWT_SECRET=", "RUNNEL_SLOT_SECRET=", "RUNNEL_SECRET_KEYS=")
	for _, name := range []string{"RUNNEL_ADMIN_TOKEN", "RUNNEL_JWT_SECRET", "RUNNEL_SLOT_SECRET", "RUNNEL_SECRET_KEYS"} {
		expect(t, found, "settings", Warning, name, "openssl rand")
	}
	// The others are still looked at when one is broken.
	found = p.examine("RUNNEL_WORKERS=many", "PORT=0")
	expect(t, found, "settings", Problem, "RUNNEL_WORKERS")
	expect(t, found, "settings", Problem, "PORT")
	expect(t, found, "workers", Problem, "no worker", "bin/worker")
}

func TestDatabase(t *testing.T) {
	p := newPatient(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	found := p.examine("DATABASE_URL=postgres://user:hunter2hunter2@" + address + "/x")
	expect(t, found, "database", Problem, "cannot be reached", "psql")
	u, _ := url.Parse(p.url)
	u.User = url.UserPassword("nobody_of_that_name", "hunter2hunter2")
	found = append(found, p.examine("DATABASE_URL="+u.String())...)
	expect(t, found, "database", Problem, "SQLSTATE 28")
	for _, f := range found {
		if strings.Contains(f.What+f.Why+f.Next, "hunter2") {
			t.Errorf("shows the password: %+v", f)
		}
	}
	expect(t, p.examine("DATABASE_URL="+pgtest.Empty(t)), "migrations", Problem, "runnel migrate")
}

func TestRights(t *testing.T) {
	p := newPatient(t)
	role := "doctor_" + strings.ToLower(strings.ReplaceAll(sql.NewID()[:13], "-", "_"))
	p.exec(`CREATE ROLE ` + role + ` LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA runnel TO ` + role + `; GRANT SELECT ON ALL TABLES IN SCHEMA runnel TO ` + role)
	t.Cleanup(func() {
		_, _ = p.conn.Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role)
	})
	u, _ := url.Parse(p.url)
	u.User = url.UserPassword(role, "secret")
	found := p.examine("DATABASE_URL=" + u.String())
	expect(t, found, "rights", Problem, "does not own schema runnel")
	expect(t, found, "rights", Warning, "CREATEROLE", "ALTER ROLE "+role)
	expect(t, found, "functions' SQL", Problem, "anon")
	expect(t, p.examine("RUNNEL_SLOTS=400"), "connections", Warning, "RUNNEL_SLOTS")
}

// Stock Supabase: levels are refused until the script was run, which leaves other
// sessions as they were.
func TestSupabasesOwnFunctions(t *testing.T) {
	p := newPatient(t)
	p.exec(`
		DROP FUNCTION auth.uid(); DROP FUNCTION auth.role(); DROP FUNCTION auth.jwt();
		CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
			select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''), (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'))::uuid $$;
		CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $$
			select coalesce(nullif(current_setting('request.jwt.claim.role', true), ''), (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'))::text $$;
		CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
			select coalesce(nullif(current_setting('request.jwt.claim', true), ''), nullif(current_setting('request.jwt.claims', true), ''))::jsonb $$`)
	found := p.examine()
	expect(t, found, "auth functions", Problem, "auth.jwt()", "auth.uid()", "auth.role()", "--print supabase")
	expect(t, found, "functions' SQL", Problem, "authenticated")

	text, ok := sql.Script("supabase")
	if !ok {
		t.Fatal("no script")
	}
	p.exec(text)
	p.exec(text)
	found = p.examine()
	if got := append(find(t, found, "auth functions"), find(t, found, "functions' SQL")...); got != nil {
		t.Errorf("after the script: %+v", got)
	}
	const id = "00000000-0000-4000-8000-00000000000a"
	db, err := sql.Open(t.Context(), p.url, sql.Options{MaxConns: 2, SlotSecret: slotSecret})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	guest := db.Guest(runnel.Caller{Role: runnel.RoleAuthenticated, UserID: id}, false)
	defer guest.Close()
	guest.Query(t.Context(), `SELECT set_config('request.jwt.claims', '{"sub":"00000000-0000-4000-8000-00000000000b"}', false)`, nil)
	if got := guest.Query(t.Context(), `SELECT auth.uid(), auth.role()`, nil); !strings.Contains(string(got), `["`+id+`","authenticated"]`) {
		t.Errorf("a function's SQL reads %s", got)
	}
	var uid string
	if err := p.conn.QueryRow(t.Context(), `SELECT auth.uid() FROM set_config('request.jwt.claims', '{"sub":"`+id+`"}', false)`).Scan(&uid); err != nil || uid != id {
		t.Errorf("PostgREST's session reads %q, %v", uid, err)
	}
}

func TestSchemaThatWeakensTheWalls(t *testing.T) {
	p := newPatient(t)
	p.exec(`
		CREATE TABLE note (id int, owner uuid DEFAULT (current_setting('request.jwt.claims', true)::json ->> 'sub')::uuid);
		CREATE TABLE hidden (id int);
		ALTER TABLE note ENABLE ROW LEVEL SECURITY;
		GRANT SELECT ON note TO authenticated;
		CREATE POLICY forged ON note USING (owner = (current_setting('request.jwt.claims', true)::json ->> 'sub')::uuid);
		CREATE POLICY honest ON note USING (owner = (SELECT auth.uid()));
		CREATE POLICY unreachable ON hidden USING (current_setting('x.y') = '');
		CREATE VIEW mine AS SELECT * FROM note WHERE owner::text = current_setting('app.user');
		GRANT SELECT ON mine TO anon;
		CREATE FUNCTION whoami() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('request.jwt.claim.sub', true) $$;
		CREATE FUNCTION run(query text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN EXECUTE query; END $$;
		CREATE FUNCTION run_plain(query text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN execute query; END $$;
		CREATE FUNCTION xml(query text) RETURNS xml LANGUAGE sql AS $$ SELECT query_to_xml(query, true, false, '') $$;
		CREATE FUNCTION run_private(query text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN EXECUTE query; END $$;
		REVOKE EXECUTE ON FUNCTION run_private FROM PUBLIC;
		CREATE FUNCTION no_text(n int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT 1' USING n; END $$;
		CREATE FUNCTION words(t text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN -- we EXECUTE nothing
			RETURN t; END $$;
		CREATE FUNCTION on_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT 1'; RETURN NULL; END $$;
		CREATE SCHEMA aside; GRANT CREATE ON SCHEMA aside TO PUBLIC; GRANT CREATE ON SCHEMA public TO PUBLIC, authenticated`)
	found := p.examine()
	expect(t, found, "search path", Warning, "PUBLIC, authenticated may create", `REVOKE CREATE ON SCHEMA "public" FROM PUBLIC, authenticated`)
	if n := len(find(t, found, "search path")); n != 1 {
		t.Errorf("%d schemas, want that in the search_path only: %+v", n, found)
	}
	expect(t, found, "functions that execute text", Warning, "run(text)", "SECURITY DEFINER", "REVOKE EXECUTE ON FUNCTION public.run(text)")
	expect(t, found, "functions that execute text", Warning, "run_plain(text)", "caller's own rights")
	expect(t, found, "functions that execute text", Warning, "xml(text)")
	if n := len(find(t, found, "functions that execute text")); n != 3 {
		t.Errorf("%d functions, want 3: %+v", n, found)
	}
	for _, what := range []string{"policy forged on public.note", "view public.mine", "default public.note.owner", "function public.whoami()"} {
		expect(t, found, "forgeable settings", Warning, what)
	}
	if n := len(find(t, found, "forgeable settings")); n != 4 {
		t.Errorf("%d forgeable, want 4: %+v", n, found)
	}
}

func TestSecretsThatCannotBeOpened(t *testing.T) {
	p := newPatient(t)
	db, err := sql.Open(t.Context(), p.url, sql.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	wasm := []byte("\x00asm\x01\x00\x00\x00")
	sum := sha256.Sum256(wasm)
	if _, _, err := db.Deploy(t.Context(), sql.Deploy{Name: "f", Wasm: wasm, Hash: hex.EncodeToString(sum[:]), Kind: "command"}); err != nil {
		t.Fatal(err)
	}
	lost, err := keyring.Parse(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	old := keyring.Generate()
	older, err := keyring.Parse(old)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.SetSecret(t.Context(), "f", "OLD", func(id string) []byte { return older.Seal([]byte("x"), id, "OLD") }); err != nil {
		t.Fatal(err)
	}
	expect(t, p.examine("RUNNEL_SECRET_KEYS="+p.keys+","+old), "secrets", Warning, "1 of 1", "runnel secrets rotate")
	if _, _, err := db.SetSecret(t.Context(), "f", "LOST", func(id string) []byte { return lost.Seal([]byte("x"), id, "LOST") }); err != nil {
		t.Fatal(err)
	}
	expect(t, p.examine("RUNNEL_SECRET_KEYS="+p.keys+","+old), "secrets", Problem, "1 of 2", "f/LOST", "runnel secrets set")
	expect(t, p.examine("RUNNEL_SECRET_KEYS="), "secrets", Problem, "2 of 2")
	if err := db.UnsetSecret(t.Context(), "f", "LOST"); err != nil {
		t.Fatal(err)
	}

	// Environments, in the clear and sealed.
	configure := func(o sql.Options, env map[string]string) {
		t.Helper()
		db, err := sql.Open(t.Context(), p.url, o)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Configure(t.Context(), "f", runnel.Config{Environment: &env}); err != nil {
			t.Fatal(err)
		}
	}
	configure(sql.Options{}, map[string]string{"MODE": "production"})
	expect(t, p.examine("RUNNEL_SECRET_KEYS="+old), "secrets", Warning, "1 of 2 values are stored in the clear: f/environment/MODE", "backup", "runnel secrets rotate")
	expect(t, p.examine("RUNNEL_SECRET_KEYS="), "secrets", Warning, "in the clear", "set RUNNEL_SECRET_KEYS")
	configure(sql.Options{Keys: older}, map[string]string{"MODE": "production"})
	if found := find(t, p.examine("RUNNEL_SECRET_KEYS="+old), "secrets"); found != nil {
		t.Errorf("sealed, and the doctor says %+v", found)
	}
	expect(t, p.examine("RUNNEL_SECRET_KEYS="+p.keys+","+old), "secrets", Warning, "2 of 2", "older key")
	configure(sql.Options{Keys: lost}, map[string]string{"MODE": "production"})
	expect(t, p.examine("RUNNEL_SECRET_KEYS="+p.keys+","+old), "secrets", Problem, "f/environment/MODE", "deploy the environment again")
}

func TestWorkersQueueAndPartitions(t *testing.T) {
	p := newPatient(t)
	p.exec(`
		INSERT INTO runnel.workers (id, seen_at) VALUES ('gone-1', now() - interval '5 minutes');
		INSERT INTO runnel.river_job (kind, queue, state, max_attempts, args, scheduled_at) VALUES ('invoke', 'functions', 'available', 1, '{}', now() - interval '1 hour');
		DO $$ BEGIN
			EXECUTE format('DROP TABLE runnel.function_invocations_%s', to_char((now() AT TIME ZONE 'UTC')::date + 1, 'YYYYMMDD'));
		END $$;
		INSERT INTO runnel.invocation_events (id, created_at, function_id, function_name, trigger, event, role) VALUES (gen_random_uuid(), '2001-01-01', gen_random_uuid(), 'f', 'sql', '', 'anon')`)
	found := p.examine()
	expect(t, found, "workers", Problem, "no worker is alive")
	expect(t, found, "workers", Warning, "gone-1 (5m", "out of memory")
	expect(t, found, "queue", Warning, "1h0m", "RUNNEL_WORKERS")
	expect(t, found, "partitions", Warning, "function_invocations", "0 days ahead", "ensure_partitions")
	expect(t, found, "partitions", Warning, "invocation_events", "default partition")
}

func TestClocks(t *testing.T) {
	for difference, want := range map[time.Duration]Status{0: OK, -time.Second: OK, 3 * time.Second: Warning, -29 * time.Second: Warning, time.Minute: Problem} {
		v := &visit{}
		v.clocks(difference)
		if v.findings[0].Status != want {
			t.Errorf("%s: %+v", difference, v.findings)
		}
	}
}
