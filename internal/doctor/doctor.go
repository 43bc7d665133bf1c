// Package doctor looks at an installation as a whole and says what is wrong with
// it: settings, database, rights, functions' SQL, notifications, secrets, workers,
// the log's partitions, clocks, and what in the application's own schema weakens
// the walls around functions' SQL.
//
// It changes nothing but what a worker's start changes too: a login for functions'
// SQL is made where there is none yet.
package doctor

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/internal/settings"
	"github.com/runnelhq/runnel/sql"
)

// Status of a finding. Only a Problem keeps something from working; a Warning is
// something that its reader has to judge.
type Status string

const (
	OK      Status = "ok"
	Warning Status = "warning"
	Problem Status = "problem"
)

// Finding is one thing that was looked at. Why and Next are empty for OK.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	What   string `json:"what"`
	Why    string `json:"why,omitempty"`
	Next   string `json:"next,omitempty"` // what to type, or to do
}

// Limit is how long Examine takes at most.
const Limit = time.Minute

//go:embed query/*.sql
var queries embed.FS

// query is a file of query/.
func query(name string) string {
	b, err := fs.ReadFile(queries, "query/"+name+".sql")
	if err != nil {
		panic(err) // a misspelt name; every one runs in the tests
	}
	return string(b)
}

// visit is one examination.
type visit struct {
	settings settings.Settings
	db       *sql.DB
	findings []Finding
}

func (v *visit) ok(check, what string, args ...any) {
	v.add(Finding{Check: check, Status: OK, What: fmt.Sprintf(what, args...)})
}

func (v *visit) add(f Finding) { v.findings = append(v.findings, f) }

// failed is a check that could not be made.
func (v *visit) failed(check string, err error) {
	v.add(Finding{check, Problem, "this could not be looked at: " + reason(err), "the database refused what the check asks", "runnel migrate, as the role of DATABASE_URL; then runnel doctor again"})
}

// reason is an error without addresses and passwords.
func reason(err error) string {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &pg):
		return fmt.Sprintf("%s (SQLSTATE %s)", pg.Message, pg.Code)
	case errors.As(err, &connect) && connect.Unwrap() != nil:
		return connect.Unwrap().Error()
	}
	return err.Error()
}

// Examine looks at everything that environ, in the form of os.Environ, leads to.
// The findings are in the order in which they should be dealt with: what comes
// later may follow from what is wrong before.
func Examine(ctx context.Context, environ []string) []Finding {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	v := &visit{}
	v.readSettings(environ)
	if v.settings.DatabaseURL == "" || !v.connect(ctx) {
		return v.findings
	}
	defer v.db.Close()
	v.clock(ctx)
	if !v.migrations(ctx) {
		return v.findings
	}
	v.rights(ctx)
	v.slots(ctx)
	v.listen(ctx)
	v.secrets(ctx)
	v.workers(ctx)
	v.partitions(ctx)
	v.authFunctions(ctx)
	v.executes(ctx)
	v.forgeable(ctx)
	v.path(ctx)
	return v.findings
}

// Worst is the worst status of findings.
func Worst(findings []Finding) Status {
	rank := map[Status]int{OK: 0, Warning: 1, Problem: 2}
	worst := OK
	for _, f := range findings {
		if rank[f.Status] > rank[worst] {
			worst = f.Status
		}
	}
	return worst
}

