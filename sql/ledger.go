package sql

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
)

// maxLedger bounds the ticks of one Ledger: a cron that matches every second
// makes as many in 11 days.
const maxLedger = 1_000_000

// ledgerLimit is how long reading one may take: less than an HTTP answer may.
const ledgerLimit = time.Minute

// ScheduleInfo is a schedule as it can be seen.
type ScheduleInfo struct {
	ID        int64           `json:"id"`
	Name      string          `json:"name"`
	Function  string          `json:"function"`
	Cron      string          `json:"cron"`
	Timezone  string          `json:"timezone"`
	Payload   json.RawMessage `json:"payload"`
	CatchUp   string          `json:"catch_up"`
	Overlap   string          `json:"overlap"`
	Enabled   bool            `json:"enabled"`
	NextRun   *time.Time      `json:"next_run"` // nil: disabled, never again, or not computed yet
	Waiting   int             `json:"waiting"`  // runs that wait for the one before
	Error     string          `json:"error,omitempty"`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`
}

// ScheduleChange is what PutSchedule makes of a schedule. Empty fields have the
// defaults of runnel.schedule.
type ScheduleChange struct {
	Name     string          `json:"name"`
	Cron     string          `json:"cron"`
	Timezone string          `json:"timezone"`
	Payload  json.RawMessage `json:"payload"`
	CatchUp  string          `json:"catch_up"`
	Overlap  string          `json:"overlap"`
	Enabled  *bool           `json:"enabled"`
}

// TickInfo is a tick as it can be seen.
type TickInfo struct {
	Time         time.Time `json:"scheduled_time"`
	Outcome      string    `json:"outcome"`
	Reason       string    `json:"reason,omitempty"`
	Waiting      bool      `json:"waiting"`
	InvocationID *string   `json:"invocation_id"`
	DecidedAt    time.Time `json:"decided_at"`
}

// Schedules returns a function's schedules by name, or all for "".
func (db *DB) Schedules(ctx context.Context, function string) ([]ScheduleInfo, error) {
	if function != "" {
		if _, err := db.Function(ctx, function); err != nil {
			return nil, err
		}
	}
	list, err := schedules(ctx, db.pool, text(function), nil, nil)
	return list, fault("list schedules", err)
}

// ScheduleByID returns a schedule, or CodeNotFound.
func (db *DB) ScheduleByID(ctx context.Context, id int64) (ScheduleInfo, error) {
	return oneSchedule(ctx, db.pool, id)
}

func oneSchedule(ctx context.Context, q querier, id int64) (ScheduleInfo, error) {
	list, err := schedules(ctx, q, nil, &id, nil)
	if err != nil {
		return ScheduleInfo{}, fault("read schedule", err)
	}
	if len(list) == 0 {
		return ScheduleInfo{}, runnel.Errorf(runnel.CodeNotFound, "there is no schedule %d: list the schedules at /admin/v1/schedules", id)
	}
	return list[0], nil
}

func schedules(ctx context.Context, q querier, function *string, id *int64, name *string) ([]ScheduleInfo, error) {
	rows, err := q.Query(ctx, schedulesSQL, function, id, name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ScheduleInfo])
}

// PutSchedule makes a schedule of a function, or changes its schedule of that name;
// one of another function is CodeAlreadyExists.
func (db *DB) PutSchedule(ctx context.Context, function string, c ScheduleChange) (s ScheduleInfo, created bool, err error) {
	doing := "schedule " + strconv.Quote(c.Name)
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		before, err := schedules(ctx, tx, nil, nil, &c.Name)
		if err != nil {
			return err
		}
		if len(before) > 0 && before[0].Function != function {
			return runnel.Errorf(runnel.CodeAlreadyExists, "schedule %.80q belongs to function %s: remove it there, or use another name", c.Name, before[0].Function)
		}
		created = len(before) == 0
		payload := "null"
		if len(c.Payload) > 0 {
			payload = string(c.Payload)
		}
		var id int64
		err = tx.QueryRow(ctx, `SELECT runnel.schedule($1, $2, $3, $4::jsonb, $5, $6, $7)`, c.Name, c.Cron, function, payload,
			or(c.Timezone, "UTC"), or(c.CatchUp, "latest"), or(c.Overlap, "allow")).Scan(&id)
		if err != nil {
			return err
		}
		if c.Enabled != nil {
			if _, err := tx.Exec(ctx, `SELECT runnel.switch_schedule($1, $2)`, c.Name, *c.Enabled); err != nil {
				return err
			}
		}
		s, err = oneSchedule(ctx, tx, id)
		return err
	})
	return s, created, refusal(doing, err)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// SwitchSchedule enables or disables a schedule: CodeNotFound when there is none.
func (db *DB) SwitchSchedule(ctx context.Context, id int64, enabled bool) (s ScheduleInfo, err error) {
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if s, err = oneSchedule(ctx, tx, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT runnel.switch_schedule($1, $2)`, s.Name, enabled); err != nil {
			return err
		}
		s, err = oneSchedule(ctx, tx, id)
		return err
	})
	return s, coded("switch schedule", err)
}

