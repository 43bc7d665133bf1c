package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestSecretsCommands(t *testing.T) {
	alone(t)
	var requests []string
	answer := `{"key":"API_KEY","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z","warnings":["short"]}`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		requests = append(requests, r.Method+" "+r.URL.Path+" "+string(b))
		switch {
		case r.Header.Get("Authorization") != "Bearer admin":
			t.Errorf("authorization %q", r.Header.Get("Authorization"))
		case r.Method == http.MethodGet:
			_, _ = io.WriteString(w, `{"secrets":[`+answer+`]}`)
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodPost:
			_, _ = io.WriteString(w, `{"rotated":2,"total":3,"unreadable":["f/LOST"]}`)
		default:
			_, _ = io.WriteString(w, answer)
		}
	}))
	t.Cleanup(srv.Close)
	t.Setenv("RUNNEL_URL", srv.URL)
	t.Setenv("RUNNEL_ADMIN_TOKEN", "admin")
	if err := os.WriteFile("key.txt", []byte("from a file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stdin, args, sent, out, errs string
		code                         int
	}{
		{"from stdin\n", "secrets set f API_KEY", `PUT /admin/v1/functions/f/secrets/API_KEY {"value":"from stdin"}`, "API_KEY is set for f", "warning: short", 0},
		{"two\nlines\n\n", "secrets set f API_KEY", `PUT /admin/v1/functions/f/secrets/API_KEY {"value":"two\nlines\n"}`, "API_KEY is set for f", "", 0},
		{"", "secrets set f API_KEY --data @key.txt", `PUT /admin/v1/functions/f/secrets/API_KEY {"value":"from a file"}`, "API_KEY is set for f", "", 0},
		{"", "secrets set f API_KEY -d text", `PUT /admin/v1/functions/f/secrets/API_KEY {"value":"text"}`, "API_KEY is set for f", "", 0},
		{"", "secrets set f API_KEY=a=b", `PUT /admin/v1/functions/f/secrets/API_KEY {"value":"a=b"}`, "API_KEY is set for f", "", 0},
		{"", "secrets set f API_KEY=a -d text", "", "", "given twice", 2},
		{"", "secrets list f", `GET /admin/v1/functions/f/secrets `, "API_KEY  2026-01-02T03:04:05Z", "", 0},
		{"", "secrets unset f API_KEY", `DELETE /admin/v1/functions/f/secrets/API_KEY `, "", "", 0},
		{"", "secrets rotate", `POST /admin/v1/secrets/rotate `, "2 of 3", "f/LOST", 1},
		{"", "secrets set f", "", "", "KEY is missing", 2},
		{"", "secrets nope", "", "", "there is no command", 2},
	} {
		requests = nil
		out, errs, code := command(t, c.stdin, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || strings.Join(requests, "\n") != c.sent {
			t.Errorf("%s: code %d\nout %q\nerr %q\nsent %q", c.args, code, out, errs, requests)
		}
	}
	out, _, code := command(t, "", "--json", "secrets", "list", "f")
	var list []map[string]string
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil || list[0]["key"] != "API_KEY" {
		t.Errorf("--json: %d %s %v", code, out, err)
	}
}
