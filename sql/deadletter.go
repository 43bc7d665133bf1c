package sql

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
)

// DeadLetter is an invocation that failed for good and was neither redriven nor
// purged.
type DeadLetter struct {
	ID           string         `json:"id"`
	JobID        int64          `json:"job_id"`
	FunctionName string         `json:"function_name"`
	Trigger      runnel.Trigger `json:"trigger"`
	Status       runnel.Status  `json:"status"`
	ErrorCode    runnel.Code    `json:"error_code"`
	ErrorMessage string         `json:"error_message"`
	Attempts     int            `json:"attempts"`
	Role         string         `json:"role"`
	UserID       string         `json:"user_id,omitempty"`
	CreatedAt    time.Time      `json:"created_at"`
	FailedAt     time.Time      `json:"failed_at"`
}

// DeadLetters selects dead letters. A zero field selects all.
type DeadLetters struct {
	ID       string
	Function string // name, of a deleted function too
	Code     runnel.Code
	Trigger  runnel.Trigger // not for Redrive and Purge
	Since    time.Time      // failed at or after
	Before   time.Time      // failed before
	Limit    int            // of a page, 0: 100, at most 1000; of Redrive, 0: 1000
	Cursor   string         // of a page: what the page before returned as next
}

// DeadLetters returns a page, newest first, and the cursor of the next page, "" on
// the last.
func (db *DB) DeadLetters(ctx context.Context, f DeadLetters) (page []DeadLetter, next string, err error) {
	var (
		afterTime *time.Time
		afterJob  *int64
		limit     = 100
	)
	if f.Limit > 0 {
		limit = min(f.Limit, 1000)
	}
	if f.Cursor != "" {
		if afterTime, afterJob, err = readLetterCursor(f.Cursor); err != nil {
			return nil, "", err
		}
	}
	if f.ID != "" {
		if err := checkID(f.ID); err != nil {
			return nil, "", err
		}
	}
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		// Which index is right depends on which filters are set.
		if _, err := tx.Exec(ctx, `SET LOCAL plan_cache_mode = force_custom_plan`); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, deadLettersSQL, text(f.Function), text(string(f.Code)), text(string(f.Trigger)), moment(f.Since), moment(f.Before),
			text(f.ID), afterTime, afterJob, limit+1)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d DeadLetter, err error) {
			return d, row.Scan(&d.ID, &d.JobID, &d.FunctionName, &d.Trigger, &d.Status, &d.ErrorCode, &d.ErrorMessage, &d.Attempts,
				&d.Role, &d.UserID, &d.CreatedAt, &d.FailedAt)
		})
		return err
	})
	if err != nil {
		return nil, "", fault("list dead letters", err)
	}
	if len(page) > limit {
		page = page[:limit]
		last := page[limit-1]
		next = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d,%d", last.FailedAt.UnixMicro(), last.JobID))
	}
	return page, next, nil
}

func readLetterCursor(s string) (*time.Time, *int64, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	micros, job, _ := strings.Cut(string(raw), ",")
	if err == nil {
		at, err1 := strconv.ParseInt(micros, 10, 64)
		id, err2 := strconv.ParseInt(job, 10, 64)
		if err1 == nil && err2 == nil && at > 0 && at < 1<<57 {
			t := time.UnixMicro(at)
			return &t, &id, nil
		}
	}
	return nil, nil, runnel.Errorf(runnel.CodeInvalidRequest, "cursor %.40q is not valid: pass on what the page before returned, or leave it out", s)
}

// Redrive has dead letters run again, oldest first, and answers their ids. What
// another call redrives now, or whose event is gone, is not among them.
func (db *DB) Redrive(ctx context.Context, f DeadLetters) (ids []string, err error) {
	if f.ID != "" {
		if err := checkID(f.ID); err != nil {
			return nil, err
		}
	}
	limit := 1000
	if f.Limit > 0 {
		limit = f.Limit
	}
	rows, err := db.pool.Query(ctx, `SELECT r::text FROM runnel.redrive($1::uuid, $2, $3, $4, $5, $6) AS r`,
		text(f.ID), text(f.Function), text(string(f.Code)), moment(f.Since), moment(f.Before), limit)
	if err != nil {
		return nil, fault("redrive", err)
	}
	ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, fault("redrive", err)
}

// Purge removes dead letters and answers how many; their log rows stay.
func (db *DB) Purge(ctx context.Context, f DeadLetters) (n int64, err error) {
	if f.ID != "" {
		if err := checkID(f.ID); err != nil {
			return 0, err
		}
	}
	err = db.pool.QueryRow(ctx, `SELECT runnel.purge($1::uuid, $2, $3, $4, $5)`,
		text(f.ID), text(f.Function), text(string(f.Code)), moment(f.Since), moment(f.Before)).Scan(&n)
	return n, fault("purge", err)
}

// moment is null for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
