package main

import (
	"strings"
	"testing"
)

func TestAllProblemsWithTheSettingsAreReported(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	t.Setenv("RUNNEL_WORKERS", "many")
	err := run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "DATABASE_URL is not set") || !strings.Contains(err.Error(), "RUNNEL_WORKERS is \"many\"") {
		t.Errorf("error %v, want one that names DATABASE_URL and RUNNEL_WORKERS", err)
	}
}
