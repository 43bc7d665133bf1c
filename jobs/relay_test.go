package jobs_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/jobs"
)

// gathered is what a scrape of from shows.
func gathered(t *testing.T, from prometheus.Gatherer) string {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// Where only web has a port, it shows what workers did, each worker by itself and
// next to its own figures.
func TestWebShowsMetricsOfWorkersThatCannotBeScraped(t *testing.T) {
	h := newHouse(t)
	h.relay = true
	a := h.worker("a", 2)
	h.worker("b", 2)
	h.function("echo", guests.Echo(), "")
	for range 20 {
		h.mustHTTP("echo", `{"trigger":"http"}`)
	}
	registry := prometheus.NewRegistry()
	jobs.NewMetrics(registry)
	web := prometheus.Gatherers{registry, jobs.NewRelay(h.db, "", quiet(t))}
	var text string
	shown := 0
	for end := time.Now().Add(30 * time.Second); shown != 20; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of 20 calls are shown", shown)
		}
		text, shown = gathered(t, web), 0
		for _, series := range regexp.MustCompile(`runnel_invocations_total\{function="echo",status="success",trigger="http",worker="[ab]"\} (\d+)`).FindAllStringSubmatch(text, -1) {
			n, err := strconv.Atoi(series[1])
			if err != nil {
				t.Fatal(err)
			}
			shown += n
		}
	}
	for _, want := range []string{
		`runnel_invocation_duration_seconds_bucket{function="echo",`, `runnel_schedule_ticks_total{outcome="skipped",worker="a"} 0`, `runnel_invocations_in_flight{worker="b"} 0`,
		"\nrunnel_invocations_in_flight 0", `runnel_host_calls_total{call="db_query",outcome="ok",worker="a"} 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(text, "go_goroutines") || strings.Contains(text, `runnel_http_waiters{worker`) {
		t.Error("more is relayed than a worker's work")
	}
	if got := gathered(t, jobs.NewRelay(h.db, "b", quiet(t))); strings.Contains(got, `worker="b"`) || !strings.Contains(got, `worker="a"`) {
		t.Error("the process's own worker is relayed to itself")
	}

	// What cannot be read hides nobody else, and what has stopped is gone.
	if _, err := h.db.Pool().Exec(t.Context(), `INSERT INTO runnel.workers (id, metrics) VALUES ('damaged', 'x')`); err != nil {
		t.Fatal(err)
	}
	if got := gathered(t, web); !strings.Contains(got, `worker="a"`) {
		t.Error("a damaged row hides the others")
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := gathered(t, web); strings.Contains(got, `worker="a"`) || !strings.Contains(got, `worker="b"`) {
		t.Error("a stopped worker is still shown, or the other is not")
	}
}
