package jobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sandbox"
)

// compiles counts modules by telling of each.
type compiles chan struct{}

func (compiles) CacheHit()                {}
func (compiles) CacheMiss()               {}
func (compiles) CacheEvicted()            {}
func (c compiles) Compiled(time.Duration) { c <- struct{}{} }

func TestDeployedModulesAreCompiledBeforeTheyAreCalled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seen := make(compiles, 10)
	rt, err := sandbox.New(t.Context(), sandbox.Config{Observer: seen})
	if err != nil {
		t.Fatal(err)
	}
	w, err := jobs.NewWorker(h.open(), rt, jobs.WorkerConfig{
		ID: "w", Concurrency: 1, Logger: quiet(t), Metrics: jobs.NewMetrics(prometheus.NewRegistry()),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer rt.Close(context.WithoutCancel(t.Context()))
	defer w.Stop(context.WithoutCancel(t.Context()))
	h.function("hello", guests.Answer(`"hello"`), "")
	select {
	case <-seen:
	case <-time.After(time.Minute):
		t.Fatal("nothing was compiled")
	}
	if r := h.mustHTTP("hello", "{}"); string(r.Result) != `"hello"` {
		t.Errorf("%+v", r)
	}
	if len(seen) != 0 {
		t.Error("the call compiled the module again")
	}
}
