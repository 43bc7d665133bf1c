package sql

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
)

// Filter selects log rows. A zero field selects all.
type Filter struct {
	Function string // name; unknown: CodeFunctionNotFound
	Status   runnel.Status
	Since    time.Time // created at or after
	Limit    int       // rows of a page; 0: 100; at most 1000
	Cursor   string    // what the page before returned as next
}

// Invocations returns a page of the log, newest first, and the cursor of the next
// page, "" on the last.
func (db *DB) Invocations(ctx context.Context, f Filter) (page []runnel.Invocation, next string, err error) {
	var (
		function, status *string
		since            *time.Time
		after            position
	)
	if f.Function != "" {
		fn, err := db.Function(ctx, f.Function)
		if err != nil {
			return nil, "", err
		}
		function = &fn.ID
	}
	if f.Status != "" {
		status = text(string(f.Status))
	}
	if !f.Since.IsZero() {
		since = &f.Since
	}
	if f.Cursor != "" {
		if after, err = readCursor(f.Cursor); err != nil {
			return nil, "", err
		}
	}
	limit := 100
	if f.Limit > 0 {
		limit = min(f.Limit, 1000)
	}
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		// Which index is right depends on which filters are set.
		if _, err := tx.Exec(ctx, `SET LOCAL plan_cache_mode = force_custom_plan`); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, invocationsSQL, function, status, since, after.createdAt, after.id, after.attempt, limit+1)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, scanInvocation)
		return err
	})
	if err != nil {
		return nil, "", fault("list invocations", err)
	}
	if len(page) > limit {
		page = page[:limit]
		next = cursorOf(page[limit-1])
	}
	return page, next, nil
}

// Invocation returns the attempts of one invocation, in order, or CodeNotFound
// when none of them has ended yet.
func (db *DB) Invocation(ctx context.Context, id string) ([]runnel.Invocation, error) {
	if !uuid.MatchString(id) {
		return nil, runnel.Errorf(runnel.CodeInvalidRequest, "invocation id %.80q is not a UUID: use the id that the call answered with", id)
	}
	rows, err := db.pool.Query(ctx, invocationSQL, id)
	if err != nil {
		return nil, fault("read invocation", err)
	}
	attempts, err := pgx.CollectRows(rows, scanInvocation)
	if err != nil {
		return nil, fault("read invocation", err)
	}
	if len(attempts) == 0 {
		return nil, runnel.Errorf(runnel.CodeNotFound, "invocation %s has no log row: it has not ended yet, its day was dropped, or it succeeded and its function's log_success leaves it out", id)
	}
	return attempts, nil
}

func scanInvocation(row pgx.CollectableRow) (r runnel.Invocation, err error) {
	var (
		function, hash, user, code, message, request, traceparent, result *string
		version                                                           *int
		job                                                               *int64
		logs                                                              []byte
	)
	err = row.Scan(&r.ID, &r.Attempt, &r.CreatedAt, &function, &r.FunctionName, &version, &hash, &r.Trigger, &r.Status, &job, &user, &r.Role,
		&r.DurationMS, &r.QueueMS, &r.MemoryPeak, &r.Fuel, &code, &message, &r.Environment, &logs, &result,
		&request, &traceparent, &r.StartedAt, &r.FinishedAt, &r.ReplayOf)
	if err != nil {
		return r, err
	}
	r.FunctionID, r.Version, r.WasmHash, r.JobID, r.UserID = deref(function), deref(version), deref(hash), deref(job), deref(user)
	r.ErrorCode, r.ErrorMessage = runnel.Code(deref(code)), deref(message)
	r.RequestID, r.Traceparent = deref(request), deref(traceparent)
	if result != nil {
		r.Result = json.RawMessage(*result)
	}
	return r, json.Unmarshal(logs, &r.Logs)
}

// position is a row's place in the order of the log. Nil fields: before the first.
type position struct {
	createdAt *time.Time
	id        *string
	attempt   *int
}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func cursorOf(r runnel.Invocation) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d,%s,%d", r.CreatedAt.UnixMicro(), r.ID, r.Attempt))
}

func readCursor(s string) (position, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	parts := strings.Split(string(raw), ",")
	if err == nil && len(parts) == 3 && uuid.MatchString(parts[1]) {
		micros, err1 := strconv.ParseInt(parts[0], 10, 64)
		attempt, err2 := strconv.ParseInt(parts[2], 10, 32)
		if err1 == nil && err2 == nil && micros > 0 && micros < 1<<57 {
			at, n := time.UnixMicro(micros), int(attempt)
			return position{&at, &parts[1], &n}, nil
		}
	}
	return position{}, runnel.Errorf(runnel.CodeInvalidRequest, "cursor %.40q is not valid: pass on what the page before returned, or leave it out", s)
}