// readSettings reports what is wrong with the settings, or missing in them. With a
// broken one the examination goes on with the database's address alone.
func (v *visit) readSettings(environ []string) {
	s, err := settings.Load(environ)
	var several *settings.Error
	if errors.As(err, &several) {
		for _, p := range several.Problems {
			v.add(Finding{"settings", Problem, p.Error(), "processes refuse to start with it", "correct it where the processes' environment is set"})
		}
		environ = slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
			return len(kv) < len(settings.DatabaseURL) || kv[:len(settings.DatabaseURL)] != settings.DatabaseURL
		})
		s, _ = settings.Load(environ)
	}
	v.settings = s
	if s.DatabaseURL == "" {
		v.add(Finding{"settings", Problem, "DATABASE_URL is not set", "everything Runnel knows is in that database",
			"export DATABASE_URL=postgres://user:password@host:5432/database, or start runnel dev in this folder"})
		return
	}
	if err != nil {
		return
	}
	random := `"$(openssl rand -hex 32)"`
	for _, missing := range []struct {
		is              bool
		what, why, next string
	}{
		{s.AdminToken == "", "RUNNEL_ADMIN_TOKEN is not set", "nobody can deploy, unless with a service_role token", "export RUNNEL_ADMIN_TOKEN=" + random},
		{s.JWTSecret == "" && s.JWKSURL == "", "neither RUNNEL_JWT_SECRET nor RUNNEL_JWKS_URL is set", "every token is refused: only functions with verify_jwt false can be called", "export RUNNEL_JWT_SECRET=" + random},
		{s.SlotSecret == "", "RUNNEL_SLOT_SECRET is not set", "db_query answers RlsUnavailable in every function", "export RUNNEL_SLOT_SECRET=" + random + ", the same for all workers"},
		{s.SecretKeys == "", "RUNNEL_SECRET_KEYS is not set", "secrets can be neither set nor read, and functions' environments are stored in the clear, in backups too", "export RUNNEL_SECRET_KEYS=" + random + ", the same for all processes; keep a copy apart from the backups"},
	} {
		if missing.is {
			v.add(Finding{"settings", Warning, missing.what, missing.why, missing.next})
		}
	}
	if len(v.findings) == 0 {
		v.ok("settings", "all that functions can use is set")
	}
}

func (v *visit) connect(ctx context.Context) bool {
	db, err := sql.Open(ctx, v.settings.DatabaseURL, sql.Options{
		MaxConns: 2, ApplicationName: "runnel doctor", SlotSecret: v.settings.SlotSecret, Slots: 1, CustomPlans: true,
	})
	if err != nil {
		v.add(Finding{"database", Problem, "the database cannot be reached: " + reason(err), "nothing works without it",
			"psql \"$DATABASE_URL\" -c 'select 1' from this machine shows the same error; correct host, port, password or firewall"})
		return false
	}
	v.db = db
	return true
}

// Differences of clocks, in either direction: tokens are checked with 30 s of
// leeway.
const (
	clockWarning = 2 * time.Second
	clockProblem = 30 * time.Second
)

// clock compares this machine's clock with the database's, to within half of the
// time that asking takes.
func (v *visit) clock(ctx context.Context) {
	var theirs time.Time
	best, difference := time.Hour, time.Duration(0)
	for range 3 {
		began := time.Now()
		if err := v.db.Pool().QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
			v.failed("clock", err)
			return
		}
		if took := time.Since(began); took < best {
			best, difference = took, theirs.Sub(began.Add(took/2))
		}
	}
	v.clocks(difference.Round(time.Millisecond))
}

func (v *visit) clocks(difference time.Duration) {
	f := Finding{Check: "clock", Status: OK, What: fmt.Sprintf("the database's clock is %s ahead of this machine's", difference)}
	if difference.Abs() > clockWarning {
		f.Status = Warning
		f.Why = "schedules run by the database's clock, tokens expire by the web process's, and durations in the log mix both"
		f.Next = "timedatectl set-ntp true, on the machine whose clock is wrong"
	}
	if difference.Abs() > clockProblem {
		f.Status = Problem
	}
	v.add(f)
}

func (v *visit) migrations(ctx context.Context) bool {
	if err := v.db.Ready(ctx); err != nil {
		v.add(Finding{"migrations", Problem, reason(err), "web and worker processes wait for the schema and then give up", "runnel migrate"})
		return false
	}
	v.ok("migrations", "the schema is that of this release, or newer")
	return true
}

