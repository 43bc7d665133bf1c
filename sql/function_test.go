package sql_test

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

// What is deployed again as it is leaves no trace; what differs in its configuration
// only is configured and gets no version.
func TestDeploy_IfChanged(t *testing.T) {
	b := setup(t)
	wasm, hash := module("one")
	again := sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "command", IfChanged: true, Config: runnel.Config{
		Description: ptr("greets"), Timeout: ptr(runnel.Duration(time.Second)), Environment: &map[string]string{"A": "1"}, AllowedHosts: &[]string{"a.example"},
		FlowConfig: runnel.FlowConfig{MaxConcurrency: ptr(2), Rate: &runnel.Rate{PerSecond: 10, Burst: 10}}, LogSuccess: ptr(runnel.Share(0.1)),
	}}
	first, made, err := b.db.Deploy(t.Context(), again)
	if err != nil || made != sql.MadeFunction {
		t.Fatal(made, err)
	}
	count := func(want int) {
		t.Helper()
		versions, err := b.db.Versions(t.Context(), "hello")
		if err != nil || len(versions) != want {
			t.Errorf("%d versions, %v; want %d", len(versions), err, want)
		}
	}
	for range 2 {
		fn, made, err := b.db.Deploy(t.Context(), again)
		if err != nil || made != sql.MadeNothing || !reflect.DeepEqual(fn, first) {
			t.Errorf("as it was: %+v, %v, %v; want %+v", fn, made, err, first)
		}
	}
	count(1)

	again.Config.Environment = &map[string]string{"A": "2"}
	fn, made, err := b.db.Deploy(t.Context(), again)
	if err != nil || made != sql.MadeNothing || fn.Version != 1 || fn.Environment["A"] != "2" || !fn.UpdatedAt.After(first.UpdatedAt) {
		t.Errorf("configured: %+v, %v, %v", fn, made, err)
	}
	count(1)
	if found, err := b.db.Function(t.Context(), "hello"); err != nil || !reflect.DeepEqual(found, fn) {
		t.Errorf("the configuration was not kept: %+v, %v; want %+v", found, err, fn)
	}

	// Another kind is another version; so is the same again, where that is asked for.
	for _, d := range []sql.Deploy{{Kind: "javascript", IfChanged: true}, {Kind: "javascript"}} {
		d.Name, d.Wasm, d.Hash = "hello", wasm, hash
		if _, made, err := b.db.Deploy(t.Context(), d); err != nil || made != sql.MadeVersion {
			t.Errorf("if changed %t: %v, %v", d.IfChanged, made, err)
		}
	}
	// An older version's module is not the current one's.
	again.Config = runnel.Config{}
	if fn, made, err := b.db.Deploy(t.Context(), again); err != nil || made != sql.MadeVersion || fn.Version != 4 {
		t.Errorf("an older module: %+v, %v, %v", fn, made, err)
	}
	if _, err := b.db.Rollback(t.Context(), "hello", 1); err != nil {
		t.Fatal(err)
	}
	if fn, made, err := b.db.Deploy(t.Context(), again); err != nil || made != sql.MadeNothing || fn.Version != 1 {
		t.Errorf("after a rollback: %+v, %v, %v", fn, made, err)
	}
	again.CreateOnly = true
	if _, _, err := b.db.Deploy(t.Context(), again); runnel.CodeOf(err) != runnel.CodeAlreadyExists {
		t.Errorf("create only: %v", err)
	}
	again.CreateOnly, again.Hash = false, strings.Repeat("0", 64)
	if _, _, err := b.db.Deploy(t.Context(), again); runnel.CodeOf(err) != runnel.CodeHashMismatch {
		t.Errorf("another hash: %v", err)
	}
}

