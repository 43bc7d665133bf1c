package sql_test

import (
	"testing"
	"time"

	"github.com/runnelhq/runnel"
)

func TestDeployedAreTheCurrentModulesSince(t *testing.T) {
	b := setup(t)
	never := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	modules, before, err := b.db.Deployed(t.Context(), never)
	if err != nil || len(modules) != 0 || before.IsZero() {
		t.Fatalf("%v, %v, %v", modules, before, err)
	}
	fn := b.deploy("hello", runnel.Config{})
	modules, now, err := b.db.Deployed(t.Context(), before)
	if err != nil || len(modules) != 1 || modules[0].Hash != fn.WasmHash || modules[0].Revision == "" || !now.After(before) {
		t.Errorf("%v, %v, %v", modules, now, err)
	}
	if modules, _, err := b.db.Deployed(t.Context(), now); err != nil || len(modules) != 0 {
		t.Errorf("after the deploy: %v, %v", modules, err)
	}
	off := false
	if _, err := b.db.Configure(t.Context(), "hello", runnel.Config{Enabled: &off}); err != nil {
		t.Fatal(err)
	}
	if modules, _, err := b.db.Deployed(t.Context(), before); err != nil || len(modules) != 0 {
		t.Errorf("disabled: %v, %v", modules, err)
	}
}
