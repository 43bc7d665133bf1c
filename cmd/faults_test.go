package cmd_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/runnelhq/runnel/internal/guests"
)

func TestFUNC_E1_SigtermUnderLoad(t *testing.T) {
	s := newSystem(t)
	s.api()
	first := s.worker()
	s.deploy("quick", guests.Answer(`"done"`), nil)
	s.deploy("slow", guests.Sleep(200), nil)

	// 2000 from SQL, half of them slow, and HTTP callers all the while.
	s.exec(`SELECT runnel.invoke(CASE WHEN i % 2 = 0 THEN 'quick' ELSE 'slow' END) FROM generate_series(1, 2000) i`)
	var called, answered atomic.Int64
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				called.Add(1)
				if r := s.call("quick", `{}`); r.status == http.StatusOK {
					answered.Add(1)
				} else {
					t.Errorf("HTTP caller: %d %s", r.status, r.body)
				}
			}
		})
	}
	s.eventually("the load runs", func() bool {
		return one[int](s, `SELECT count(*)::int FROM runnel.function_invocations`) > 300
	})
	second := s.worker()
	first.signal(t, syscall.SIGTERM, 25*time.Second)
	if n := one[int](s, `SELECT count(*)::int FROM runnel.function_invocations WHERE status <> 'success'`); n != 0 {
		t.Errorf("%d attempts did not succeed over the stop", n)
	}
	third := s.worker()
	second.signal(t, syscall.SIGTERM, 25*time.Second)
	s.eventually("the backlog is worked off", func() bool {
		return one[int](s, `SELECT count(*)::int FROM runnel.function_invocations WHERE trigger = 'sql'`) >= 2000
	})
	close(stop)
	callers.Wait()
	s.audit(2000 + int(called.Load()))
	t.Logf("%d HTTP callers over two stops, %d answered", called.Load(), answered.Load())
	third.signal(t, syscall.SIGTERM, 25*time.Second)
}

func TestFUNC_E1_SigkillLeavesALostRow(t *testing.T) {
	s := newSystem(t)
	s.api()
	victim := s.worker()
	s.deploy("hang", guests.Sleep(120_000), map[string]any{"timeout": 200})
	s.exec(`SELECT runnel.invoke('hang', max_attempts => 1) FROM generate_series(1, 5)`)
	answer := make(chan reply, 1)
	go func() { answer <- s.call("hang", `{}`) }()
	s.eventually("all of them run", func() bool {
		return one[int](s, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`) == 6
	})
	killed := time.Now()
	victim.signal(t, syscall.SIGKILL, 5*time.Second)
	s.worker()
	s.eventually("every killed attempt has a row", func() bool {
		return one[int](s, `SELECT count(*)::int FROM runnel.function_invocations WHERE status = 'lost'`) == 6
	})
	took := time.Since(killed)
	if took > 30*time.Second {
		t.Errorf("lost rows after %s, want within 30 s", took)
	}
	t.Logf("lost rows %s after SIGKILL", took.Round(time.Millisecond))
	if r := <-answer; r.status < 500 || !strings.Contains(r.body, "WorkerLost") {
		t.Errorf("the HTTP caller got %d %s", r.status, r.body)
	}
	s.audit(6)
}

func TestFUNC_E1_WorkerKilledAndAPIKilledLoseNothing(t *testing.T) {
	s := newSystem(t)
	api := s.api()
	s.worker()
	s.deploy("slow", guests.Sleep(2000), nil)
	go s.call("slow", `{}`)
	s.eventually("it runs", func() bool {
		return one[int](s, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`) == 1
	})
	api.signal(t, syscall.SIGKILL, 5*time.Second)
	s.audit(1)
	if got := one[string](s, `SELECT status FROM runnel.function_invocations`); got != "success" {
		t.Errorf("the run ended as %s without its caller, want success", got)
	}
}