func TestDeploy_CreatesThenAddsVersions(t *testing.T) {
	b := setup(t)
	wasm, hash := module("one")
	fn, made, err := b.db.Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "command"})
	if err != nil || made != sql.MadeFunction {
		t.Fatal(made, err)
	}
	if fn.ID == "" || fn.CreatedAt.IsZero() || fn.UpdatedAt.IsZero() {
		t.Errorf("got %+v", fn)
	}
	id := fn.ID
	fn.ID, fn.CreatedAt, fn.UpdatedAt = "", time.Time{}, time.Time{}
	want := runnel.Function{Name: "hello", Version: 1, WasmHash: hash, Timeout: runnel.DefaultTimeout, MaxMemory: runnel.DefaultMemory,
		Environment: map[string]string{}, AllowedHosts: []string{}, VerifyJWT: true, LogSuccess: 1, Enabled: true,
		Backoff: runnel.Backoff{Initial: runnel.Duration(runnel.DefaultBackoff), Max: runnel.Duration(runnel.DefaultBackoffMax)}}
	if !reflect.DeepEqual(fn, want) {
		t.Errorf("got %+v, want %+v", fn, want)
	}

	wasm, hash = module("two")
	fn, made, err = b.db.Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "reactor", Config: runnel.Config{
		Description: ptr("greets"), Timeout: ptr(runnel.Duration(1500 * time.Microsecond)), MaxMemory: ptr(runnel.Bytes(1 << 20)),
		Environment:  &map[string]string{"ENV": "production", "API_KEY": "k"},
		AllowedHosts: &[]string{"*.example.com"}, MaxAttempts: ptr(7), Backoff: &runnel.Backoff{Max: runnel.Duration(500 * time.Millisecond)},
		FlowConfig: runnel.FlowConfig{MaxConcurrency: ptr(2)}, CanBypassRLS: ptr(true), VerifyJWT: ptr(false),
	}})
	if err != nil || made != sql.MadeVersion || fn.ID != id {
		t.Fatal(fn, made, err)
	}
	found, err := b.db.Function(t.Context(), "hello")
	if err != nil || !reflect.DeepEqual(found, fn) {
		t.Errorf("got %+v, %v, want %+v", found, err, fn)
	}
	want = runnel.Function{ID: id, Name: "hello", Description: "greets", Version: 2, WasmHash: hash, Timeout: 1500 * time.Microsecond, MaxMemory: 1 << 20,
		Environment: map[string]string{"ENV": "production", "API_KEY": "k"}, CanBypassRLS: true, AllowedHosts: []string{"*.example.com"},
		MaxAttempts: 7, Backoff: runnel.Backoff{Initial: runnel.Duration(500 * time.Millisecond), Max: runnel.Duration(500 * time.Millisecond)},
		Flow: runnel.Flow{MaxConcurrency: 2}, LogSuccess: 1, Enabled: true, CreatedAt: fn.CreatedAt, UpdatedAt: fn.UpdatedAt}
	if !reflect.DeepEqual(fn, want) {
		t.Errorf("got %+v, want %+v", fn, want)
	}

	_, _, err = b.db.Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "command", CreateOnly: true})
	if runnel.CodeOf(err) != runnel.CodeAlreadyExists {
		t.Errorf("create only: got %v", err)
	}
	versions, err := b.db.Versions(t.Context(), "hello")
	if err != nil || len(versions) != 2 || versions[0].Version != 2 || !versions[0].Current || versions[0].Kind != "reactor" || versions[1].Size != 3 {
		t.Errorf("got %+v, %v", versions, err)
	}
}

func TestConfigure(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{Environment: &map[string]string{"A": "1", "B": "2"}, AllowedHosts: &[]string{"example.com"}, MaxAttempts: ptr(3)})
	fn, err := b.db.Configure(t.Context(), "hello", runnel.Config{Enabled: ptr(false)})
	if err != nil || fn.Enabled || len(fn.Environment) != 2 || len(fn.AllowedHosts) != 1 || fn.MaxAttempts != 3 {
		t.Errorf("only enabled was set: %+v, %v", fn, err)
	}
	fn, err = b.db.Configure(t.Context(), "hello", runnel.Config{Environment: &map[string]string{"B": "3", "C": ""}, AllowedHosts: &[]string{}, MaxAttempts: ptr(0)})
	if err != nil || !reflect.DeepEqual(fn.Environment, map[string]string{"B": "3", "C": ""}) || len(fn.AllowedHosts) != 0 || fn.MaxAttempts != 0 {
		t.Errorf("got %+v, %v", fn, err)
	}
	fn, err = b.db.Configure(t.Context(), "hello", runnel.Config{Environment: &map[string]string{}})
	if err != nil || len(fn.Environment) != 0 {
		t.Errorf("emptied: %+v, %v", fn, err)
	}
	if _, err = b.db.Configure(t.Context(), "nobody", runnel.Config{}); runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
		t.Errorf("got %v", err)
	}
	if _, err = b.db.Configure(t.Context(), "hello", runnel.Config{MaxAttempts: ptr(26)}); runnel.CodeOf(err) != runnel.CodeInvalidRequest {
		t.Errorf("got %v", err)
	}
}

