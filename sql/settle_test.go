package sql_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

func (b *bundle) settle(batch ...sql.Settlement) []bool {
	b.Helper()
	settled, err := b.db.Settle(b.Context(), batch)
	if err != nil {
		b.Fatal(err)
	}
	return settled
}

// jobs is state, attempts and errors of all jobs.
func (b *bundle) jobs() []string {
	b.Helper()
	return column[string](b, `SELECT concat_ws(' ', state, attempt, finalized_at IS NOT NULL, coalesce(cardinality(errors), 0)) FROM runnel.river_job ORDER BY id`)
}

// log is attempt, status and code of all log rows.
func (b *bundle) log() []string {
	b.Helper()
	return column[string](b, `SELECT concat_ws(' ', attempt, status, error_code) FROM runnel.function_invocations ORDER BY job_id, attempt`)
}

func (b *bundle) want(jobs, log []string) {
	b.Helper()
	if got := b.jobs(); !slices.Equal(got, jobs) {
		b.Errorf("jobs %q, want %q", got, jobs)
	}
	if got := b.log(); !slices.Equal(got, log) {
		b.Errorf("log %q, want %q", got, log)
	}
}

func TestFUNC_E1_EverySettlementHasItsRow(t *testing.T) {
	b := setup(t)
	fn := b.deploy("hello", runnel.Config{MaxAttempts: ptr(3)})
	for range 4 {
		b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`)})
	}
	a := b.fetch("w")
	retry := a[1].settlement(sql.StateRetryable, runnel.CodeFunctionError)
	retry.RetryIn = time.Hour
	full := a[0].settlement(sql.StateCompleted, "")
	started := time.Now().Add(-time.Second).Truncate(time.Microsecond)
	full.Row = runnel.Invocation{
		ID: a[0].id, FunctionID: fn.ID, FunctionName: "hello", Version: 1, WasmHash: fn.WasmHash, Trigger: runnel.TriggerHTTP, Status: runnel.StatusSuccess,
		UserID: "u", Role: "authenticated", DurationMS: 12.5, QueueMS: 1.25, MemoryPeak: 65536, Fuel: 99,
		Environment: map[string]string{"API_KEY": "***REDACTED***"},
		Logs:        []runnel.LogLine{{T: started, Level: "info", Message: "hi"}},
		Result:      json.RawMessage(`{"ok":true}`), RequestID: "r", Traceparent: "00-1-2-3", StartedAt: &started, FinishedAt: started.Add(time.Millisecond),
	}
	if got := b.settle(full, retry, a[2].settlement(sql.StateDiscarded, runnel.CodeTimeout), a[3].settlement(sql.StateCancelled, runnel.CodeCancelled)); fmt.Sprint(got) != "[true true true true]" {
		t.Errorf("settled %v", got)
	}
	b.want([]string{"completed 1 t 0", "retryable 1 f 1", "discarded 1 t 1", "cancelled 1 t 1"},
		[]string{"1 success", "1 error FunctionError", "1 timeout Timeout", "1 cancelled Cancelled"})

	rows, err := b.db.Invocation(t.Context(), a[0].id)
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	want := full.Row
	want.JobID, want.Attempt, want.CreatedAt = a[0].job, 1, a[0].createdAt
	want.Result = json.RawMessage(`{"ok": true}`)
	got, _ := json.Marshal(rows[0])
	if expect, _ := json.Marshal(want); string(got) != string(expect) {
		// Times differ in their location only.
		var x, y map[string]any
		json.Unmarshal(got, &x)
		json.Unmarshal(expect, &y)
		for k := range y {
			if tx, err := time.Parse(time.RFC3339Nano, fmt.Sprint(x[k])); err == nil {
				if ty, _ := time.Parse(time.RFC3339Nano, fmt.Sprint(y[k])); tx.Equal(ty) {
					continue
				}
			}
			if k != "logs" && !reflect.DeepEqual(x[k], y[k]) {
				t.Errorf("%s is %v, want %v", k, x[k], y[k])
			}
		}
	}
	if l := rows[0].Logs; len(l) != 1 || !l[0].T.Equal(started) || l[0].Message != "hi" || l[0].Level != "info" {
		t.Errorf("logs %+v", l)
	}
	if !get[bool](b, `SELECT scheduled_at BETWEEN now() + interval '59 minutes' AND now() + interval '61 minutes' FROM runnel.river_job WHERE state = 'retryable'`) {
		t.Error("the retry is not in an hour")
	}
	if got := get[string](b, `SELECT errors[1] - 'at' FROM runnel.river_job WHERE state = 'discarded'`); got != `{"error": "Timeout: it failed", "trace": "", "attempt": 1}` {
		t.Errorf("River's error is %s", got)
	}
	at := get[string](b, `SELECT errors[1] ->> 'at' FROM runnel.river_job WHERE state = 'discarded'`)
	if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
		t.Errorf("River cannot read the error's time: %v", err)
	}
}

func TestFUNC_F3_SettlingTwiceIsANoOp(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Respond: true})
	a := b.fetch("w")[0]
	first := a.settlement(sql.StateCompleted, "")
	first.Respond, first.Response = true, []byte(`1`)
	if got := b.settle(first, first); fmt.Sprint(got) != "[true false]" && fmt.Sprint(got) != "[false true]" {
		t.Errorf("the same attempt twice in a batch: %v", got)
	}
	second := a.settlement(sql.StateDiscarded, runnel.CodeTimeout)
	second.Respond, second.Response = true, []byte(`2`)
	if got := b.settle(second); got[0] {
		t.Error("a settled attempt was settled again")
	}
	b.want([]string{"completed 1 t 0"}, []string{"1 success"})
	if r, err := b.db.Responses(t.Context(), []string{a.id}); err != nil || string(r[a.id].Result) != "1" {
		t.Errorf("the response is %v, %v", r, err)
	}
}

func TestFUNC_F3_StaleAttemptIsRefused(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{MaxAttempts: ptr(3)})
	for range 3 {
		b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`)})
	}
	a := b.fetch("w")
	// Another worker has the second job's next attempt.
	b.settle(a[1].settlement(sql.StateRetryable, runnel.CodeFunctionError))
	next := b.fetch("v")
	if len(next) != 1 || next[0].number != 2 {
		t.Fatalf("fetched %+v", next)
	}
	got := b.settle(a[0].settlement(sql.StateCompleted, ""), a[1].settlement(sql.StateCompleted, ""), a[2].settlement(sql.StateCompleted, ""))
	if fmt.Sprint(got) != "[true false true]" {
		t.Errorf("settled %v, want the second refused", got)
	}
	b.want([]string{"completed 1 t 0", "running 2 f 1", "completed 1 t 0"}, []string{"1 success", "1 error FunctionError", "1 success"})
	b.settle(next[0].settlement(sql.StateCompleted, ""))
	if got := b.log(); len(got) != 4 {
		t.Errorf("log %q, want a row for each of four attempts", got)
	}
}

