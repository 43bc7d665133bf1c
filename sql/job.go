package sql

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/runnelhq/runnel"
)

// Job is the River job of an invocation: where it stands between two log rows.
type Job struct {
	ID          int64
	Function    string
	Trigger     runnel.Trigger
	State       string // River's: available, scheduled, retryable, running, completed, discarded, cancelled, pending
	Attempt     int
	MaxAttempts int
	CreatedAt   time.Time
	ScheduledAt time.Time // when it is due
	AttemptedAt *time.Time
	FinalizedAt *time.Time
	Cancelling  bool // a cancel was asked for
	RequestID   string
	ReplayOf    string
}

// Job finds the River job of an invocation. found is false where it was removed, a
// day after the invocation ended, and where there never was one.
func (db *DB) Job(ctx context.Context, id string) (j Job, found bool, err error) {
	if err := checkID(id); err != nil {
		return j, false, err
	}
	err = db.pool.QueryRow(ctx, jobSQL, id).Scan(&j.ID, &j.Function, &j.Trigger, &j.State, &j.Attempt, &j.MaxAttempts, &j.CreatedAt, &j.ScheduledAt,
		&j.AttemptedAt, &j.FinalizedAt, &j.Cancelling, &j.RequestID, &j.ReplayOf)
	if missing(err) {
		return j, false, nil
	}
	return j, err == nil, fault("read job", err)
}

// What Cancel did.
const (
	Cancelled = "cancelled" // it had not begun, or was between two attempts
	Stopping  = "stopping"  // it runs, and its worker was told to stop it
	Finished  = "finished"  // it had ended before
)

// Cancel cancels an invocation and answers what that meant: one of the above. Where
// it is Cancelled the log row is there. There is none: CodeNotFound.
func (db *DB) Cancel(ctx context.Context, id string) (what string, err error) {
	if err := checkID(id); err != nil {
		return "", err
	}
	err = db.pool.QueryRow(ctx, `SELECT runnel.cancel($1::uuid)`, id).Scan(&what)
	return what, steering("cancel it", err)
}

// Replay runs an invocation's event again and answers the new invocation's id.
// CodeNotFound: there was none. CodeConflict: its event is gone. CodeFunctionNotFound:
// the function was deleted or is disabled.
func (db *DB) Replay(ctx context.Context, id string) (again string, err error) {
	if err := checkID(id); err != nil {
		return "", err
	}
	err = db.pool.QueryRow(ctx, `SELECT runnel.replay($1::uuid)::text`, id).Scan(&again)
	return again, steering("replay it", err)
}

func checkID(id string) error {
	if uuid.MatchString(id) {
		return nil
	}
	return runnel.Errorf(runnel.CodeInvalidRequest, "invocation id %.80q is not a UUID: use the id that the call answered with", id)
}

// steering says what the errors of runnel.cancel and runnel.replay mean. Their texts
// are ours, and made for whoever called.
func steering(doing string, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fault(doing, err)
	}
	code, ok := map[string]runnel.Code{
		noDataFound:            runnel.CodeNotFound,
		undefinedObject:        runnel.CodeFunctionNotFound,
		notInPrerequisiteState: runnel.CodeConflict,
	}[pg.Code]
	if !ok || pg.Hint == "" {
		return fault(doing, err)
	}
	return runnel.Errorf(code, "cannot %s: %s. %s", doing, pg.Message, pg.Hint).Because(err)
}
