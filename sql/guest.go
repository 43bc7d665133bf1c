package sql

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/runnelhq/runnel"
)

// Codes of errors that a function reads. They are in the contract.
const (
	guestQueryError       = "QueryError"
	guestPermissionDenied = "PermissionDenied"
	guestRLSUnavailable   = "RlsUnavailable"
	guestTooLarge         = "TooLarge"
	guestTimeout          = "Timeout"
	guestUnavailable      = "Unavailable"
	guestInvalidRequest   = "InvalidRequest"
)

// guestError is a failure as a function sees it: a value, with Postgres's own
// fields where it has them. Position counts characters of the function's SQL, from
// 1. Statement counts the statements of a batch, from 0.
type guestError struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	SQLState   string `json:"sqlstate,omitempty"`
	Detail     string `json:"detail,omitempty"`
	Hint       string `json:"hint,omitempty"`
	Position   int32  `json:"position,omitempty"`
	Schema     string `json:"schema,omitempty"`
	Table      string `json:"table,omitempty"`
	Column     string `json:"column,omitempty"`
	Constraint string `json:"constraint,omitempty"`
	Statement  *int   `json:"statement,omitempty"`
}

func (e *guestError) Error() string { return e.Code + ": " + e.Message }

func (e *guestError) json() []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(map[string]*guestError{"error": e}) // strings and numbers
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// queryError is what Postgres said, without the parts that show its source code.
func queryError(pg *pgconn.PgError) *guestError {
	e := &guestError{
		Code: guestQueryError, Message: excerpt(pg.Message), SQLState: pg.Code, Detail: excerpt(pg.Detail), Hint: excerpt(pg.Hint), Position: pg.Position,
		Schema: pg.SchemaName, Table: pg.TableName, Column: pg.ColumnName, Constraint: pg.ConstraintName,
	}
	switch {
	case pg.Code == "42501":
		e.Code = guestPermissionDenied
	case pg.Code == "57014":
		e.Code = guestTimeout
	}
	return e
}