func TestFUNC_F3_SettlersRace(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	for range 50 {
		b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`)})
	}
	a := b.fetch("w")
	var mu sync.Mutex
	wins := 0
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 0; i < len(a); i += 10 {
				var batch []sql.Settlement
				for _, a := range a[i : i+10] {
					batch = append(batch, a.settlement(sql.StateCompleted, ""))
				}
				settled, err := b.db.Settle(t.Context(), batch)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, ok := range settled {
					if ok {
						wins++
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if n := len(b.log()); wins != 50 || n != 50 {
		t.Errorf("%d settled, %d rows; want 50 of each", wins, n)
	}
}

func TestSettle_CancelledJobIsNotRetried(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{MaxAttempts: ptr(3)})
	b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Respond: true})
	a := b.fetch("w")[0]
	b.exec(`UPDATE runnel.river_job SET metadata = '{"cancel_attempted_at":"2026-01-01T00:00:00Z"}'`) // as River's JobCancel
	s := a.settlement(sql.StateRetryable, runnel.CodeFunctionError)
	s.Respond, s.RetryIn = true, time.Hour
	b.settle(s)
	b.want([]string{"cancelled 1 t 1"}, []string{"1 error FunctionError"})
	if r, err := b.db.Responses(t.Context(), []string{a.id}); err != nil || r[a.id].Code != runnel.CodeFunctionError {
		t.Errorf("the waiter gets %v, %v", r, err)
	}
}

func TestSettle_RespondsWhenFinal(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{MaxAttempts: ptr(2)})
	raw := []byte("{\"b\":1,\"a\":2,\"a\":\"\\u0000\"}")
	waited := b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Respond: true})
	alone := b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`)})

	heard := make(chan []string, 10)
	listening := make(chan struct{})
	ctx, stop := contextWithCancel(t)
	done := make(chan error, 1)
	go func() {
		done <- b.db.ListenDone(ctx, func(ids []string) {
			if ids == nil {
				close(listening)
				return
			}
			heard <- ids
		})
	}()
	<-listening

	a := b.fetch("w")
	retry := a[0].settlement(sql.StateRetryable, runnel.CodeTimeout)
	retry.Respond = true
	b.settle(retry, a[1].settlement(sql.StateCompleted, ""))
	if r, err := b.db.Responses(t.Context(), []string{waited, alone}); err != nil || len(r) != 0 {
		t.Errorf("responses %v, %v before the last attempt", r, err)
	}
	last := b.fetch("w")[0].settlement(sql.StateCompleted, "")
	last.Respond, last.Response = true, raw
	last.Row.Result = raw
	b.settle(last)
	if ids := <-heard; !reflect.DeepEqual(ids, []string{waited}) {
		t.Errorf("heard %v, want %s", ids, waited)
	}
	r, err := b.db.Responses(t.Context(), []string{waited, alone, sql.NewID()})
	if err != nil || len(r) != 1 || string(r[waited].Result) != string(raw) || r[waited].Status != runnel.StatusSuccess || r[waited].Code != "" {
		t.Errorf("got %+v, %v", r, err)
	}
	stop()
	if err := <-done; err == nil || ctx.Err() == nil {
		t.Errorf("ListenDone ended with %v", err)
	}
	if rows, err := b.db.Invocation(t.Context(), waited); err != nil || rows[1].Result != nil {
		t.Errorf("a result that jsonb cannot hold was kept: %v, %v", rows, err)
	}
}

