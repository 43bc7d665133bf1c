package sql

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
)

// Functions returns all functions by name, their environments as they are stored.
func (db *DB) Functions(ctx context.Context) ([]runnel.Function, error) {
	fns, err := queryFunctions(ctx, db.pool, nil)
	return fns, fault("list functions", err)
}

// Function returns one function, its environment as it is stored, or
// CodeFunctionNotFound. A disabled function is found.
func (db *DB) Function(ctx context.Context, name string) (runnel.Function, error) {
	return findFunction(ctx, db.pool, name)
}

// Configure changes what is set in c. Queued invocations run with it too.
func (db *DB) Configure(ctx context.Context, name string, c runnel.Config) (fn runnel.Function, err error) {
	if err := c.Check(); err != nil {
		return fn, err
	}
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if err := db.configure(ctx, tx, name, c); err != nil {
			return err
		}
		fn, err = findFunction(ctx, tx, name)
		return err
	})
	return fn, coded("configure "+name, err)
}

// Delete removes a function with its versions, triggers, schedules and
// environment, and the modules that nothing else uses. Its log stays. Queued
// invocations end as skipped.
func (db *DB) Delete(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, upkeepLimit) // with the ledgers of its schedules
	defer cancel()
	return coded("delete "+name, pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		// The order of Deploy: modules, then the function's row.
		if _, err := tx.Exec(ctx, `SELECT runnel.lock_modules()`); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM runnel.functions WHERE name = $1`, name)
		if err == nil && tag.RowsAffected() == 0 {
			err = notFound(name)
		}
		return err
	}))
}

// Versions returns a function's versions, newest first.
func (db *DB) Versions(ctx context.Context, name string) ([]runnel.Version, error) {
	rows, err := db.pool.Query(ctx, versionsSQL, name)
	if err != nil {
		return nil, fault("list versions", err)
	}
	versions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v runnel.Version, err error) {
		return v, row.Scan(&v.Version, &v.WasmHash, &v.Kind, &v.Size, &v.CreatedAt, &v.Current)
	})
	if err != nil {
		return nil, fault("list versions", err)
	}
	if len(versions) == 0 {
		return nil, notFound(name)
	}
	return versions, nil
}

// Rollback makes an existing version the current one, older or newer.
func (db *DB) Rollback(ctx context.Context, name string, version int) (fn runnel.Function, err error) {
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		var id string
		err := tx.QueryRow(ctx, rollbackSQL, name, version).Scan(&id)
		if err != nil && !missing(err) {
			return err
		}
		moved := err == nil
		if fn, err = findFunction(ctx, tx, name); err != nil {
			return err
		}
		if !moved {
			return runnel.Errorf(runnel.CodeNotFound, "function %s has no version %d: list its versions and choose one of them", name, version)
		}
		return nil
	})
	return fn, coded("roll back "+name, err)
}

// Module returns the bytes stored under a hash. They are not checked here: who
// runs them does that (FUNC-I5).
func (db *DB) Module(ctx context.Context, hash string) (wasm []byte, err error) {
	err = db.pool.QueryRow(ctx, `SELECT wasm_bytes FROM runnel.modules WHERE wasm_hash = $1`, hash).Scan(&wasm)
	if missing(err) {
		return nil, runnel.Errorf(runnel.CodeNotFound, "there is no module %.64s: deploy the function again", hash)
	}
	return wasm, fault("read module", err)
}

func findFunction(ctx context.Context, q querier, name string) (runnel.Function, error) {
	fns, err := queryFunctions(ctx, q, &name)
	if err != nil {
		return runnel.Function{}, fault("find function", err)
	}
	if len(fns) == 0 {
		return runnel.Function{}, notFound(name)
	}
	return fns[0], nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func queryFunctions(ctx context.Context, q querier, name *string) ([]runnel.Function, error) {
	rows, err := q.Query(ctx, functionsSQL, name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (runnel.Function, error) {
		var f functionRow
		err := row.Scan(f.fields()...)
		return f.function(), err
	})
}

func notFound(name string) error {
	return runnel.Errorf(runnel.CodeFunctionNotFound, "function %.80q does not exist: deploy it, or list the functions there are", name)
}

// functionRow is a function's columns, in the order of functions.sql and
// load.sql. All may be null where the function was deleted.
type functionRow struct {
	id, name, description, hash *string
	version, attempts           *int
	timeout, backoff, most      *time.Duration
	memory                      *int64
	bypass, verify, enabled     *bool
	hosts                       []string
	created, updated            *time.Time
	environment                 map[string]string
	sealed                      map[string][]byte
	flow                        *runnel.Flow
	logSuccess                  *runnel.Share
}

func (r *functionRow) fields() []any {
	return []any{&r.id, &r.name, &r.description, &r.version, &r.hash, &r.timeout, &r.memory, &r.bypass, &r.hosts,
		&r.attempts, &r.backoff, &r.most, &r.verify, &r.enabled, &r.created, &r.updated, &r.environment, &r.sealed, &r.flow, &r.logSuccess}
}

func (r *functionRow) function() runnel.Function {
	if r.id == nil {
		return runnel.Function{Name: deref(r.name)}
	}
	f := runnel.Function{
		ID: *r.id, Name: deref(r.name), Description: deref(r.description), Version: deref(r.version), WasmHash: deref(r.hash),
		Timeout: deref(r.timeout), MaxMemory: deref(r.memory), Environment: r.environment, Sealed: r.sealed, CanBypassRLS: deref(r.bypass),
		AllowedHosts: r.hosts, MaxAttempts: deref(r.attempts), Flow: deref(r.flow), LogSuccess: deref(r.logSuccess),
		Backoff:   runnel.Backoff{Initial: runnel.Duration(deref(r.backoff)), Max: runnel.Duration(deref(r.most))},
		VerifyJWT: deref(r.verify), Enabled: deref(r.enabled), CreatedAt: deref(r.created), UpdatedAt: deref(r.updated),
	}
	if f.Environment == nil {
		f.Environment = map[string]string{}
	}
	return f
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
