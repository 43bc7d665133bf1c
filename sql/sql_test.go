package sql_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// bundle is a database of the test's own: Runnel's access to it and a session of
// somebody else's, the owner's unless a test changes it.
type bundle struct {
	*testing.T
	url  string
	db   *sql.DB
	conn *pgx.Conn
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	return use(t, pgtest.Database(t))
}

func use(t *testing.T, url string) *bundle {
	t.Helper()
	db, err := sql.Open(t.Context(), url, sql.Options{MaxConns: 4, ApplicationName: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	b := &bundle{T: t, url: url, db: db}
	b.conn = b.session()
	return b
}

// session opens another session.
func (b *bundle) session() *pgx.Conn {
	b.Helper()
	return connect(b.T, b.url)
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (b *bundle) exec(text string, args ...any) {
	b.Helper()
	execute(b.T, b.conn, text, args...)
}

func execute(t testing.TB, conn *pgx.Conn, text string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// get reads one value.
func get[V any](b *bundle, text string, args ...any) (v V) {
	b.Helper()
	if err := b.conn.QueryRow(b.Context(), text, args...).Scan(&v); err != nil {
		b.Fatalf("%s: %v", text, err)
	}
	return v
}

// column reads one column.
func column[V any](b *bundle, text string, args ...any) []V {
	b.Helper()
	rows, err := b.conn.Query(b.Context(), text, args...)
	if err != nil {
		b.Fatalf("%s: %v", text, err)
	}
	vs, err := pgx.CollectRows(rows, pgx.RowTo[V])
	if err != nil {
		b.Fatalf("%s: %v", text, err)
	}
	return vs
}

// refuses expects a statement to fail with a SQLSTATE, a hint, and a message that
// contains part.
func (b *bundle) refuses(sqlstate, part, text string, args ...any) {
	b.Helper()
	refuses(b.T, b.conn, sqlstate, part, text, args...)
}

func refuses(t testing.TB, conn *pgx.Conn, sqlstate, part, text string, args ...any) {
	t.Helper()
	_, err := conn.Exec(t.Context(), text, args...)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		t.Errorf("%s: got %v, want SQLSTATE %s", text, err, sqlstate)
		return
	}
	if pg.Code != sqlstate || !strings.Contains(pg.Message, part) {
		t.Errorf("%s: got %s %q, want %s with %q", text, pg.Code, pg.Message, sqlstate, part)
	}
	if pg.Hint == "" {
		t.Errorf("%s: no hint with %q", text, pg.Message)
	}
}

func module(text string) (wasm []byte, hash string) {
	sum := sha256.Sum256([]byte(text))
	return []byte(text), hex.EncodeToString(sum[:])
}

func (b *bundle) deploy(name string, c runnel.Config) runnel.Function {
	b.Helper()
	wasm, hash := module("module of " + name)
	fn, _, err := b.db.Deploy(b.Context(), sql.Deploy{Name: name, Wasm: wasm, Hash: hash, Kind: "command", Config: c})
	if err != nil {
		b.Fatal(err)
	}
	return fn
}

// events returns the events that can be worked on now, in the order of their
// jobs, after checking that each job has one.
func (b *bundle) events() []map[string]any {
	b.Helper()
	var events []map[string]any
	for _, raw := range column[[]byte](b, `
		SELECT e.event FROM runnel.river_job j
		LEFT JOIN runnel.invocation_events e ON e.id = (j.args ->> 'id')::uuid AND e.created_at = j.created_at
		ORDER BY j.id`) {
		if raw == nil {
			b.Fatal("a job has no event")
		}
		var event map[string]any
		if err := json.Unmarshal(raw, &event); err != nil {
			b.Fatalf("%v: %s", err, raw)
		}
		events = append(events, event)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.invocation_events`); n != len(events) {
		b.Fatalf("%d events for %d jobs", n, len(events))
	}
	return events
}

// attempt is a running attempt, as River's producer hands it to a worker.
type attempt struct {
	job       int64
	number    int
	id        string
	createdAt time.Time
}

// fetch starts all available jobs as River does.
func (b *bundle) fetch(worker string) []attempt {
	b.Helper()
	rows, err := b.conn.Query(b.Context(), `
		UPDATE runnel.river_job SET state = 'running', attempt = attempt + 1, attempted_at = clock_timestamp(),
		       attempted_by = array_append(attempted_by, $1)
		WHERE state IN ('available', 'retryable') RETURNING id, attempt, args ->> 'id', created_at`, worker)
	if err != nil {
		b.Fatal(err)
	}
	attempts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a attempt, err error) {
		return a, row.Scan(&a.job, &a.number, &a.id, &a.createdAt)
	})
	if err != nil {
		b.Fatal(err)
	}
	return attempts
}

func (b *bundle) enqueue(e sql.Enqueue) string {
	b.Helper()
	if e.ID == "" {
		e.ID = sql.NewID()
	}
	if e.Trigger == "" {
		e.Trigger = runnel.TriggerHTTP
	}
	if e.Caller.Role == "" {
		e.Caller.Role = runnel.RoleAnon
	}
	errs, err := b.db.Enqueue(b.Context(), []sql.Enqueue{e})
	if err != nil || errs[0] != nil {
		b.Fatal(err, errs)
	}
	return e.ID
}

func (a attempt) settlement(state string, code runnel.Code) sql.Settlement {
	s := sql.Settlement{JobID: a.job, Attempt: a.number, State: state, Row: runnel.Invocation{
		ID: a.id, FunctionName: "hello", Trigger: runnel.TriggerHTTP, Status: code.Status(), Role: runnel.RoleAnon,
		ErrorCode: code, FinishedAt: time.Now(),
	}}
	if code != "" {
		s.Row.ErrorMessage = "it failed"
	}
	return s
}

// as returns the database's url for another login.
func (b *bundle) as(role string) string {
	b.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		b.Fatal(err)
	}
	u.User = url.UserPassword(role, "secret-"+role)
	return u.String()
}

// login makes a role of a name of its own, dropped with everything it owns.
func (b *bundle) login(prefix string) string {
	b.Helper()
	return login(b.T, b.conn, prefix)
}

func login(t *testing.T, conn *pgx.Conn, prefix string) string {
	t.Helper()
	role := prefix + "_" + strings.ReplaceAll(sql.NewID()[14:], "-", "")
	execute(t, conn, `CREATE ROLE `+role+` LOGIN PASSWORD 'secret-`+role+`'`)
	t.Cleanup(func() {
		cleanup(t, conn, `DROP OWNED BY `+role+` CASCADE`)
		cleanup(t, conn, `DROP ROLE `+role)
	})
	return role
}

// cleanup is execute for when the test's context has ended.
func cleanup(t *testing.T, conn *pgx.Conn, text string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), text); err != nil {
		t.Errorf("%s: %v", text, err)
	}
}

func ptr[T any](v T) *T { return &v }
