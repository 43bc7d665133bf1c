package api

import (
	"testing"
	"time"
)

func TestSession(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newSessions(testAdminToken, []byte(testJWTSecret))
	s.now = func() time.Time { return now }
	cookie := s.issue()
	if !s.valid(cookie) {
		t.Fatal("a new session is not valid")
	}
	other := newSessions(testAdminToken+"x", []byte(testJWTSecret))
	if other.valid(cookie) {
		t.Error("a session outlives its admin token")
	}
	if !newSessions(testAdminToken, []byte(testJWTSecret)).valid(cookie) {
		t.Error("another web process does not know the session")
	}
	for i := range cookie {
		changed := []byte(cookie)
		changed[i] ^= 1
		if s.valid(string(changed)) {
			t.Errorf("valid with byte %d changed", i)
		}
	}
	for _, c := range []string{"", cookie + "A", cookie[1:], "!"} {
		if s.valid(c) {
			t.Errorf("%q is valid", c)
		}
	}
	now = now.Add(sessionLife + time.Second)
	if s.valid(cookie) {
		t.Error("valid after its end")
	}
}

func TestLocalPage(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/riverui/jobs?state=running": "/riverui/jobs?state=running",
		"/console/":                   pathConsole,
		"/metrics":                    pathMetrics,
		"":                            pathConsole,
		"https://evil.example/":       pathConsole,
		"//evil.example/riverui/":     pathConsole,
		"/\\evil.example":             pathConsole,
		"/riverui/\\..":               pathConsole,
		"/admin/v1/functions":         pathConsole,
		"/console/api/v1/functions":   pathConsole,
		"javascript:alert(1)":         pathConsole,
	} {
		if got := localPage(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}
