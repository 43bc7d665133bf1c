package jobs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/sql"
)

// as invokes on behalf of a user, and waits.
func (h *house) as(user, name string) sql.Response {
	h.t.Helper()
	r, err := h.invoker.Invoke(h.t.Context(), sql.Enqueue{
		ID: sql.NewID(), Function: name, Trigger: runnel.TriggerHTTP, Event: []byte(`{}`),
		Caller: runnel.Caller{Role: runnel.RoleAuthenticated, UserID: user, Claims: json.RawMessage(`{"sub":"` + user + `","role":"authenticated"}`)},
	}, 30*time.Second)
	if err != nil {
		h.t.Fatalf("invoke %s: %v", name, err)
	}
	return r
}

// notes makes a table whose rows belong to users.
func (h *house) notes() {
	h.t.Helper()
	h.exec(`
		CREATE TABLE note (id int GENERATED ALWAYS AS IDENTITY, owner uuid DEFAULT auth.uid(), text text);
		ALTER TABLE note ENABLE ROW LEVEL SECURITY;
		CREATE POLICY own ON note TO authenticated USING (owner = (SELECT auth.uid())) WITH CHECK (owner = (SELECT auth.uid()));
		GRANT SELECT, INSERT ON note TO authenticated, service_role`)
}

func userID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

func TestFUNC_F2_ACommittedWriteOutlivesItsFunction(t *testing.T) {
	h := newHouse(t)
	h.notes()
	h.worker("w1", 4)
	h.function("write", guests.QueryAndTrap(`INSERT INTO note (text) VALUES ($1)`, `["kept"]`), "")
	r := h.as(userID(1), "write")
	if r.Status != runnel.StatusError || r.Code != runnel.CodeFunctionError {
		t.Errorf("the function ended with %+v", r)
	}
	if got := one[string](h, `SELECT string_agg(owner || ' ' || text, ',') FROM note`); got != userID(1)+" kept" {
		t.Errorf("rows are %s", got)
	}
	rows := h.rows(r.ID)
	if len(rows) != 1 || rows[0].Status != runnel.StatusError || rows[0].ErrorCode != runnel.CodeFunctionError || rows[0].UserID != userID(1) {
		t.Errorf("log rows: %+v", rows)
	}
}

func TestFUNC_I3_EveryUserSeesTheirOwnThroughTheWorker(t *testing.T) {
	h := newHouse(t)
	h.notes()
	h.worker("w1", 16)
	h.exec(`INSERT INTO note (owner, text) SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'note of ' || n FROM generate_series(1, 50) n`)
	h.function("mine", guests.Query(`SELECT text FROM note`, `[]`), "")
	h.function("all", guests.Query(`SELECT count(*), current_user, auth.uid() FROM note`, `[]`), `{"can_bypass_rls":true}`)
	var wg sync.WaitGroup
	for n := 1; n <= 50; n++ {
		wg.Go(func() {
			want := fmt.Sprintf(`{"columns":[{"name":"text","type":"text"}],"rows":[["note of %d"]],"row_count":1}`, n)
			if r := h.as(userID(n), "mine"); string(r.Result) != want {
				t.Errorf("user %d: %+v %s", n, r, r.Result)
			}
		})
	}
	wg.Wait()
	if r := h.as(userID(7), "all"); !strings.Contains(string(r.Result), `[[50,"service_role","`+userID(7)+`"]]`) {
		t.Errorf("bypassing: %s", r.Result)
	}
	// Without a token: the role anon, which has no rights here.
	if r := h.mustHTTP("mine", `{}`); !strings.Contains(string(r.Result), `"PermissionDenied"`) {
		t.Errorf("anon: %s", r.Result)
	}
}