func TestRollback(t *testing.T) {
	b := setup(t)
	for _, text := range []string{"one", "two", "three"} {
		wasm, hash := module(text)
		if _, _, err := b.db.Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "command"}); err != nil {
			t.Fatal(err)
		}
	}
	_, one := module("one")
	fn, err := b.db.Rollback(t.Context(), "hello", 1)
	if err != nil || fn.Version != 1 || fn.WasmHash != one {
		t.Errorf("got %v, %v", fn, err)
	}
	if _, err = b.db.Rollback(t.Context(), "hello", 9); runnel.CodeOf(err) != runnel.CodeNotFound {
		t.Errorf("got %v", err)
	}
	if _, err = b.db.Rollback(t.Context(), "nobody", 1); runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
		t.Errorf("got %v", err)
	}
	wasm, hash := module("four")
	fn, _, err = b.db.Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: wasm, Hash: hash, Kind: "command"})
	if err != nil || fn.Version != 4 {
		t.Errorf("a deploy after a rollback is version %d, %v; want 4", fn.Version, err)
	}
}

func TestDelete_TakesEverythingButTheLog(t *testing.T) {
	b := setup(t)
	shared, hash := module("shared")
	for _, name := range []string{"hello", "other"} {
		if _, _, err := b.db.Deploy(t.Context(), sql.Deploy{Name: name, Wasm: shared, Hash: hash, Kind: "command"}); err != nil {
			t.Fatal(err)
		}
	}
	b.deploy("hello", runnel.Config{Environment: &map[string]string{"A": "1"}})
	b.exec(`SELECT runnel.schedule('n', '@daily', 'hello'), runnel.invoke('hello', idempotency_key => 'k')`)
	id := b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`)})
	a := b.fetch("w")
	if _, err := b.db.Settle(t.Context(), []sql.Settlement{a[1].settlement(sql.StateCompleted, "")}); err != nil {
		t.Fatal(err)
	}
	if err := b.db.Delete(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"environment", "schedules", "idempotency_keys"} {
		if n := get[int](b, `SELECT count(*) FROM runnel.`+table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
	if got := column[string](b, `SELECT wasm_hash FROM runnel.modules`); !reflect.DeepEqual(got, []string{hash}) {
		t.Errorf("modules left: %v, want only the shared one", got)
	}
	if _, err := b.db.Invocation(t.Context(), id); err != nil {
		t.Errorf("the log row is gone: %v", err)
	}
	if err := b.db.Delete(t.Context(), "hello"); runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
		t.Errorf("deleted twice: got %v", err)
	}
	if _, err := b.db.Versions(t.Context(), "hello"); runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
		t.Errorf("got %v", err)
	}
	if _, err := b.db.Module(t.Context(), strings.Repeat("0", 64)); runnel.CodeOf(err) != runnel.CodeNotFound {
		t.Errorf("got %v", err)
	}
	if wasm, err := b.db.Module(t.Context(), hash); err != nil || string(wasm) != "shared" {
		t.Errorf("got %q, %v", wasm, err)
	}
}

// Deploys and deletes of the same module race for its row.
func TestDeploy_Hammer(t *testing.T) {
	b := setup(t)
	wasm, hash := module("same")
	var wg sync.WaitGroup
	errs := make(chan error, 200)
	for p := range 4 {
		wg.Go(func() {
			name := fmt.Sprintf("fn%d", p%3)
			for range 12 {
				if _, _, err := b.db.Deploy(t.Context(), sql.Deploy{Name: name, Wasm: wasm, Hash: hash, Kind: "command"}); err != nil {
					errs <- err
				}
				if err := b.db.Delete(t.Context(), name); err != nil && runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
					errs <- err
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.modules m WHERE NOT EXISTS (SELECT FROM runnel.function_versions v WHERE v.wasm_hash = m.wasm_hash)`); n != 0 {
		t.Errorf("%d unused modules are left", n)
	}
}

