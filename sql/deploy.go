package sql

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
)

// Deploy is a module to be made a function's newest version.
type Deploy struct {
	Name       string
	Wasm       []byte
	Hash       string // hex sha256 of Wasm
	Kind       string // a sandbox.Kind, or "javascript"
	Config     runnel.Config
	CreateOnly bool // an existing name is refused with CodeAlreadyExists
	IfChanged  bool // no version is made of the module that the current one has
}

// Made is what a Deploy made.
type Made int

// The zero value is that of a failure.
const (
	MadeFunction Made = 1 + iota // a new one, in its first version
	MadeVersion                  // of a function that was there
	MadeNothing                  // the module is the current version's; the configuration may have changed
)

// errAsBefore ends a transaction that would change nothing.
var errAsBefore = errors.New("as before")

// Deploy stores a module as a new version, makes it current and sets what
// d.Config sets, in one transaction. With d.IfChanged and the current version's
// module only the configuration is set, and where that is as it was, nothing is
// written at all. The module must have been checked: this package only has the
// database compare its hash (CodeHashMismatch).
func (db *DB) Deploy(ctx context.Context, d Deploy) (fn runnel.Function, made Made, err error) {
	if err := runnel.CheckName(d.Name); err != nil {
		return fn, 0, err
	}
	if err := d.Config.Check(); err != nil {
		return fn, 0, err
	}
	if len(d.Wasm) > runnel.MaxModuleSize {
		return fn, 0, runnel.Errorf(runnel.CodeTooLarge, "the module is %d bytes: at most 10 MB can be deployed", len(d.Wasm))
	}
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT runnel.lock_modules()`); err != nil {
			return err
		}
		before, same, err := unchanged(ctx, tx, d)
		if err != nil {
			return err
		}
		if same {
			made = MadeNothing
		} else if made, err = newVersion(ctx, tx, d); err != nil {
			return err
		}
		if err := db.configure(ctx, tx, d.Name, d.Config); err != nil {
			return err
		}
		if fn, err = findFunction(ctx, tx, d.Name); err != nil {
			return err
		}
		if same {
			written := fn.UpdatedAt
			if fn.UpdatedAt = before.UpdatedAt; db.alike(before, fn) {
				return errAsBefore
			}
			fn.UpdatedAt = written
		}
		return nil
	})
	if errors.Is(err, errAsBefore) {
		err = nil
	}
	if err != nil {
		return runnel.Function{}, 0, coded("deploy "+d.Name, err)
	}
	return fn, made, nil
}

// unchanged returns the function as it is, and locks it, when d is to make nothing
// of the module that it has.
func unchanged(ctx context.Context, tx pgx.Tx, d Deploy) (fn runnel.Function, same bool, err error) {
	if !d.IfChanged || d.CreateOnly {
		return fn, false, nil
	}
	err = tx.QueryRow(ctx, unchangedSQL, d.Name, d.Hash, d.Kind).Scan(&same)
	if missing(err) {
		return fn, false, nil
	}
	if err != nil || !same {
		return fn, false, err
	}
	fn, err = findFunction(ctx, tx, d.Name)
	return fn, true, err
}

// alike compares two states of a function. A value that was sealed twice has other
// bytes each time, so these are opened; what cannot be opened was another.
func (db *DB) alike(a, b runnel.Function) bool {
	if !maps.EqualFunc(a.Sealed, b.Sealed, bytes.Equal) {
		if db.keys == nil || len(a.Sealed) != len(b.Sealed) {
			return false
		}
		for key, sealed := range b.Sealed {
			bind := BindEnvironment(b.ID, key)
			was, errWas := db.keys.Open(a.Sealed[key], bind...)
			is, err := db.keys.Open(sealed, bind...)
			if errWas != nil || err != nil || !bytes.Equal(is, was) {
				return false
			}
		}
	}
	a.Sealed, b.Sealed = nil, nil
	return reflect.DeepEqual(a, b)
}

func newVersion(ctx context.Context, tx pgx.Tx, d Deploy) (Made, error) {
	var created bool
	err := tx.QueryRow(ctx, deploySQL, d.Name, d.Wasm, d.Hash, d.Kind, d.CreateOnly).Scan(&created)
	switch {
	case missing(err):
		return 0, runnel.Errorf(runnel.CodeAlreadyExists, "function %s exists: choose another name, or deploy without asking for a new one", d.Name)
	case violates(err, checkViolation, "wasm_hash_matches_wasm_bytes"):
		return 0, runnel.Errorf(runnel.CodeHashMismatch, "the module's bytes do not have the hash %.64s: deploy it again", d.Hash).Because(err)
	case err != nil:
		return 0, err
	case created:
		return MadeFunction, nil
	}
	return MadeVersion, nil
}

// configure sets what is not nil in c.
func (db *DB) configure(ctx context.Context, tx pgx.Tx, name string, c runnel.Config) error {
	var hosts []string
	if c.AllowedHosts != nil {
		hosts = append([]string{}, *c.AllowedHosts...) // empty is not null
	}
	var rate *float64
	var burst *int
	if c.Rate != nil {
		rate, burst = &c.Rate.PerSecond, &c.Rate.Burst
	}
	var first, most *time.Duration
	if c.Backoff != nil {
		b := c.Backoff.WithDefaults()
		first, most = (*time.Duration)(&b.Initial), (*time.Duration)(&b.Max)
	}
	var id string
	err := tx.QueryRow(ctx, configureSQL, name, c.Description, (*time.Duration)(c.Timeout), (*int64)(c.MaxMemory),
		c.CanBypassRLS, hosts, c.MaxAttempts, c.MaxConcurrency, c.VerifyJWT, c.Enabled,
		c.ConcurrencyKey, c.MaxConcurrencyPerKey, rate, burst, c.Priority, c.Paused, first, most,
		(*float64)(c.LogSuccess)).Scan(&id, nil)
	if missing(err) {
		return notFound(name)
	}
	if violates(err, checkViolation, "functions_key_limit") {
		return runnel.Errorf(runnel.CodeInvalidRequest, "max_concurrency_per_key needs a concurrency_key: say which field, such as \"tenant.id\"").Because(err)
	}
	if err != nil || c.Environment == nil {
		return err
	}
	keys := slices.Sorted(maps.Keys(*c.Environment))
	clear, sealed := make([]*string, len(keys)), make([][]byte, len(keys))
	for i, key := range keys {
		value := (*c.Environment)[key]
		if db.keys == nil {
			clear[i] = &value
			continue
		}
		sealed[i] = db.keys.Seal([]byte(value), BindEnvironment(id, key)...)
	}
	// An empty slice is an empty array; nil would be null, which deletes nothing.
	_, err = tx.Exec(ctx, environmentSQL, id, append([]string{}, keys...), clear, sealed)
	return err
}
