package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/jobs"
)

func TestFUNC_I2_EveryLimitHasItsCode(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("hello", guests.Answer(`"hello"`), "")
	tests := []struct {
		name   string
		wasm   []byte
		status runnel.Status
		code   runnel.Code
	}{
		{"spin", guests.Spin(), runnel.StatusTimeout, runnel.CodeTimeout},
		{"sleep", guests.Sleep(60_000), runnel.StatusTimeout, runnel.CodeTimeout},
		{"recurse", guests.Recurse(), runnel.StatusError, runnel.CodeStackOverflow},
		{"grow", guests.Grow(), runnel.StatusOutOfMemory, runnel.CodeOutOfMemory},
		{"pages", guests.Pages(2000), runnel.StatusOutOfMemory, runnel.CodeOutOfMemory},
		{"trap", guests.Trap(), runnel.StatusError, runnel.CodeFunctionError},
		{"exit", guests.Exit(3, "bad order\n"), runnel.StatusError, runnel.CodeFunctionError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limits := `{"timeout":"20s","max_memory":"16MB"}` // not what ends it, even on a starved machine
			if tt.code == runnel.CodeTimeout {
				limits = `{"timeout":"300ms","max_memory":"16MB"}`
			}
			h.function(tt.name, tt.wasm, limits)
			r := h.mustHTTP(tt.name, `{}`)
			if r.Status != tt.status || r.Code != tt.code || r.Message == "" {
				t.Errorf("response = %+v, want %s %s and a message", r, tt.status, tt.code)
			}
			rows := h.rows(r.ID)
			if len(rows) != 1 || rows[0].ErrorCode != tt.code || rows[0].MemoryPeak > 16<<20 {
				t.Errorf("rows = %+v", rows)
			}
			if hello := h.mustHTTP("hello", `{}`); string(hello.Result) != `"hello"` {
				t.Errorf("the next invocation: %+v", hello)
			}
		})
	}
	if state := one[string](h, `SELECT string_agg(DISTINCT state::text, ',') FROM runnel.river_job WHERE args->>'function' <> 'hello'`); state != "discarded" {
		t.Errorf("failed jobs are %s in River, want discarded", state)
	}
}

func TestFUNC_I4_ARunawayCrowdLeavesTheWorkerWell(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 128)
	h.function("spin", guests.Spin(), `{"timeout":"1s"}`)
	h.function("hello", guests.Answer(`"hello"`), "")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if r := h.mustHTTP("spin", `{}`); r.Code != runnel.CodeTimeout {
				t.Errorf("runaway: %+v", r)
			}
		})
	}
	for range 20 {
		if r := h.mustHTTP("hello", `{}`); r.Status != runnel.StatusSuccess {
			t.Errorf("hello beside the crowd: %+v", r)
		}
	}
	wg.Wait()
	h.settledOnce(120)
}

func TestFUNC_E2_ParallelInvocationsAreFresh(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 256)
	h.function("counter", guests.Counter(), "")
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if r := h.mustHTTP("counter", `{}`); string(r.Result) != "1" {
				t.Errorf("an instance was called before: %+v %s", r, r.Result)
			}
		})
	}
	wg.Wait()
	h.settledOnce(1000)
}

func TestFUNC_I5_TamperedModuleIsRefused(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 2)
	h.function("hello", guests.Answer(`"hello"`), "")
	if r := h.mustHTTP("hello", `{}`); r.Status != runnel.StatusSuccess {
		t.Fatalf("before: %+v", r)
	}
	// A superuser takes the constraint away and changes the code in place. The
	// worker has the honest module compiled; it must not matter.
	h.exec(`DO $$ DECLARE c name; BEGIN
		FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = 'runnel.modules'::regclass AND contype = 'c' LOOP
			EXECUTE format('ALTER TABLE runnel.modules DROP CONSTRAINT %I', c);
		END LOOP; END $$`)
	h.exec(`UPDATE runnel.modules SET wasm_bytes = $1`, guests.Answer(`"pwned"`))
	r := h.mustHTTP("hello", `{}`)
	if r.Code != runnel.CodeHashMismatch || len(r.Result) != 0 {
		t.Errorf("after: %+v", r)
	}
}

