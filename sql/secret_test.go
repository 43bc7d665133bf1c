package sql_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
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

func TestRotate(t *testing.T) {
	b := setup(t)
	wasm, hash := module("one")
	if _, _, err := b.db.Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "command",
		Config: runnel.Config{Environment: &map[string]string{"CLEAR": "é", "EMPTY": "", "SET": "set meanwhile", "GONE": "gone meanwhile"}}}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"A", "BAD", "DONE", "MOVED"} {
		if _, _, err := b.db.SetSecret(t.Context(), "hello", key, sealed("old")); err != nil {
			t.Fatal(err)
		}
	}
	broken := errors.New("broken")
	rotated, total, err := b.db.Rotate(t.Context(), func(s sql.Stored) ([]byte, error) {
		if s.Function != "hello" || s.Secret == s.Clear || s.Secret && !bytes.HasSuffix(s.Value, []byte(":old")) || s.Key == "CLEAR" && string(s.Value) != "é" {
			t.Errorf("reseal of %+v", s)
		}
		switch key := s.Key; key {
		case "SET":
			b.exec(`UPDATE runnel.environment SET value = 'anew' WHERE key = 'SET'`)
		case "GONE":
			b.exec(`DELETE FROM runnel.environment WHERE key = 'GONE'`)
		case "BAD":
			return nil, broken
		case "DONE":
			return nil, nil
		case "MOVED": // somebody sets it between our read and our write
			if _, _, err := b.db.SetSecret(t.Context(), "hello", key, sealed("newer than both")); err != nil {
				t.Error(err)
			}
		}
		return []byte(s.FunctionID + ":new, and long enough"), nil
	})
	if rotated != 3 || total != 8 || !errors.Is(err, broken) {
		t.Errorf("rotated %d of %d, %v", rotated, total, err)
	}
	if got := get[string](b, `SELECT string_agg(key || split_part(convert_from(value, 'UTF8'), ':', 2), ' ' ORDER BY key) FROM runnel.secrets`); got != "Anew, and long enough BADold DONEold MOVEDnewer than both" {
		t.Errorf("got %s", got)
	}
	if got := get[string](b, `SELECT string_agg(key || coalesce(value, '') || coalesce(split_part(convert_from(sealed, 'UTF8'), ':', 2), ''), ' ' ORDER BY key) FROM runnel.environment`); got != "CLEARnew, and long enough EMPTYnew, and long enough SETanew" {
		t.Errorf("got %s", got)
	}
}

func TestSealedEnvironments(t *testing.T) {
	b := setup(t)
	sealing, err := sql.Open(t.Context(), b.url, sql.Options{MaxConns: 2, Keys: new(oneKey)})
	if err != nil {
		t.Fatal(err)
	}
	defer sealing.Close()
	wasm, hash := module("one")
	deploy := func(db *sql.DB, env map[string]string) runnel.Function {
		t.Helper()
		fn, _, err := db.Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "command", Config: runnel.Config{Environment: &env}})
		if err != nil {
			t.Fatal(err)
		}
		return fn
	}
	deploy(b.db, map[string]string{"A": "clear", "B": "clear", "C": "clear"})
	// The next write seals, and takes what is not in it away.
	fn := deploy(sealing, map[string]string{"A": "one", "B": ""})
	if len(fn.Environment) != 0 || len(fn.Sealed) != 2 || !strings.HasSuffix(string(fn.Sealed["A"]), fn.ID+"/A: one") {
		t.Errorf("got %v, %q", fn.Environment, fn.Sealed)
	}
	if text := pgtest.Dump(t, b.url, "--data-only", "--table", "runnel.environment"); strings.Contains(text, "clear") {
		t.Error("what was in the clear is still there")
	}
	// What is deployed again as it is writes nothing, although it was sealed anew, and
	// whoever has no keys can do so, too.
	again := func(db *sql.DB, env *map[string]string) (made sql.Made) {
		t.Helper()
		_, made, err := db.Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "command", IfChanged: true, Config: runnel.Config{Environment: env}})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	written := func() string {
		return get[string](b, `SELECT f.updated_at::text || string_agg(encode(e.sealed, 'hex'), '') FROM runnel.functions f JOIN runnel.environment e ON e.function_id = f.id GROUP BY f.id`)
	}
	before := written()
	for _, made := range []sql.Made{again(sealing, &map[string]string{"A": "one", "B": ""}), again(sealing, nil), again(b.db, nil)} {
		if made != sql.MadeNothing || written() != before {
			t.Errorf("made %d, and wrote %s over %s", made, written(), before)
		}
	}
	if again(sealing, &map[string]string{"A": "two", "B": ""}); written() == before {
		t.Error("another value was not written")
	}
	// As large as an environment can be.
	large := strings.Repeat("x", runnel.MaxEnvironment-1)
	if fn := deploy(sealing, map[string]string{"A": large}); !bytes.HasSuffix(fn.Sealed["A"], []byte(large)) {
		t.Errorf("%d bytes came back", len(fn.Sealed["A"]))
	}
	// What has keys no more writes in the clear again.
	if fn := deploy(b.db, map[string]string{"A": "clear"}); fn.Environment["A"] != "clear" || len(fn.Sealed) != 0 {
		t.Errorf("got %v, %q", fn.Environment, fn.Sealed)
	}
	for _, wrong := range []string{`value = NULL`, `sealed = '\x00'`, `sealed = sha512('')`} {
		if _, err := b.conn.Exec(t.Context(), `UPDATE runnel.environment SET `+wrong); err == nil {
			t.Errorf("%s was accepted", wrong)
		}
	}
}

// oneKey seals in the open, and never twice alike.
type oneKey struct{ sealed int }

func (k *oneKey) Seal(value []byte, context ...string) []byte {
	k.sealed++
	return fmt.Appendf(nil, "%08d %s: %s", k.sealed, strings.Join(context, "/"), value)
}

func (k *oneKey) Open(sealed []byte, context ...string) ([]byte, error) {
	value, ok := bytes.CutPrefix(sealed[min(len("00000000 "), len(sealed)):], []byte(strings.Join(context, "/")+": "))
	if !ok {
		return nil, errors.New("it belongs to something else")
	}
	return value, nil
}