// excerpt bounds a text that a function's own SQL can make as long as it likes.
func excerpt(s string) string {
	const most = 64 << 10
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// GuestSession is the access of one invocation to the database: under the caller's
// role and claims, which no SQL text can leave (FUNC-I3). It takes a connection
// with the first query and keeps it until Close. Calls wait for each other.
type GuestSession struct {
	slots  *slots
	caller runnel.Caller
	level  string

	mu     sync.Mutex
	slot   *slot // guarded by mu; nil before the first query, and after a lost connection
	closed bool  // guarded by mu
}

// Guest returns the session of an invocation on behalf of caller. With bypass it
// works as service_role, and still under the caller's claims. Close it when the
// invocation has ended.
func (db *DB) Guest(caller runnel.Caller, bypass bool) *GuestSession {
	level := caller.Role
	if bypass {
		level = runnel.RoleService
	}
	return &GuestSession{slots: db.slots, caller: caller, level: level}
}

// Query runs one statement in a transaction of its own, and commits it (FUNC-F2).
// params is a JSON array, or empty. The answer is JSON in any case:
//
//	{"columns":[{"name","type"}],"rows":[[...]],"row_count"}
//	{"error":{"code","message","sqlstate",...}}
//
// A batch is a transaction of several statements: sql is empty, params is
// {"batch":[{"sql","params"},...]}, and the answer is {"results":[...]}, one for
// each statement, or an error that says which statement failed.
//
// When ctx ends, or the answer is over 100,000 rows or 6 MB, nothing has been
// written, unless the statement had been committed already.
func (s *GuestSession) Query(ctx context.Context, sql string, params []byte) []byte {
	statements, batch, fault := parseGuest(sql, params)
	if fault != nil {
		return fault.json()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return (&guestError{Code: guestUnavailable, Message: "the invocation has ended"}).json()
	}
	out := &answers{types: &s.slots.types, q: s.slots.db.pool}
	if err := s.run(ctx, statements, out); err != nil {
		if errors.As(err, &fault) {
			return fault.json()
		}
		return s.lost(ctx).json()
	}
	if batch {
		return fmt.Appendf(nil, `{"results":[%s]}`, out.buf.Bytes())
	}
	return out.buf.Bytes()
}

// lost is the error of a query whose connection broke.
func (s *GuestSession) lost(ctx context.Context) *guestError {
	switch {
	case ctx.Err() != nil:
		return &guestError{Code: guestTimeout, SQLState: "57014", Message: "the function's time was over before the query's: raise the function's timeout, or do less in one call"}
	case s.slot != nil && s.slot.committing:
		return &guestError{Code: guestUnavailable, SQLState: "08007", Message: "the connection broke while the query was being committed: look whether it was, before you repeat it"}
	}
	return &guestError{Code: guestUnavailable, SQLState: "08006", Message: "the database cannot be reached; nothing was written: try again"}
}

// run takes a connection where there is none. One that lay idle may have been cut
// meanwhile; because nothing is committed before our word, trying again is safe.
func (s *GuestSession) run(ctx context.Context, statements []guestStatement, out *answers) error {
	for {
		if s.slot != nil && s.slot.dead {
			s.slots.release(s.slot)
			s.slot = nil
		}
		stale := false
		if s.slot == nil {
			slot, reused, err := s.slots.acquire(ctx, s.level)
			if err != nil {
				return err
			}
			s.slot, stale = slot, reused
			if err := s.claim(ctx); err != nil {
				return err
			}
		}
		err := s.slot.transact(ctx, statements, out)
		if err == nil || !errors.Is(err, errGone) || !stale || s.slot.committing || ctx.Err() != nil {
			return err
		}
		out.buf.Reset()
	}
}

// claim writes on whose behalf the connection works, over the owner's connection
// and before the first statement.
func (s *GuestSession) claim(ctx context.Context) error {
	claims, ok := claimsOf(s.caller)
	if !ok {
		s.slots.release(s.slot)
		s.slot = nil
		return &guestError{Code: guestRLSUnavailable, Message: "the caller's claims cannot be stored as jsonb: have the token issued without \\u0000 and without huge numbers"}
	}
	if _, err := s.slots.db.pool.Exec(ctx, claimSQL, s.slot.name, int32(s.slot.conn.PID()), claims, s.caller.Depth); err != nil {
		s.slots.release(s.slot)
		s.slot = nil
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// Close gives the connection back. It may be called twice, and while a query is
// under way: then it waits.
func (s *GuestSession) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.slot != nil {
		s.slots.release(s.slot)
		s.slot = nil
	}
}

// parseGuest reads what a function sent and refuses what cannot be run.
func parseGuest(sql string, params []byte) (statements []guestStatement, batch bool, fault *guestError) {
	params = bytes.TrimSpace(params)
	switch {
	case len(params) == 0:
		statements = []guestStatement{{SQL: sql}}
	case params[0] == '{':
		var b struct {
			Batch []guestStatement `json:"batch"`
		}
		if json.Unmarshal(params, &b) != nil || strings.TrimSpace(sql) != "" {
			return nil, false, &guestError{Code: guestInvalidRequest, Message: `a batch has no SQL, and params {"batch":[{"sql":"...","params":[...]}]}`}
		}
		if len(b.Batch) == 0 || len(b.Batch) > maxBatch {
			return nil, false, &guestError{Code: guestInvalidRequest, Message: fmt.Sprintf("a batch has 1 to %d statements, not %d", maxBatch, len(b.Batch))}
		}
		statements, batch = b.Batch, true
	default:
		var values []json.RawMessage
		if json.Unmarshal(params, &values) != nil {
			return nil, false, badParams()
		}
		statements = []guestStatement{{sql, values}}
	}
	for i, st := range statements {
		if fault := st.check(); fault != nil {
			if batch {
				fault.Statement = &i
			}
			return nil, false, fault
		}
	}
	return statements, batch, nil
}

func (st guestStatement) check() *guestError {
	switch word := firstWord(st.SQL); {
	case strings.IndexByte(st.SQL, 0) >= 0:
		return &guestError{Code: guestQueryError, SQLState: "22021", Message: "the SQL contains a NUL character"}
	case word == "":
		return &guestError{Code: guestInvalidRequest, Message: "the SQL does not begin with a statement: send one, such as SELECT 1"}
	case !allowed[word]:
		return &guestError{Code: guestPermissionDenied, SQLState: "42501", Message: fmt.Sprintf("%.40s is not available to functions: use SELECT, INSERT, UPDATE, DELETE, MERGE, WITH, VALUES, TABLE, EXPLAIN, SHOW or CALL, and a batch for a transaction", word)}
	}
	if len(st.Params) > 65535 {
		return &guestError{Code: guestInvalidRequest, Message: "a statement has at most 65535 parameters: pass an array"}
	}
	return nil
}
