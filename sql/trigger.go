package sql

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
)

// TriggerInfo is a database trigger: one for each table and function.
type TriggerInfo struct {
	ID          string     `json:"id"` // changes when the trigger is made anew
	Function    string     `json:"function"`
	Schema      string     `json:"schema"`
	Table       string     `json:"table"`
	Operations  []string   `json:"operations"`
	Granularity string     `json:"granularity"` // as asked for: auto, row or statement
	Level       string     `json:"level"`       // of the Postgres trigger
	Condition   *string    `json:"condition"`   // as Postgres spells it
	Enabled     bool       `json:"enabled"`     // false: ALTER TABLE ... DISABLE TRIGGER
	CreatedAt   *time.Time `json:"created_at"`
}

// TriggerChange is what PutTrigger makes. Empty fields have the defaults of
// runnel.create_trigger.
type TriggerChange struct {
	Schema      string   `json:"schema"` // "": Table is written as in SQL, such as orders or app."Orders"
	Table       string   `json:"table"`
	Operations  []string `json:"operations"`
	Granularity string   `json:"granularity"`
	Condition   string   `json:"condition"`
}

// Triggers returns a function's database triggers by table, or all for "".
func (db *DB) Triggers(ctx context.Context, function string) ([]TriggerInfo, error) {
	if function != "" {
		if _, err := db.Function(ctx, function); err != nil {
			return nil, err
		}
	}
	list, err := triggers(ctx, db.pool, function)
	return list, fault("list triggers", err)
}

func triggers(ctx context.Context, q querier, function string) ([]TriggerInfo, error) {
	rows, err := q.Query(ctx, `SELECT id, function_name, table_schema, table_name, operations, granularity, level, condition, enabled, created_at
		FROM runnel.triggers WHERE $1 = '' OR function_name = $1 ORDER BY function_name, table_schema, table_name`, function)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[TriggerInfo])
}

// Trigger returns a function's trigger, or CodeNotFound.
func (db *DB) Trigger(ctx context.Context, function, id string) (TriggerInfo, error) {
	list, err := db.Triggers(ctx, function)
	for _, t := range list {
		if strings.EqualFold(t.ID, id) {
			return t, nil
		}
	}
	if err == nil {
		err = runnel.Errorf(runnel.CodeNotFound, "function %s has no trigger %.80q: list its triggers; one that was made anew has another id", function, id)
	}
	return TriggerInfo{}, err
}

// PutTrigger makes a database trigger, or replaces the one that function has on
// the table. It acts as the owner of the schema, who needs the right to put a
// trigger on the table.
func (db *DB) PutTrigger(ctx context.Context, function string, c TriggerChange) (t TriggerInfo, created bool, err error) {
	table := c.Table
	if c.Schema != "" {
		table = pgx.Identifier{c.Schema, c.Table}.Sanitize()
	}
	if c.Operations == nil {
		c.Operations = []string{"INSERT", "UPDATE", "DELETE"}
	}
	doing := "trigger on " + strings.ToValidUTF8(table[:min(len(table), 200)], "")
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		// Writers of the table wait while we wait for those before them.
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '5s'`); err != nil {
			return err
		}
		// The table's name and the condition are read with the role's own search_path,
		// as psql reads them; everything else is not.
		var found *uint32
		if err := withOwnPath(ctx, tx, func() error { return tx.QueryRow(ctx, `SELECT pg_catalog.to_regclass($1)::oid`, table).Scan(&found) }); err != nil {
			return err
		}
		var schema, name *string
		err := tx.QueryRow(ctx, `SELECT n.nspname, c.relname FROM (SELECT) one
			LEFT JOIN pg_class c ON c.oid = $1 LEFT JOIN pg_namespace n ON n.oid = c.relnamespace`, found).Scan(&schema, &name)
		if err != nil {
			return err
		}
		if schema == nil {
			return runnel.Errorf(runnel.CodeInvalidRequest, "there is no table %.200q here: give its name and, unless it is public, its \"schema\"", c.Table)
		}
		before, err := triggers(ctx, tx, function)
		if err != nil {
			return err
		}
		err = withOwnPath(ctx, tx, func() error {
			_, err := tx.Exec(ctx, `SELECT runnel.create_trigger($1::oid::regclass, $2, $3, $4, $5)`, found, function, c.Operations, or(c.Granularity, "auto"), text(c.Condition))
			return err
		})
		if err != nil {
			return err
		}
		after, err := triggers(ctx, tx, function)
		if err != nil {
			return err
		}
		same := func(list []TriggerInfo) *TriggerInfo {
			for _, t := range list {
				if t.Schema == *schema && t.Table == *name {
					return &t
				}
			}
			return nil
		}
		created = same(before) == nil
		if found := same(after); found != nil {
			t = *found
		}
		return nil
	})
	return t, created, refusal(doing, err)
}

// withOwnPath runs f with the search_path that the role or database has. What f says
// must not depend on it, but for names that are the caller's.
func withOwnPath(ctx context.Context, tx pgx.Tx, f func() error) error {
	var path string
	if err := tx.QueryRow(ctx, `SELECT pg_catalog.current_setting('search_path')`).Scan(&path); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `SET LOCAL search_path TO DEFAULT`); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `SELECT pg_catalog.set_config('search_path', $1, true)`, path)
	return err
}

// DropTrigger removes a function's trigger.
func (db *DB) DropTrigger(ctx context.Context, function, id string) error {
	t, err := db.Trigger(ctx, function, id)
	if err != nil {
		return err
	}
	return refusal("drop trigger", pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '5s'`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `SELECT runnel.drop_trigger(to_regclass($1), $2)`, pgx.Identifier{t.Schema, t.Table}.Sanitize(), function)
		return err
	}))
}