func TestFUNC_I5_SchemaRefusesBytesThatDoNotHash(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	wasm, _ := module("bytes")
	_, _, err := b.db.Deploy(t.Context(), sql.Deploy{Name: "evil", Wasm: wasm, Hash: strings.Repeat("0", 64), Kind: "command"})
	if runnel.CodeOf(err) != runnel.CodeHashMismatch {
		t.Errorf("deploy: got %v", err)
	}
	for _, text := range []string{
		`INSERT INTO runnel.modules (wasm_hash, wasm_bytes) VALUES (repeat('0', 64), '\x00')`,
		`UPDATE runnel.modules SET wasm_bytes = '\x00'`,
		`UPDATE runnel.modules SET wasm_hash = upper(wasm_hash)`,
	} {
		if _, err := b.conn.Exec(t.Context(), text); err == nil || !strings.Contains(err.Error(), "wasm_hash_matches_wasm_bytes") {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.functions WHERE name = 'evil'`); n != 0 {
		t.Error("the refused deploy left a function")
	}
}

// A row that was tampered with has another revision, so that a worker's cache
// does not answer for it.
func TestFUNC_I5_RevisionChangesWithTheRow(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	load := func() sql.Task {
		t.Helper()
		b.exec(`TRUNCATE runnel.river_job`)
		b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`)})
		a := b.fetch("w")[0]
		tasks, err := b.db.Load(t.Context(), []sql.Ref{{ID: a.id, CreatedAt: a.createdAt}})
		if err != nil {
			t.Fatal(err)
		}
		return tasks[a.id]
	}
	before := load()
	b.deploy("hello", runnel.Config{}) // the same bytes again
	if again := load(); again.Revision != before.Revision || again.Revision == "" {
		t.Errorf("revision %q became %q without a change", before.Revision, again.Revision)
	}
	b.exec(`ALTER TABLE runnel.modules DROP CONSTRAINT wasm_hash_matches_wasm_bytes`)
	b.exec(`UPDATE runnel.modules SET wasm_bytes = '\x00'`)
	if after := load(); after.Revision == before.Revision || after.Function.WasmHash != before.Function.WasmHash {
		t.Errorf("revision %q stayed after the bytes changed", after.Revision)
	}
}

func TestSchema_RefusesNamesThatDeployRefuses(t *testing.T) {
	b := setup(t)
	for _, name := range []string{"", "A", "1a", "invoke", "a b", "é", "a\n", strings.Repeat("a", 65)} {
		_, err := b.conn.Exec(t.Context(), `INSERT INTO runnel.functions (name, version) VALUES ($1, 1)`, name)
		if err == nil || !strings.Contains(err.Error(), "violates check constraint") {
			t.Errorf("%q: got %v", name, err)
		}
		if runnel.CheckName(name) == nil {
			t.Errorf("%q is valid in Go", name)
		}
	}
}

func TestDefaultAttempts_AgreeWithGo(t *testing.T) {
	b := setup(t)
	for _, trigger := range []runnel.Trigger{runnel.TriggerHTTP, runnel.TriggerDatabase, runnel.TriggerSchedule, runnel.TriggerSQL} {
		if got := get[int](b, `SELECT runnel.default_attempts($1)`, string(trigger)); got != trigger.MaxAttempts() {
			t.Errorf("%s: %d in SQL, %d in Go", trigger, got, trigger.MaxAttempts())
		}
	}
}
