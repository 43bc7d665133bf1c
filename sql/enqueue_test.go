package sql_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

func TestEnqueue_EachItemHasItsAnswer(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{MaxAttempts: ptr(5)})
	b.deploy("plain", runnel.Config{})
	b.deploy("off", runnel.Config{Enabled: ptr(false)})
	listener := b.session()
	execute(t, listener, `LISTEN "runnel.river_insert"`)
	anon := runnel.Caller{Role: runnel.RoleAnon}
	items := []sql.Enqueue{
		{ID: sql.NewID(), Function: "hello", Trigger: runnel.TriggerHTTP, Event: []byte(`1`), Caller: anon},
		{ID: sql.NewID(), Function: "nobody", Trigger: runnel.TriggerHTTP, Event: []byte(`2`), Caller: anon},
		{ID: sql.NewID(), Function: "plain", Trigger: runnel.TriggerHTTP, Event: []byte(`3`), Caller: anon, Priority: 3},
		{ID: sql.NewID(), Function: "off", Trigger: runnel.TriggerHTTP, Event: []byte(`4`), Caller: anon},
		{ID: sql.NewID(), Function: "hello", Trigger: runnel.TriggerSQL, Event: []byte(`5`), Caller: anon, MaxAttempts: 2},
		{ID: sql.NewID(), Function: "a\x00b", Trigger: runnel.TriggerSQL, Event: []byte(`6`), Caller: anon},
	}
	errs, err := b.db.Enqueue(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []runnel.Code{"", runnel.CodeFunctionNotFound, "", runnel.CodeFunctionNotFound, "", runnel.CodeFunctionNotFound} {
		if (errs[i] == nil) != (want == "") || errs[i] != nil && runnel.CodeOf(errs[i]) != want {
			t.Errorf("item %d: got %v, want %q", i, errs[i], want)
		}
	}
	got := column[string](b, `SELECT concat_ws(' ', j.args ->> 'function', j.max_attempts, j.priority, convert_from(e.event, 'UTF8'))
		FROM runnel.river_job j JOIN runnel.invocation_events e ON e.id = (j.args ->> 'id')::uuid ORDER BY j.id`)
	if want := "[hello 5 1 1 plain 1 3 3 hello 2 1 5]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if n, err := listener.WaitForNotification(t.Context()); err != nil || n.Payload != `{"queue":"functions"}` {
		t.Errorf("notification %+v, %v", n, err)
	}
	if errs, err := b.db.Enqueue(t.Context(), nil); err != nil || errs != nil {
		t.Errorf("nothing to enqueue: %v, %v", errs, err)
	}
	// All refused: no error of the whole.
	if errs, err := b.db.Enqueue(t.Context(), items[1:2]); err != nil || errs[0] == nil {
		t.Errorf("got %v, %v", errs, err)
	}
}

