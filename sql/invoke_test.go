package sql_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/runnelhq/runnel"
)

func TestInvoke_EnqueuesOneJob(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	listener := b.session()
	execute(t, listener, `LISTEN "runnel.river_insert"`)
	id := get[string](b, `SELECT runnel.invoke('hello', '{"b":1,"a":[1,2]}')::text`)
	n, err := listener.WaitForNotification(t.Context())
	if err != nil || n.Payload != `{"queue":"functions"}` {
		t.Errorf("notification %+v, %v", n, err)
	}
	job := get[string](b, `SELECT concat_ws('|', kind, queue, state, tags::text, args, max_attempts, priority, attempt) FROM runnel.river_job`)
	if want := `invoke|functions|available|{hello,sql}|{"id": "` + id + `", "function": "hello"}|3|1|0`; job != want {
		t.Errorf("job %s, want %s", job, want)
	}
	event := get[string](b, `SELECT convert_from(event, 'UTF8') FROM runnel.invocation_events WHERE id = $1`, id)
	if want := `{"trigger":"sql","payload":{"a": [1, 2], "b": 1}}`; event != want {
		t.Errorf("event %s, want %s", event, want)
	}
}

func TestInvoke_Options(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{MaxAttempts: ptr(9)})
	for _, c := range []struct{ call, want string }{
		{`'hello'`, `available|9|1|null`},
		{`'hello', NULL`, `available|9|1|null`},
		{`'hello', run_at => now() + interval '1 hour'`, `scheduled|9|1|null`},
		{`'hello', run_at => now() - interval '1 hour'`, `available|9|1|null`},
		{`'hello', '"x"', max_attempts => 25, priority => 4`, `available|25|4|"x"`},
	} {
		b.exec(`TRUNCATE runnel.river_job, runnel.invocation_events`)
		b.exec(`SELECT runnel.invoke(` + c.call + `)`)
		got := get[string](b, `SELECT concat_ws('|', state, max_attempts, priority, convert_from(event, 'UTF8')::json -> 'payload') FROM runnel.river_job, runnel.invocation_events`)
		if got != c.want {
			t.Errorf("invoke(%s): got %s, want %s", c.call, got, c.want)
		}
		if !get[bool](b, `SELECT scheduled_at >= created_at FROM runnel.river_job`) {
			t.Errorf("invoke(%s) may overtake older jobs", c.call)
		}
	}
}

func TestInvoke_Refusals(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.deploy("off", runnel.Config{Enabled: ptr(false)})
	b.refuses("42704", "function nobody does not exist", `SELECT runnel.invoke('nobody')`)
	b.refuses("42704", "function off is disabled", `SELECT runnel.invoke('off')`)
	b.refuses("42704", "function NULL does not exist", `SELECT runnel.invoke(NULL)`)
	for _, priority := range []string{"0", "5", "-1"} {
		b.refuses("22023", "priority must be 1 to 4", `SELECT runnel.invoke('hello', priority => `+priority+`)`)
	}
	for _, attempts := range []string{"0", "26", "-1"} {
		b.refuses("22023", "max_attempts must be 1 to 25", `SELECT runnel.invoke('hello', max_attempts => `+attempts+`)`)
	}
	for _, at := range []string{"'infinity'", "'-infinity'", "NULL", "'10000-01-01'"} {
		b.refuses("22023", "run_at must be a time", `SELECT runnel.invoke('hello', run_at => `+at+`)`)
	}
	b.refuses("22023", "idempotency_key must be 1 to 255 bytes", `SELECT runnel.invoke('hello', idempotency_key => '')`)
	b.refuses("22023", "idempotency_key must be 1 to 255 bytes", `SELECT runnel.invoke('hello', idempotency_key => repeat('x', 256))`)
	b.refuses("54000", "at most 6 MB", `SELECT runnel.invoke('hello', to_jsonb(repeat('x', 6291456)))`)
	if n := len(b.events()); n != 0 {
		t.Errorf("refused calls made %d jobs", n)
	}
}

func TestInvoke_Caller(t *testing.T) {
	b := setup(t)
	b.deploy("plain", runnel.Config{})
	b.deploy("trusted", runnel.Config{CanBypassRLS: ptr(true)})
	app := b.login("app")
	for _, role := range []string{"anon", "authenticated", "service_role"} {
		b.exec(`DO $$ BEGIN CREATE ROLE ` + role + `; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$`)
	}
	b.exec(`GRANT anon, authenticated, service_role TO ` + app)
	b.exec(`GRANT USAGE ON SCHEMA runnel TO ` + app + `, anon, authenticated, service_role`)
	b.exec(`GRANT EXECUTE ON FUNCTION runnel.invoke TO ` + app + `, anon, authenticated, service_role`)
	conn := connect(t, b.as(app))
	deep := strings.Repeat("[", 100000)
	for _, c := range []struct{ role, claims, function, want string }{
		{"none", ``, "plain", `anon||`},
		{"none", ``, "trusted", `service_role||`},
		{"anon", ``, "trusted", `anon||`},
		{"service_role", ``, "plain", `service_role||`},
		{"authenticated", `{"sub":"u1","role":"service_role"}`, "plain", `authenticated|u1|{"sub":"u1","role":"service_role"}`},
		{"authenticated", `{"sub":7}`, "plain", `authenticated|7|{"sub":7}`},
		{"authenticated", `not json`, "plain", `authenticated||`},
		{"authenticated", `["u1"]`, "plain", `authenticated||`},
		{"authenticated", `{"sub":"a\u0000b"}`, "plain", `authenticated||`},
		{"authenticated", deep, "plain", `authenticated||`},
	} {
		b.exec(`TRUNCATE runnel.river_job, runnel.invocation_events`)
		execute(t, conn, `SET ROLE `+c.role)
		execute(t, conn, `SELECT set_config('request.jwt.claims', $1, false)`, c.claims)
		execute(t, conn, `SELECT runnel.invoke($1)`, c.function)
		got := get[string](b, `SELECT role || '|' || coalesce(user_id, '') || '|' || coalesce(claims::text, '') FROM runnel.invocation_events`)
		if got != c.want {
			t.Errorf("%s calling %s with claims %.40s: got %s, want %s", c.role, c.function, c.claims, got, c.want)
		}
	}
}