func TestFUNC_S1_SecretsOfTheEnvironmentAreRedacted(t *testing.T) {
	const secret = "sk-live-0123456789abcdef"
	h := newHouse(t)
	h.worker("w1", 2)
	h.function("tell", guests.Tell("API_KEY"), fmt.Sprintf(`{"environment":{"API_KEY":%q,"ENV":"production"}}`, secret))
	h.function("leak", guests.Exit(1, "no answer from https://api.example.com/?key="+secret+"\n"),
		fmt.Sprintf(`{"environment":{"API_KEY":%q}}`, secret))
	told, leaked := h.mustHTTP("tell", `{}`), h.mustHTTP("leak", `{}`)
	if strings.Contains(leaked.Message, secret) {
		t.Errorf("the HTTP error tells the secret: %s", leaked.Message)
	}
	row := h.rows(told.ID)[0]
	if row.Environment["API_KEY"] != "***REDACTED***" || row.Environment["ENV"] != "production" {
		t.Errorf("environment of the row = %v", row.Environment)
	}
	if len(row.Logs) != 1 || row.Logs[0].Message != "***REDACTED***" {
		t.Errorf("logs = %+v", row.Logs)
	}
	for _, table := range []string{"function_invocations", "river_job", "invocation_events", "invocation_responses"} {
		if n := one[int](h, `SELECT count(*)::int FROM runnel.`+table+` x WHERE x::text LIKE '%' || $1 || '%'`, secret); n != 0 {
			t.Errorf("%d rows of %s tell the secret", n, table)
		}
	}
}

func TestRetriesUntilTheLastAttempt(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 2)
	h.function("trap", guests.Trap(), "")
	id := one[string](h, `SELECT runnel.invoke('trap', max_attempts => 2)::text`)
	until(h, 2, `SELECT count(*)::int FROM runnel.function_invocations WHERE id = $1::uuid`, id)
	rows := h.rows(id)
	for i, r := range rows {
		if r.Attempt != i+1 || r.Status != runnel.StatusError || r.ErrorCode != runnel.CodeFunctionError {
			t.Errorf("attempt %d: %+v", i+1, r)
		}
	}
	h.settledOnce(1)
	if state := one[string](h, `SELECT state::text || ' ' || cardinality(errors) FROM runnel.river_job`); state != "discarded 2" {
		t.Errorf("job is %s, want discarded with 2 errors", state)
	}
}

func TestFUNC_E1_DeletedAndDisabledFunctionsAreSkippedWithARow(t *testing.T) {
	h := newHouse(t)
	h.function("gone", guests.Echo(), "")
	h.function("off", guests.Echo(), "")
	h.exec(`SELECT runnel.invoke('gone')`)
	h.exec(`SELECT runnel.invoke('off')`)
	if err := h.db.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	off := false
	if _, err := h.db.Configure(t.Context(), "off", runnel.Config{Enabled: &off}); err != nil {
		t.Fatal(err)
	}
	h.worker("w1", 2)
	h.settledOnce(2)
	if got := one[string](h, `SELECT string_agg(function_name || ' ' || status || ' ' || error_code, ', ' ORDER BY function_name) FROM runnel.function_invocations`); got != "gone skipped FunctionNotFound, off skipped FunctionNotFound" {
		t.Errorf("rows: %s", got)
	}
	if _, err := h.http("off", `{}`); runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
		t.Errorf("invoking a disabled function: %v", err)
	}
}

func TestFUNC_E1_StopSettlesWhatRuns(t *testing.T) {
	h := newHouse(t)
	w := h.worker("w1", 4)
	h.function("sleep", guests.Sleep(60_000), `{"timeout":"120s"}`)
	h.exec(`SELECT runnel.invoke('sleep', max_attempts => 1) FROM generate_series(1, 3)`)
	until(h, 3, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	if err := w.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	// Stop has returned: the rows are there, no sweep needed.
	if got := one[string](h, `SELECT string_agg(status || ' ' || error_code, ', ') FROM runnel.function_invocations`); got != "lost WorkerLost, lost WorkerLost, lost WorkerLost" {
		t.Errorf("rows: %s", got)
	}
	h.settledOnce(3)
}

func TestCancelFromRiverStopsTheSandbox(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("spin", guests.Spin(), `{"timeout":"120s"}`)
	h.exec(`SELECT runnel.invoke('spin')`)
	until(h, 1, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`)
	client, err := jobs.NewRiverClient(h.db, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.JobCancel(t.Context(), one[int64](h, `SELECT id FROM runnel.river_job`)); err != nil {
		t.Fatal(err)
	}
	h.settledOnce(1)
	if got := one[string](h, `SELECT i.status || ' ' || j.state FROM runnel.function_invocations i JOIN runnel.river_job j ON j.id = i.job_id`); got != "cancelled cancelled" {
		t.Errorf("row and job are %s", got)
	}
}
