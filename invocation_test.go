package runnel_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
)

// Clients find the same fields in every row, with null for what is not there.
func TestFUNC_E1_EveryFieldIsInEveryRow(t *testing.T) {
	fields := func(i runnel.Invocation) map[string]any {
		b, err := json.Marshal(i)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	now := time.Now()
	blank, full := fields(runnel.Invocation{ID: "i"}), fields(runnel.Invocation{
		ID: "i", FunctionID: "f", FunctionName: "n", Version: 1, WasmHash: "h", UserID: "u", Role: runnel.RoleAnon, ErrorCode: runnel.CodeTimeout,
		ErrorMessage: "m", RequestID: "r", Traceparent: "t", ReplayOf: "o", StartedAt: &now, FinishedAt: now, Result: json.RawMessage("1"),
	})
	for key, value := range full {
		if value == nil {
			t.Errorf("%s is null in a full row", key)
		}
		if _, ok := blank[key]; !ok {
			t.Errorf("%s is not in every row", key)
		}
	}
	for _, key := range []string{"function_id", "version", "wasm_hash", "user_id", "role", "error_code", "error_message", "request_id", "traceparent", "result", "started_at", "finished_at"} {
		if value, ok := blank[key]; !ok || value != nil {
			t.Errorf("%s = %v where there is none, want null", key, value)
		}
	}
}