// A notification holds less than 8000 bytes.
func TestSettle_NotifiesLargeBatches(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	var items []sql.Enqueue
	for range 450 {
		items = append(items, sql.Enqueue{ID: sql.NewID(), Function: "hello", Event: []byte(`{}`), Trigger: runnel.TriggerHTTP, Caller: runnel.Caller{Role: "anon"}, Respond: true})
	}
	if _, err := b.db.Enqueue(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	execute(t, b.conn, `LISTEN runnel_done`)
	var batch []sql.Settlement
	for _, a := range b.fetch("w") {
		s := a.settlement(sql.StateCompleted, "")
		s.Respond = true
		batch = append(batch, s)
	}
	b.settle(batch...)
	ids := map[string]bool{}
	for len(ids) < 450 {
		n, err := b.conn.WaitForNotification(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range strings.Split(n.Payload, ",") {
			ids[id] = true
		}
	}
	for _, e := range items {
		if !ids[e.ID] {
			t.Fatalf("%s was not told", e.ID)
		}
	}
}

// What a guest can put into its texts must never fail the batch of others.
func TestSettle_StoresWhatAGuestCanSay(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	results := []string{
		``, `null`, `"plain"`, `"\u0000"`, `"\ud800"`, `"\udc00\ud800"`, `"\ud83d\ude00"`, `"\\u0000"`, `{"\u0000":1}`,
		`1e999999`, `1e131071`, `-1e-20000`, `1e308`, `12345678901234567890`, `0.` + strings.Repeat("1", 20000),
		strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "\"\xff\"", `not json`, `{} {}`, `"` + strings.Repeat("x", runnel.MaxKeptResult) + `"`,
		`{"a":1,"a":2}`, `"\/\b\f\n\r\t\""`,
	}
	kept := map[string]bool{`null`: true, `"plain"`: true, `"\ud83d\ude00"`: true, `"\\u0000"`: true, `1e308`: true, `12345678901234567890`: true, `{"a":1,"a":2}`: true, `"\/\b\f\n\r\t\""`: true}
	for range results {
		b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`)})
	}
	var batch []sql.Settlement
	attempts := b.fetch("w")
	for i, result := range results {
		s := attempts[i].settlement(sql.StateDiscarded, runnel.CodeFunctionError)
		nasty := "a\x00b\xff\u2028\\u0000"
		s.Row.Result = []byte(result)
		s.Row.ErrorMessage, s.Row.UserID, s.Row.RequestID, s.Row.Traceparent, s.Row.FunctionName = nasty, nasty, nasty, nasty, nasty
		s.Row.Logs = []runnel.LogLine{{Level: nasty, Message: nasty}}
		s.Row.Environment = map[string]string{nasty: nasty}
		batch = append(batch, s)
	}
	for i, ok := range b.settle(batch...) {
		if !ok {
			t.Errorf("result %.40s was not settled", results[i])
		}
	}
	for i, result := range results {
		rows, err := b.db.Invocation(t.Context(), attempts[i].id)
		if err != nil {
			t.Fatal(err)
		}
		if got := rows[0].Result != nil; got != kept[result] {
			t.Errorf("result %.40s: kept %v, want %v", result, got, kept[result])
		}
		if want := "a\uFFFDb\uFFFD\u2028\\u0000"; rows[0].Logs[0].Message != want || rows[0].ErrorMessage != want || rows[0].Environment[want] != want {
			t.Errorf("texts are %+v", rows[0])
		}
	}
}

// One row that the database refuses fails the batch without a trace, and says so.
func TestSettle_PoisonRow(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	for range 2 {
		b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`)})
	}
	a := b.fetch("w")
	poison := a[1].settlement(sql.StateCompleted, "")
	poison.Row.Status = "unheard of"
	good := a[0].settlement(sql.StateCompleted, "")
	_, err := b.db.Settle(t.Context(), []sql.Settlement{good, poison})
	if !sql.Refused(err) || runnel.CodeOf(err) != runnel.CodeInternal {
		t.Errorf("got %v", err)
	}
	b.want([]string{"running 1 f 0", "running 1 f 0"}, nil)
	if got := b.settle(good); !got[0] {
		t.Error("the good row alone was not settled")
	}
	cancelled, stop := contextWithCancel(t)
	stop()
	if _, err := b.db.Settle(cancelled, []sql.Settlement{good}); err == nil || sql.Refused(err) {
		t.Errorf("a cancelled context: %v must not blame the data", err)
	}
	if settled, err := b.db.Settle(t.Context(), nil); err != nil || settled != nil {
		t.Errorf("nothing to settle: %v, %v", settled, err)
	}
}

func TestHandBack_IsNotAnAttempt(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Respond: true})
	listener := b.session()
	execute(t, listener, `LISTEN "runnel.river_insert"`)
	a := b.fetch("w")[0]
	if err := b.db.HandBack(t.Context(), a.job, a.number); err != nil {
		t.Fatal(err)
	}
	if _, err := listener.WaitForNotification(t.Context()); err != nil {
		t.Error(err)
	}
	b.want([]string{"available 0 f 0"}, nil)
	if got := b.settle(a.settlement(sql.StateCompleted, "")); got[0] {
		t.Error("an attempt that was handed back was settled")
	}
	again := b.fetch("v")[0]
	if err := b.db.HandBack(t.Context(), a.job, a.number+1); err != nil {
		t.Fatal(err)
	}
	b.want([]string{"running 1 f 0"}, nil)
	b.exec(`UPDATE runnel.river_job SET metadata = '{"cancel_attempted_at":"x"}'`)
	if err := b.db.HandBack(t.Context(), again.job, again.number); err != nil {
		t.Fatal(err)
	}
	b.want([]string{"cancelled 1 t 0"}, []string{"1 cancelled Cancelled"})
}
