package jobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sql"
)

// However many large modules are uploaded at once, a few are taken apart at a time;
// small ones do not wait for them.
func TestFUNC_I4_LargeModulesWaitForEachOther(t *testing.T) {
	h := newHouse(t)
	large := guests.Counting(func(m *wasmtest.Module) { m.Custom("padding", make([]byte, 600<<10)) })
	done := h.deploy.Occupy()
	if _, err := h.deploy.Deploy(t.Context(), sql.Deploy{Name: "small", Wasm: guests.Counting(nil)}); err != nil {
		t.Errorf("a small module: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.deploy.Deploy(ctx, sql.Deploy{Name: "large", Wasm: large}); runnel.CodeOf(err) != runnel.CodeUnavailable {
		t.Errorf("a large one, with all places taken: %v", err)
	}
	done()
	if _, err := h.deploy.Deploy(t.Context(), sql.Deploy{Name: "large", Wasm: large}); err != nil {
		t.Errorf("a large one: %v", err)
	}
}
