package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/sql"
)

func TestFUNC_T3_ALostNotificationIsMadeGood(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("slow", guests.Sleep(300), "")
	done := make(chan sql.Response, 1)
	go func() { done <- h.mustHTTP("slow", `{}`) }()
	until(h, 1, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`)
	// The listening connection dies while the function runs.
	h.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()`)
	if r := <-done; r.Status != runnel.StatusSuccess || string(r.Result) != "true" {
		t.Errorf("response = %+v", r)
	}
	if r := h.mustHTTP("slow", `{}`); r.Status != runnel.StatusSuccess {
		t.Errorf("after it: %+v", r)
	}
}

func TestFUNC_T3_WaitTimeoutLetsTheRunGoOn(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.function("slow", guests.Sleep(400), "")
	id := sql.NewID()
	_, err := h.invoker.Invoke(t.Context(), sql.Enqueue{ID: id, Function: "slow", Trigger: runnel.TriggerHTTP, Event: []byte(`{}`),
		Caller: runnel.Caller{Role: runnel.RoleAnon}}, time.Millisecond)
	if runnel.CodeOf(err) != runnel.CodeWaitTimeout {
		t.Fatalf("err = %v", err)
	}
	h.settledOnce(1)
	if rows := h.rows(id); len(rows) != 1 || rows[0].Status != runnel.StatusSuccess {
		t.Errorf("rows = %+v", rows)
	}
}

// A connection that breaks leaves it open whether the invocation was enqueued.
func TestFUNC_T3_AnEnqueueInDoubtSaysSo(t *testing.T) {
	h := newHouse(t)
	h.function("hello", guests.Answer(`"hello"`), "")
	h.exec(`CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
		CREATE TRIGGER cut AFTER INSERT ON runnel.river_job EXECUTE FUNCTION cut()`)
	r, err := h.http("hello", `{}`)
	if err == nil || runnel.CodeOf(err) != runnel.CodeUnavailable || !strings.Contains(err.Error(), "may or may not") {
		t.Errorf("a cut connection ended with %+v, %v", r, err)
	}
}
