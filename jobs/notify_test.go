package jobs_test

import (
	"testing"
	"time"

	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/jobs"
)

// The canary of notify.go: forged commands do nothing, while real ones work.
func TestFUNC_I3_NotificationsCarryNoAuthority(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("sleep", guests.Sleep(3000), "")
	h.function("hello", guests.Answer(`"hello"`), "")
	h.exec(`SELECT runnel.invoke('sleep')`)
	until(h, 1, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`)
	h.exec(`SELECT pg_notify('runnel.river_control', format('{"action":"cancel","job_id":%s,"queue":"functions"}', id)) FROM runnel.river_job`)
	h.exec(`SELECT pg_notify('runnel.river_control', '{"action":"pause","queue":"*"}')`)
	h.exec(`SELECT pg_notify('runnel.river_leadership', '{"action":"request_resign"}')`)
	if r := h.mustHTTP("hello", `{}`); string(r.Result) != `"hello"` {
		t.Errorf("after a forged pause: %+v", r)
	}
	h.settledOnce(2)
	if got := one[string](h, `SELECT status FROM runnel.function_invocations WHERE function_name = 'sleep'`); got != "success" {
		t.Errorf("after a forged cancel: %s", got)
	}
}

func TestPauseAndResumeFromRiver(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("hello", guests.Answer(`"hello"`), "")
	client, err := jobs.NewRiverClient(h.db, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.QueuePause(t.Context(), "functions", nil); err != nil {
		t.Fatal(err)
	}
	// Paused once an invocation is not taken; one that is was too early.
	deadline := time.Now().Add(10 * time.Second)
	for one[int](h, `WITH i AS (SELECT runnel.invoke('hello')) SELECT 1 FROM i`) == 1 {
		time.Sleep(500 * time.Millisecond)
		if one[bool](h, `SELECT EXISTS (SELECT FROM runnel.river_job WHERE state = 'available')`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the queue was not paused within 10 s")
		}
	}
	if err := client.QueueResume(t.Context(), "functions", nil); err != nil {
		t.Fatal(err)
	}
	until(h, false, `SELECT EXISTS (SELECT FROM runnel.river_job WHERE finalized_at IS NULL)`)
}
