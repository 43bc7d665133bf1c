package process

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/runnelhq/runnel/internal/settings"
	"github.com/runnelhq/runnel/sandbox/compile"
)

// What the alert RunnelModulesDoNotCompile counts.
func TestCompiled_CountsWhatFailed(t *testing.T) {
	t.Parallel()
	p := New(settings.Settings{}, slog.New(slog.DiscardHandler))
	p.compiled(compile.Report{})
	p.compiled(compile.Report{Err: errors.New("it is too large")})
	failures, err := testutil.GatherAndCount(p.registry, "runnel_compile_failures_total")
	if err != nil || failures != 1 {
		t.Fatal(failures, err)
	}
	families, err := p.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "runnel_compile_failures_total" && f.GetMetric()[0].GetCounter().GetValue() != 1 {
			t.Errorf("%v failures of two children", f.GetMetric()[0])
		}
	}
}