// rights looks at the role of DATABASE_URL and the roles of functions' SQL.
func (v *visit) rights(ctx context.Context) {
	var (
		role, version       string
		super, create, owns bool
		number, connections int
		bypass              *bool
		missing             []string
	)
	err := v.db.Pool().QueryRow(ctx, query("rights")).Scan(&role, &super, &create, &owns, &version, &number, &bypass, &missing, &connections)
	if err != nil {
		v.failed("database", err)
		return
	}
	v.ok("database", "PostgreSQL %s, as role %s", version, role)
	if !owns && !super {
		v.add(Finding{"rights", Problem, fmt.Sprintf("role %s does not own schema runnel", role), "it cannot make the log's partitions or the logins of functions' SQL",
			"set DATABASE_URL to the role that ran runnel migrate, or: ALTER SCHEMA runnel OWNER TO " + role})
	}
	if !create && !super {
		v.add(Finding{"rights", Warning, fmt.Sprintf("role %s has no CREATEROLE", role), "the logins of functions' SQL cannot be made: db_query answers RlsUnavailable, everything else works",
			"as a superuser: ALTER ROLE " + role + " CREATEROLE; then runnel migrate"})
	}
	for _, level := range missing {
		v.add(Finding{"rights", Warning, fmt.Sprintf("role %s does not exist", level), "db_query answers RlsUnavailable to callers with that role",
			"runnel migrate, as a role with CREATEROLE"})
	}
	if bypass != nil && !*bypass {
		v.add(Finding{"rights", Warning, "role service_role has no BYPASSRLS", "functions with can_bypass_rls get RlsUnavailable",
			"as a superuser: ALTER ROLE service_role BYPASSRLS"})
	}
	// For each process a pool of 10; a worker has its slots on top, and River's listener.
	if worker := 10 + 3*v.settings.Slots + 1; worker+10 > connections {
		v.add(Finding{"connections", Warning, fmt.Sprintf("one worker may use %d connections and one web process 10; the server has %d", worker, connections),
			"functions' SQL answers Unavailable (53300) when they run out", "lower RUNNEL_SLOTS, or raise max_connections"})
	}
}

// slots opens a connection of each level, as a worker does.
func (v *visit) slots(ctx context.Context) {
	if v.settings.SlotSecret == "" {
		return // said by readSettings
	}
	found := v.db.CheckSlots(ctx)
	for _, level := range []string{"anon", "authenticated", "service_role"} {
		if err := found[level]; err != nil {
			status := Problem
			if level == "service_role" { // most functions need none
				status = Warning
			}
			v.add(Finding{"functions' SQL", status, level + ": " + reason(err), "db_query is refused for this role, because what it may do could not be guaranteed",
				"do what the reason says; then runnel doctor again"})
			continue
		}
		v.ok("functions' SQL", "%s: a login was opened and probed", level)
	}
}

// secrets tries to open every secret and every sealed value of an environment.
func (v *visit) secrets(ctx context.Context) {
	var ring *keyring.Ring
	if v.settings.SecretKeys != "" {
		var err error
		if ring, err = keyring.Parse(v.settings.SecretKeys); err != nil {
			return // said by readSettings
		}
	}
	var unreadable, clear []string
	stale := 0
	_, total, err := v.db.Rotate(ctx, func(s sql.Stored) ([]byte, error) {
		switch {
		case s.Clear:
			clear = append(clear, s.Name())
		case ring == nil:
			unreadable = append(unreadable, s.Name())
		default:
			if _, err := ring.Open(s.Value, s.Bind()...); err != nil {
				unreadable = append(unreadable, s.Name())
			} else if !ring.Current(s.Value) {
				stale++
			}
		}
		return nil, nil // nothing is rewritten
	})
	if err != nil {
		v.failed("secrets", err)
		return
	}
	if len(clear) > 0 {
		f := Finding{"secrets", Warning, fmt.Sprintf("%d of %d values are stored in the clear: %s", len(clear), total, some(clear)), "whoever reads the database or a backup of it reads them", "runnel secrets rotate"}
		if ring == nil {
			f.Next = "set RUNNEL_SECRET_KEYS (openssl rand -hex 32) for all web and worker processes and restart them; then runnel secrets rotate"
		}
		v.add(f)
	}
	switch {
	case len(unreadable) > 0:
		v.add(Finding{"secrets", Problem, fmt.Sprintf("%d of %d secrets and environment values cannot be opened: %s", len(unreadable), total, some(unreadable)), "none of RUNNEL_SECRET_KEYS is the key they were encrypted with: their functions fail",
			"add the old key at the end of RUNNEL_SECRET_KEYS; where it is lost: runnel secrets set FUNCTION KEY, or deploy the environment again"})
	case stale > 0:
		v.add(Finding{"secrets", Warning, fmt.Sprintf("%d of %d secrets and environment values are encrypted with an older key", stale, total), "that key cannot be taken out of RUNNEL_SECRET_KEYS yet", "runnel secrets rotate"})
	case len(clear) == 0:
		v.ok("secrets", "%d secrets and environment values, all encrypted, all can be opened", total)
	}
}

// some names the first few of many.
func some(names []string) string {
	const most = 5
	text := ""
	for i, n := range names[:min(most, len(names))] {
		if i > 0 {
			text += ", "
		}
		text += n
	}
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return cmp.Or(text, "none")
}
