package jobs_test

import (
	"testing"

	"github.com/runnelhq/runnel/internal/guests"
)

// A fetch commits and its answer is lost: the connection broke.
func TestFUNC_E1_AJobTakenWithoutKnowingIsGivenBack(t *testing.T) {
	h := newHouse(t)
	h.function("hello", guests.Answer(`"hello"`), "")
	h.exec(`SELECT runnel.invoke('hello', max_attempts => 1) FROM generate_series(1, 20)`)
	h.exec(`UPDATE runnel.river_job SET state = 'running', attempt = 1, attempted_at = now() - interval '1 minute', attempted_by = '{elsewhere,w1}'`)
	h.worker("w1", 4)
	h.settledOnce(20)
	if got := one[string](h, `SELECT string_agg(DISTINCT attempt || ' ' || status, ', ') FROM runnel.function_invocations`); got != "1 success" {
		t.Errorf("rows %q, want successes of first attempts: nothing of them had begun", got)
	}
}
