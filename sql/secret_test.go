package sql_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

func sealed(value string) func(string) []byte {
	return func(functionID string) []byte { return []byte(functionID + ":" + value) }
}

func TestSecrets(t *testing.T) {
	b := setup(t)
	wasm, hash := module("one")
	fn, _, err := b.db.Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "command",
		Config: runnel.Config{Environment: &map[string]string{"DSN": "plain", "ENV": "test"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"one", "two"} {
		s, created, err := b.db.SetSecret(t.Context(), "hello", "DSN", sealed(value))
		if err != nil || created != (value == "one") || s.Key != "DSN" || s.CreatedAt.IsZero() || s.UpdatedAt.Before(s.CreatedAt) {
			t.Errorf("%s: %+v, %v, %v", value, s, created, err)
		}
	}
	list, err := b.db.Secrets(t.Context(), "hello")
	if err != nil || len(list) != 1 || list[0].Key != "DSN" {
		t.Errorf("got %+v, %v", list, err)
	}
	// A secret hides the environment entry that it replaces.
	if found, err := b.db.Function(t.Context(), "hello"); err != nil || len(found.Environment) != 1 || found.Environment["ENV"] != "test" {
		t.Errorf("got %+v, %v", found.Environment, err)
	}

	id := sql.NewID()
	if errs, err := b.db.Enqueue(t.Context(), []sql.Enqueue{{ID: id, Function: "hello", Trigger: runnel.TriggerSQL, Event: []byte(`{}`), Caller: runnel.Caller{Role: runnel.RoleAnon}}}); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}
	ref := sql.Ref{ID: id}
	if err := b.conn.QueryRow(t.Context(), `SELECT created_at FROM runnel.river_job WHERE args->>'id' = $1`, id).Scan(&ref.CreatedAt); err != nil {
		t.Fatal(err)
	}
	tasks, err := b.db.Load(t.Context(), []sql.Ref{ref})
	task := tasks[id]
	if err != nil || string(task.Secrets["DSN"]) != fn.ID+":two" || len(task.Function.Environment) != 1 {
		t.Errorf("loaded %q, environment %v, %v", task.Secrets, task.Function.Environment, err)
	}

	if err := b.db.UnsetSecret(t.Context(), "hello", "DSN"); err != nil {
		t.Error(err)
	}
	if err := b.db.UnsetSecret(t.Context(), "hello", "DSN"); runnel.CodeOf(err) != runnel.CodeNotFound {
		t.Errorf("twice: %v", err)
	}
	if found, _ := b.db.Function(t.Context(), "hello"); found.Environment["DSN"] != "plain" {
		t.Errorf("after unset: %v", found.Environment)
	}
}

func TestSecretsHaveBounds(t *testing.T) {
	b := setup(t)
	wasm, hash := module("one")
	if _, _, err := b.db.Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "command"}); err != nil {
		t.Fatal(err)
	}
	half := sealed(strings.Repeat("x", runnel.MaxEnvironment/2-100))
	for _, key := range []string{"A", "B", "B"} {
		if _, _, err := b.db.SetSecret(t.Context(), "hello", key, half); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := b.db.SetSecret(t.Context(), "hello", "C", half); runnel.CodeOf(err) != runnel.CodeTooLarge {
		t.Errorf("over the limit: %v", err)
	}
	for _, name := range []string{"nobody", ""} {
		_, errList := b.db.Secrets(t.Context(), name)
		_, _, errSet := b.db.SetSecret(t.Context(), name, "A", half)
		for _, err := range []error{errList, errSet, b.db.UnsetSecret(t.Context(), name, "A")} {
			if runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	if err := b.db.Delete(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	if n := get[int](b, `SELECT count(*)::int FROM runnel.secrets`); n != 0 {
		t.Errorf("%d secrets are left of a deleted function", n)
	}
}

func TestRotateSecrets(t *testing.T) {
	b := setup(t)
	wasm, hash := module("one")
	if _, _, err := b.db.Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "command"}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"A", "BAD", "DONE", "MOVED"} {
		if _, _, err := b.db.SetSecret(t.Context(), "hello", key, sealed("old")); err != nil {
			t.Fatal(err)
		}
	}
	broken := errors.New("broken")
	rotated, total, err := b.db.RotateSecrets(t.Context(), func(id, function, key string, value []byte) ([]byte, error) {
		if function != "hello" || !bytes.HasSuffix(value, []byte(":old")) {
			t.Errorf("reseal of %s %s %q", function, key, value)
		}
		switch key {
		case "BAD":
			return nil, broken
		case "DONE":
			return nil, nil
		case "MOVED": // somebody sets it between our read and our write
			if _, _, err := b.db.SetSecret(t.Context(), "hello", key, sealed("newer than both")); err != nil {
				t.Error(err)
			}
		}
		return []byte(id + ":new, and long enough"), nil
	})
	if rotated != 1 || total != 4 || !errors.Is(err, broken) {
		t.Errorf("rotated %d of %d, %v", rotated, total, err)
	}
	if got := get[string](b, `SELECT string_agg(key || split_part(convert_from(value, 'UTF8'), ':', 2), ' ' ORDER BY key) FROM runnel.secrets`); got != "Anew, and long enough BADold DONEold MOVEDnewer than both" {
		t.Errorf("got %s", got)
	}
}
