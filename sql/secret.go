package sql

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
)

// Secret is what can be known of a secret without its key.
type Secret struct {
	Key       string    `json:"key"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Secrets returns a function's secrets by key, without their values.
func (db *DB) Secrets(ctx context.Context, function string) ([]Secret, error) {
	fn, err := db.Function(ctx, function)
	if err != nil {
		return nil, err
	}
	rows, err := db.pool.Query(ctx, `SELECT key, created_at, updated_at FROM runnel.secrets WHERE function_id = $1 ORDER BY key`, fn.ID)
	if err != nil {
		return nil, fault("list secrets", err)
	}
	secrets, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Secret])
	return secrets, fault("list secrets", err)
}

// SetSecret stores what seal returns for the function's id: only the caller can
// encrypt, and the ciphertext is bound to that id. All secrets of a function may
// take runnel.MaxEnvironment together. From then on an environment entry with the
// same key is not seen any more.
func (db *DB) SetSecret(ctx context.Context, function, key string, seal func(functionID string) []byte) (s Secret, created bool, err error) {
	fn, err := db.Function(ctx, function)
	if err != nil {
		return s, false, err
	}
	err = db.pool.QueryRow(ctx, setSecretSQL, fn.ID, key, seal(fn.ID), runnel.MaxEnvironment).Scan(&s.Key, &s.CreatedAt, &s.UpdatedAt, &created)
	if !missing(err) {
		return s, created, fault("set secret", err)
	}
	// Either the function is gone by now, or there is no room.
	if _, err := db.Function(ctx, function); err != nil {
		return s, false, err
	}
	return s, false, runnel.Errorf(runnel.CodeTooLarge, "the secrets of %s would be over %d KB together: store large data elsewhere, or remove one", function, runnel.MaxEnvironment>>10)
}

// UnsetSecret removes a secret: CodeNotFound when there is none.
func (db *DB) UnsetSecret(ctx context.Context, function, key string) error {
	fn, err := db.Function(ctx, function)
	if err != nil {
		return err
	}
	tag, err := db.pool.Exec(ctx, `DELETE FROM runnel.secrets WHERE function_id = $1 AND key = $2`, fn.ID, key)
	if err == nil && tag.RowsAffected() == 0 {
		return runnel.Errorf(runnel.CodeNotFound, "function %s has no secret %.80q: list its secrets", function, key)
	}
	return fault("unset secret", err)
}

// BindSecret and BindEnvironment are what a sealed value is bound to, so that it
// opens nowhere else: not for another function or key, and not in the other table.
func BindSecret(functionID, key string) []string { return []string{functionID, key} }

// BindEnvironment is BindSecret for a value of the environment.
func BindEnvironment(functionID, key string) []string {
	return []string{"environment", functionID, key}
}

// maxRotate is of how many functions values are held at a time: of each 256 KB at most.
const maxRotate = 50

// Stored is a secret, or a value of an environment, as it is stored.
type Stored struct {
	Secret     bool // else of the environment
	FunctionID string
	Function   string
	Key        string
	Value      []byte // sealed, unless Clear
	Clear      bool   // of an environment that was written without keys
}

// Name is how people find the value.
func (s Stored) Name() string {
	if s.Secret {
		return s.Function + "/" + s.Key
	}
	return s.Function + "/environment/" + s.Key
}

// Bind is what the value is bound to, or is to be.
func (s Stored) Bind() []string {
	if s.Secret {
		return BindSecret(s.FunctionID, s.Key)
	}
	return BindEnvironment(s.FunctionID, s.Key)
}

// Rotate rewrites every secret and every value of an environment for which reseal
// returns new bytes (nil leaves it), each in a transaction of its own: whoever ends
// in the middle has lost nothing, and the next one does the rest. One that changes
// meanwhile is left as its writer wrote it. Errors of reseal do not stop the rest;
// they are joined.
func (db *DB) Rotate(ctx context.Context, reseal func(Stored) ([]byte, error)) (rotated, total int, err error) {
	rows, err := db.pool.Query(ctx, `SELECT name FROM runnel.functions ORDER BY name`)
	if err != nil {
		return 0, 0, fault("rotate secrets", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, 0, fault("rotate secrets", err)
	}
	var problems []error
	for some := range slices.Chunk(names, maxRotate) {
		rows, err := db.pool.Query(ctx, storedSQL, some)
		if err != nil {
			return rotated, total, fault("rotate secrets", err)
		}
		values, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Stored])
		if err != nil {
			return rotated, total, fault("rotate secrets", err)
		}
		total += len(values)
		for _, s := range values {
			sealed, err := reseal(s)
			if err != nil {
				problems = append(problems, err)
			}
			if err != nil || sealed == nil {
				continue
			}
			tag, err := db.pool.Exec(ctx, resealSQL, s.Secret, s.FunctionID, s.Key, s.Value, s.Clear, sealed)
			if err != nil {
				return rotated, total, fault("rotate secrets", err)
			}
			rotated += int(tag.RowsAffected())
		}
	}
	return rotated, total, errors.Join(problems...)
}