func TestLoad_GivesBackWhatWasEnqueued(t *testing.T) {
	b := setup(t)
	fn := b.deploy("hello", runnel.Config{Environment: &map[string]string{"A": "1", "B": "x"}, AllowedHosts: &[]string{"example.com"}})
	// jsonb would normalise all of these.
	event := []byte(`{"b":1, "a":12345678901234567890.10,"a":"\u0000\ud800"}`)
	claims := []byte(`{"sub":"u", "n":1.0,"n":"\u0000"}`)
	id := b.enqueue(sql.Enqueue{Function: "hello", Event: event, Caller: runnel.Caller{Role: "authenticated", UserID: "u", Claims: claims},
		RequestID: "r", Traceparent: "t", Respond: true})
	a := b.fetch("w")[0]
	load := func(refs ...sql.Ref) map[string]sql.Task {
		t.Helper()
		tasks, err := b.db.Load(t.Context(), refs)
		if err != nil {
			t.Fatal(err)
		}
		return tasks
	}
	ref := sql.Ref{ID: id, CreatedAt: a.createdAt}
	task := load(ref)[id]
	if string(task.Event) != string(event) || string(task.Caller.Claims) != string(claims) {
		t.Errorf("event %s, claims %s", task.Event, task.Caller.Claims)
	}
	if task.ID != id || task.Caller.Role != "authenticated" || task.Caller.UserID != "u" || task.RequestID != "r" || task.Traceparent != "t" || !task.Respond || task.Trigger != runnel.TriggerHTTP {
		t.Errorf("task %+v", task)
	}
	if fmt.Sprintf("%+v", task.Function) != fmt.Sprintf("%+v", fn) {
		t.Errorf("function %+v, want %+v", task.Function, fn)
	}
	if tasks := load(sql.Ref{ID: sql.NewID(), CreatedAt: a.createdAt}, sql.Ref{ID: id, CreatedAt: a.createdAt.Add(time.Second)}); len(tasks) != 0 {
		t.Errorf("got %v for events that are not there", tasks)
	}
	if _, err := b.db.Configure(t.Context(), "hello", runnel.Config{Enabled: ptr(false)}); err != nil {
		t.Fatal(err)
	}
	if task := load(ref)[id]; task.Function.Enabled || task.Function.ID == "" {
		t.Errorf("disabled: %+v", task.Function)
	}
	if err := b.db.Delete(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	if task := load(ref)[id]; task.Function.ID != "" || task.Function.Name != "hello" || string(task.Event) != string(event) || task.Revision != "" {
		t.Errorf("deleted: %+v", task)
	}
}

// Items share a statement; one that is wrong must not take the others down.
func TestEnqueue_WrongItemHarmsNobody(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	good := sql.Enqueue{ID: sql.NewID(), Function: "hello", Trigger: runnel.TriggerHTTP, Event: []byte(`{}`), Caller: runnel.Caller{Role: runnel.RoleAnon}}
	items := []sql.Enqueue{good}
	for _, spoil := range []func(e *sql.Enqueue){
		func(e *sql.Enqueue) { e.ID = "x" },
		func(e *sql.Enqueue) { e.Caller.Role = "postgres" },
		func(e *sql.Enqueue) { e.Caller.Claims = []byte(`{`) },
		func(e *sql.Enqueue) { e.Caller.Claims = []byte("\"\xff\"") },
		func(e *sql.Enqueue) { e.Caller.Claims = []byte(strings.Repeat("[", 9000) + strings.Repeat("]", 9000)) },
		func(e *sql.Enqueue) { e.Trigger = "cosmic ray" },
		func(e *sql.Enqueue) { e.Priority = 5 },
		func(e *sql.Enqueue) { e.MaxAttempts = 26 },
	} {
		e := good
		e.ID = sql.NewID()
		spoil(&e)
		items = append(items, e)
	}
	last := good
	last.ID, last.Event = sql.NewID(), nil
	last.RequestID, last.Traceparent, last.Caller.UserID = "a\x00\xff", "a\x00\xff", "a\x00\xff"
	items = append(items, last)
	errs, err := b.db.Enqueue(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		if i == 0 || i == len(errs)-1 {
			if err != nil {
				t.Errorf("a good item: %v", err)
			}
		} else if runnel.CodeOf(err) != runnel.CodeInvalidRequest {
			t.Errorf("item %d: got %v, want InvalidRequest", i, err)
		}
	}
	if n := get[int](b, `SELECT count(*) FROM runnel.river_job`); n != 2 {
		t.Errorf("%d jobs, want 2", n)
	}
}

// Anyone who may write river_job can write anything into it.
func TestLoadAndSettle_JobWrittenByHand(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	id := b.enqueue(sqlEnqueue("hello"))
	b.exec(`INSERT INTO runnel.river_job (kind, queue, args) VALUES ('invoke', 'functions', '{"id":"\u0027; --"}')`)
	attempts := b.fetch("w")
	tasks, err := b.db.Load(t.Context(), []sql.Ref{{ID: attempts[0].id, CreatedAt: attempts[0].createdAt}, {ID: attempts[1].id, CreatedAt: attempts[1].createdAt}})
	if err != nil || len(tasks) != 1 || tasks[id].ID != id {
		t.Errorf("loaded %v, %v", tasks, err)
	}
	if got := b.settle(attempts[0].settlement(sql.StateCompleted, ""), attempts[1].settlement(sql.StateDiscarded, runnel.CodeInternal)); !got[0] || !got[1] {
		t.Errorf("settled %v", got)
	}
	b.want([]string{"completed 1 t 0", "discarded 1 t 1"}, []string{"1 success", "1 error Internal"})
	if r, err := b.db.Responses(t.Context(), []string{"x", id}); err != nil || len(r) != 0 {
		t.Errorf("responses %v, %v", r, err)
	}
}

// The request's traceparent is what the log has, however the attempt ends; a worker
// gets what its spans belong to beside it.
func TestTraceparents(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	const request, span = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01"
	for _, c := range []struct{ traceparent, span, logged, continued string }{
		{request, span, request, span}, {request, "", request, request}, {"", span, span, span}, {"", "", "", ""},
	} {
		id := sql.NewID()
		if errs, err := b.db.Enqueue(t.Context(), []sql.Enqueue{{ID: id, Function: "hello", Trigger: runnel.TriggerHTTP, Event: []byte(`{}`),
			Caller: runnel.Caller{Role: runnel.RoleAnon}, Traceparent: c.traceparent, Span: c.span}}); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		ref := sql.Ref{ID: id, CreatedAt: get[time.Time](b, `SELECT created_at FROM runnel.river_job WHERE args->>'id' = $1`, id)}
		tasks, err := b.db.Load(t.Context(), []sql.Ref{ref})
		if got := tasks[id]; err != nil || got.Traceparent != c.logged || got.Span != c.continued {
			t.Errorf("%+v: loaded %q and %q, %v", c, got.Traceparent, got.Span, err)
		}
		if _, err := b.db.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if got := get[string](b, `SELECT coalesce(traceparent, '') FROM runnel.function_invocations WHERE id = $1`, id); got != c.logged {
			t.Errorf("%+v: logged %q", c, got)
		}
	}
}
