package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStateIsFoundFromBelowAndIsPrivate(t *testing.T) {
	alone(t)
	if _, ok, err := findState(); ok || err != nil {
		t.Errorf("found a state where there is none: %v, %v", ok, err)
	}
	want := state{URL: "http://127.0.0.1:1", AdminToken: "a", JWTSecret: "j", DatabaseURL: "d", AnonKey: "k", ServiceKey: "s"}
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeState(stateDir, want); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(stateDir, stateFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if err := os.MkdirAll("a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir("a/b")
	if got, ok, err := findState(); got != want || !ok || err != nil {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
}

func TestTokensStayWithTheirServer(t *testing.T) {
	alone(t)
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeState(stateDir, state{URL: "http://127.0.0.1:1", AdminToken: "local"}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RUNNEL_URL", "https://functions.example/")
	c, err := newClient()
	if err != nil || c.admin != "" || c.base != "https://functions.example" {
		t.Errorf("%+v, %v: the token of runnel dev would go to another server", c, err)
	}
	t.Setenv("RUNNEL_URL", "")
	t.Setenv("RUNNEL_ADMIN_TOKEN", "remote")
	if c, err := newClient(); err != nil || c.admin != "local" || c.base != "http://127.0.0.1:1" {
		t.Errorf("%+v, %v", c, err)
	}
}