// A function's write sets off another function, which runs as the writer whatever
// the writer's SQL says about itself.
func TestFUNC_I3_TriggeredFunctionsRunAsTheWriter(t *testing.T) {
	h := newHouse(t)
	h.notes()
	h.worker("w1", 4)
	h.function("forge", guests.Query("", `{"batch":[
		{"sql":"SELECT set_config('request.jwt.claims', '{\"sub\":\"`+userID(9)+`\"}', true), set_config('role', 'none', false), set_config('role', 'authenticated', false)"},
		{"sql":"INSERT INTO note (text) VALUES ('by a function')"}]}`), "")
	h.function("who", guests.Query(`SELECT auth.uid()`, `[]`), "")
	h.exec(`SELECT runnel.create_trigger('note', 'who')`)
	if r := h.as(userID(1), "forge"); strings.Contains(string(r.Result), "error") {
		t.Fatalf("forge: %s", r.Result)
	}
	until(h, 1, `SELECT count(*)::int FROM runnel.function_invocations WHERE function_name = 'who'`)
	if got := one[string](h, `SELECT role || ' ' || user_id || ' ' || (result ->> 'rows') FROM runnel.function_invocations WHERE function_name = 'who'`); got != "authenticated "+userID(1)+` [["`+userID(1)+`"]]` {
		t.Errorf("the triggered function ran as %s", got)
	}
}

func TestAFunctionThatSetsItselfOffStopsAtDepthEight(t *testing.T) {
	h := newHouse(t)
	h.notes()
	h.worker("w1", 4)
	h.function("loop", guests.Query(`INSERT INTO note (text) VALUES ('again')`, `[]`), "")
	h.exec(`SELECT runnel.create_trigger('note', 'loop')`)
	h.as(userID(1), "loop")
	until(h, 1, `SELECT count(*)::int FROM runnel.function_invocations WHERE status = 'skipped'`)
	if got := one[string](h, `SELECT error_code || ' ' || user_id FROM runnel.function_invocations WHERE status = 'skipped'`); got != "LoopLimit "+userID(1) {
		t.Errorf("skipped row: %s", got)
	}
	if n := one[int](h, `SELECT count(*)::int FROM note`); n != 9 {
		t.Errorf("%d runs wrote, want one and eight more", n)
	}
}

// Where functions are let cancel and replay, they reach what ran on their caller's own
// behalf, whatever their SQL says about who they are.
func TestFUNC_I3_FunctionsCancelAndReplayTheirOwnOnly(t *testing.T) {
	h := newHouse(t)
	h.exec(`GRANT USAGE ON SCHEMA runnel TO authenticated, anon`)
	h.exec(`GRANT EXECUTE ON FUNCTION runnel.cancel, runnel.replay TO authenticated, anon`)
	h.worker("w1", 4)
	h.function("later", guests.Answer(`"ran"`), "")
	enqueue := func(user string) string {
		id := sql.NewID()
		if err := h.invoker.Enqueue(t.Context(), sql.Enqueue{ID: id, Function: "later", Trigger: runnel.TriggerHTTP, Event: []byte(`{}`),
			Caller: runnel.Caller{Role: runnel.RoleAuthenticated, UserID: user, Claims: json.RawMessage(`{"sub":"` + user + `","role":"authenticated"}`)}}); err != nil {
			t.Fatal(err)
		}
		until(h, 1, `SELECT count(*)::int FROM runnel.function_invocations WHERE id = $1::uuid`, id)
		return id
	}
	mine, theirs := enqueue(userID(1)), enqueue(userID(2))
	forged := fmt.Sprintf(`set_config('request.jwt.claims', '{"sub":"%s"}', false), set_config('role', 'authenticated', false), `, userID(2))
	for i, c := range []struct{ query, want string }{
		{`SELECT runnel.replay('` + mine + `')::text <> ''`, `"rows":[[true]]`},
		{`SELECT runnel.cancel('` + mine + `')`, `"rows":[["finished"]]`},
		{`SELECT runnel.replay('` + theirs + `')`, `P0002`},
		{`SELECT runnel.cancel('` + theirs + `')`, `P0002`},
		{`SELECT ` + forged + `runnel.replay('` + theirs + `')`, `P0002`},
		{`SELECT runnel.redrive()`, `42501`},
		{`SELECT runnel.purge()`, `42501`},
		{`SELECT runnel.find_job('` + mine + `')`, `42501`},
	} {
		name := fmt.Sprintf("steer%d", i)
		h.function(name, guests.Query(c.query, `[]`), "")
		if r := h.as(userID(1), name); !strings.Contains(string(r.Result), c.want) {
			t.Errorf("%s: %s, want %s", c.query, r.Result, c.want)
		}
	}
	if n := one[int](h, `SELECT count(*)::int FROM runnel.invocation_events WHERE replay_of IS NOT NULL`); n != 1 {
		t.Errorf("%d replays, want 1", n)
	}
}
