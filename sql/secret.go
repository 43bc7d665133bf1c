package sql

import (
	"context"
	"errors"
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

// RotateSecrets rewrites every secret for which reseal returns new bytes (nil
// leaves it). One that changes meanwhile is left as its writer wrote it. Errors of
// reseal do not stop the rest; they are joined.
func (db *DB) RotateSecrets(ctx context.Context, reseal func(functionID, function, key string, sealed []byte) ([]byte, error)) (rotated, total int, err error) {
	rows, err := db.pool.Query(ctx, `SELECT s.function_id::text, f.name, s.key, s.value FROM runnel.secrets s JOIN runnel.functions f ON f.id = s.function_id ORDER BY f.name, s.key`)
	if err != nil {
		return 0, 0, fault("rotate secrets", err)
	}
	type row struct {
		ID, Function, Key string
		Value             []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return 0, 0, fault("rotate secrets", err)
	}
	var problems []error
	for _, r := range all {
		value, err := reseal(r.ID, r.Function, r.Key, r.Value)
		if err != nil {
			problems = append(problems, err)
		}
		if err != nil || value == nil {
			continue
		}
		tag, err := db.pool.Exec(ctx, `UPDATE runnel.secrets SET value = $4, updated_at = now() WHERE function_id = $1 AND key = $2 AND value = $3`, r.ID, r.Key, r.Value, value)
		if err != nil {
			return rotated, len(all), fault("rotate secrets", err)
		}
		rotated += int(tag.RowsAffected())
	}
	return rotated, len(all), errors.Join(problems...)
}
