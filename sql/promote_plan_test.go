package sql_test

import (
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
)

// What waits for later costs nothing: workers ask each second.
func TestPromote_PassesByWhatIsLater(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.exec(`INSERT INTO runnel.river_job (kind, args, queue, state, scheduled_at, max_attempts)
		SELECT 'invoke', '{"id":"x","function":"hello"}', 'functions', 'scheduled', now() + interval '1 hour' + g * interval '1 ms', 1 FROM generate_series(1, 5000) g`)
	b.exec(`ANALYZE runnel.river_job`)
	for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
		plan := explain(b, mode, "promote", 100)
		if strings.Contains(plan, "Seq Scan on river_job") || strings.Contains(plan, "Rows Removed") || strings.Contains(plan, "rows=5000") {
			t.Errorf("%s:\n%s", mode, plan)
		}
	}
}