func TestInvoke_IdempotencyKey(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.deploy("other", runnel.Config{})
	invoke := func(fn, key string) string {
		t.Helper()
		return get[string](b, `SELECT runnel.invoke($1, idempotency_key => $2)::text`, fn, key)
	}
	first := invoke("hello", "k")
	if again := invoke("hello", "k"); again != first {
		t.Errorf("the same key answered %s, then %s", first, again)
	}
	if invoke("hello", "l") == first || invoke("other", "k") == first {
		t.Error("another key or function answered the same id")
	}
	if n := len(b.events()); n != 3 {
		t.Errorf("%d jobs, want 3", n)
	}
	b.exec(`UPDATE runnel.idempotency_keys SET created_at = now() - interval '24 hours' WHERE key = 'k'`)
	if again := invoke("hello", "k"); again == first || invoke("hello", "k") != again {
		t.Error("a key of yesterday is not free again, once")
	}
}

func TestInvoke_IdempotencyKeyUnderConcurrency(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})

	// The first transaction rolls back: the second, which waited, is the first.
	b.exec(`BEGIN`)
	lost := get[string](b, `SELECT runnel.invoke('hello', idempotency_key => 'k')::text`)
	second := b.session()
	pid := second.PgConn().PID()
	done := make(chan string)
	go func() {
		var id string
		if err := second.QueryRow(t.Context(), `SELECT runnel.invoke('hello', idempotency_key => 'k')::text`).Scan(&id); err != nil {
			id = err.Error()
		}
		done <- id
	}()
	for !get[bool](b, `SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)`, pid) {
	}
	b.exec(`ROLLBACK`)
	if id := <-done; id == lost || !v7.MatchString(id) {
		t.Errorf("the waiting call answered %s", id)
	}

	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		conn := b.session()
		wg.Go(func() {
			if err := conn.QueryRow(t.Context(), `SELECT runnel.invoke('hello', idempotency_key => 'many')::text`).Scan(&ids[i]); err != nil {
				ids[i] = err.Error()
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || !v7.MatchString(id) {
			t.Errorf("answers differ: %v", ids)
			break
		}
	}
	if n := len(b.events()); n != 2 {
		t.Errorf("%d jobs, want 2", n)
	}
}

// Every way in makes a job of the same shape.
func TestJobs_LookTheSameFromEveryTrigger(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{MaxAttempts: ptr(4)})
	b.exec(`CREATE TABLE orders (id int); SELECT runnel.create_trigger('orders', 'hello');`)
	b.exec(`INSERT INTO orders VALUES (1)`)
	b.exec(`SELECT runnel.invoke('hello')`)
	b.enqueue(sqlEnqueue("hello"))
	b.exec(`SELECT runnel.schedule('s', '@hourly', 'hello')`)
	if fired, _, err := b.db.SweepSchedules(t.Context(), fireNow); err != nil || fired != 1 {
		t.Fatal(fired, err)
	}
	got := column[string](b, `
		SELECT concat_ws('|', j.kind, j.queue, j.state, j.max_attempts, j.priority, j.tags[1], j.metadata::text,
		  (SELECT string_agg(k, ',' ORDER BY k) FROM jsonb_object_keys(j.args) k), j.args ->> 'function', cardinality(j.tags),
		  j.created_at = e.created_at, j.tags[2] = e.trigger, e.function_name)
		FROM runnel.river_job j JOIN runnel.invocation_events e ON e.id = (j.args ->> 'id')::uuid`)
	if len(got) != 4 {
		t.Fatalf("%d jobs, want 4", len(got))
	}
	for _, job := range got {
		if want := `invoke|functions|available|4|1|hello|{}|function,id|hello|2|t|t|hello`; job != want {
			t.Errorf("got %s, want %s", job, want)
		}
	}
	if tags := column[string](b, `SELECT tags[2] FROM runnel.river_job ORDER BY id`); fmt.Sprint(tags) != "[database sql http schedule]" {
		t.Errorf("triggers: %v", tags)
	}
}