// DeleteSchedule removes a schedule and its ledger, and cancels the runs that wait.
// A month of a cron that matches every second is 2.6 million ticks.
func (db *DB) DeleteSchedule(ctx context.Context, id int64) error {
	ctx, cancel := context.WithTimeout(ctx, upkeepLimit)
	defer cancel()
	tag, err := db.pool.Exec(ctx, `DELETE FROM runnel.schedules WHERE id = $1`, id)
	if err == nil && tag.RowsAffected() == 0 {
		return runnel.Errorf(runnel.CodeNotFound, "there is no schedule %d: list the schedules at /admin/v1/schedules", id)
	}
	return fault("delete schedule", err)
}

// Ticks returns a page of a schedule's ledger, newest first, and the cursor of the
// next page, "" on the last. A zero since is all of it.
func (db *DB) Ticks(ctx context.Context, schedule int64, since time.Time, limit int, cursor string) (page []TickInfo, next string, err error) {
	if _, err := db.ScheduleByID(ctx, schedule); err != nil {
		return nil, "", err
	}
	var from, before *time.Time
	if !since.IsZero() {
		from = &since
	}
	if cursor != "" {
		seconds, err := strconv.ParseInt(cursor, 10, 64)
		if err != nil || seconds < 0 || seconds > 1<<36 {
			return nil, "", runnel.Errorf(runnel.CodeInvalidRequest, "cursor %.40q is not valid: pass on what the page before returned, or leave it out", cursor)
		}
		at := time.Unix(seconds, 0)
		before = &at
	}
	rows, err := db.pool.Query(ctx, ticksSQL, schedule, from, before, limit+1)
	if err != nil {
		return nil, "", fault("list ticks", err)
	}
	page, err = pgx.CollectRows(rows, pgx.RowToStructByPos[TickInfo])
	if err != nil {
		return nil, "", fault("list ticks", err)
	}
	if len(page) > limit {
		page = page[:limit]
		next = strconv.FormatInt(page[limit-1].Time.Unix(), 10)
	}
	return page, next, nil
}

// Ledger is what is recorded of a schedule, in one look at the database.
type Ledger struct {
	Schedule  ScheduleInfo
	Now       time.Time // the database's
	Cursor    time.Time // matches up to here have been considered
	Revisions []Revision
	Ticks     []TickInfo // oldest first, those at or after since
	Twice     int        // runs beyond the first of the same match
	Missing   int        // ticks that fired something of which nothing is left
}

// Ledger reads a schedule's ledger. More than a million ticks are
// CodeInvalidRequest: ask for less.
func (db *DB) Ledger(ctx context.Context, schedule int64, since time.Time) (l Ledger, err error) {
	ctx, cancel := context.WithTimeout(ctx, ledgerLimit)
	defer cancel()
	err = pgx.BeginTxFunc(ctx, db.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL plan_cache_mode = force_custom_plan`); err != nil {
			return err
		}
		if l.Schedule, err = oneSchedule(ctx, tx, schedule); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT now(), cursor FROM runnel.schedules WHERE id = $1`, schedule).Scan(&l.Now, &l.Cursor); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT valid_from, cron, timezone, enabled FROM runnel.schedule_revisions WHERE schedule_id = $1 ORDER BY valid_from`, schedule)
		if err != nil {
			return err
		}
		if l.Revisions, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Revision]); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, ticksSQL, schedule, since, nil, maxLedger+1)
		if err != nil {
			return err
		}
		if l.Ticks, err = pgx.CollectRows(rows, pgx.RowToStructByPos[TickInfo]); err != nil {
			return err
		}
		if len(l.Ticks) > maxLedger {
			return runnel.Errorf(runnel.CodeInvalidRequest, "schedule %s has more than a million ticks since %s: ask for a later since", l.Schedule.Name, since.UTC().Format(time.RFC3339))
		}
		slices.Reverse(l.Ticks)
		return tx.QueryRow(ctx, twiceSQL, schedule, since).Scan(&l.Twice, &l.Missing)
	})
	return l, coded("read the ledger", err)
}
