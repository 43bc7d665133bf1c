package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/keyring"
)

func ringOf(t *testing.T, keys ...string) *keyring.Ring {
	t.Helper()
	r, err := keyring.Parse(strings.Join(keys, ","))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFUNC_S1_SecretsNeverComeBack(t *testing.T) {
	key := keyring.Generate()
	h := newHouse(t, Config{Keys: ringOf(t, key)})
	h.function(`{"name":"f","environment":{"DSN":"plain text"}}`, guests.Answer(`1`))
	const path, value = "/admin/v1/functions/f/secrets", "correct horse battery"

	if r := h.admin(http.MethodGet, path, ""); r.body != `{"secrets":[]}`+"\n" {
		t.Errorf("none: %v", r)
	}
	answers := []reply{
		h.admin(http.MethodPut, path+"/DSN", `{"value":"`+value+`"}`),
		h.admin(http.MethodPut, path+"/DSN", `{"value":"`+value+` two"}`),
		h.admin(http.MethodGet, path, ""),
		h.admin(http.MethodGet, "/admin/v1/functions/f", ""),
		h.admin(http.MethodGet, "/admin/v1/functions", ""),
		h.admin(http.MethodPost, "/admin/v1/secrets/rotate", ""),
		h.admin(http.MethodGet, path+"/DSN", ""),
		h.admin(http.MethodGet, path+"/OTHER", ""),
		h.admin(http.MethodGet, "/admin/v1/functions/nobody/secrets/DSN", ""),
	}
	for i, want := range []int{201, 200, 200, 200, 200, 200, 200, 404, 404} {
		if answers[i].StatusCode != want || strings.Contains(answers[i].String(), value) || strings.Contains(answers[i].String(), "plain text") {
			t.Errorf("answer %d: %v", i, answers[i])
		}
	}
	var list struct{ Secrets []map[string]any }
	if err := json.Unmarshal([]byte(answers[2].body), &list); err != nil || len(list.Secrets) != 1 || list.Secrets[0]["key"] != "DSN" || list.Secrets[0]["created_at"] == nil || len(list.Secrets[0]) != 3 {
		t.Errorf("list %s, %v", answers[2].body, err)
	}
	if r := h.admin(http.MethodPut, path+"/PIN", `{"value":"1234"}`); r.StatusCode != 201 || !strings.Contains(r.body, "too short") || strings.Contains(r.body, "1234") {
		t.Errorf("a short one: %v", r)
	}
	if r := h.admin(http.MethodDelete, path+"/DSN", ""); r.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %v", r)
	}
	if r := h.admin(http.MethodDelete, path+"/DSN", ""); r.StatusCode != http.StatusNotFound {
		t.Errorf("delete again: %v", r)
	}
	if strings.Contains(h.log.String(), value) {
		t.Error("the process log shows the secret")
	}
}

func TestSecretsThatAreRefused(t *testing.T) {
	h := newHouse(t, Config{Keys: ringOf(t, keyring.Generate())})
	h.function(`{"name":"f"}`, guests.Answer(`1`))
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"f/secrets/A", `{}`, 400}, {"f/secrets/A", ``, 400}, {"f/secrets/A", `{"value":""}`, 400}, {"f/secrets/A", `{"value":null}`, 400},
		{"f/secrets/A", `{"value":12345678}`, 400}, {"f/secrets/A", `{"value":"x","other":1}`, 400}, {"f/secrets/A", `{"value":"a\u0000b"}`, 400},
		{"f/secrets/A", `{"value":"***REDACTED***"}`, 400}, {"f/secrets/A", `{"value":"` + strings.Repeat("x", runnel.MaxEnvironment) + `"}`, 400},
		{"f/secrets/A", `{"value":"` + strings.Repeat("x", maxMetadata) + `"}`, 413},
		{"f/secrets/a-b", `{"value":"long enough"}`, 400}, {"f/secrets/1A", `{"value":"long enough"}`, 400}, {"f/secrets/" + strings.Repeat("A", 129), `{"value":"long enough"}`, 400},
		{"nobody/secrets/A", `{"value":"long enough"}`, 404}, {"Bad%20name/secrets/A", `{"value":"long enough"}`, 400},
	} {
		if r := h.admin(http.MethodPut, "/admin/v1/functions/"+c.path, c.body); r.StatusCode != c.status || strings.Contains(r.body, "long enough") {
			t.Errorf("%s %.60s: %v", c.path, c.body, r)
		}
	}
	if r := h.do(http.MethodPut, "/admin/v1/functions/f/secrets/A", `{"value":"long enough"}`); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %v", r)
	}
}

func TestWithoutKeysSecretsAreRefused(t *testing.T) {
	h := newHouse(t, Config{})
	h.function(`{"name":"f"}`, guests.Answer(`1`))
	for _, r := range []reply{h.admin(http.MethodPut, "/admin/v1/functions/f/secrets/A", `{"value":"long enough"}`), h.admin(http.MethodPost, "/admin/v1/secrets/rotate", "")} {
		if r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, "RUNNEL_SECRET_KEYS") || !strings.Contains(r.body, "openssl rand -hex 32") {
			t.Errorf("got %v", r)
		}
	}
	if r := h.admin(http.MethodGet, "/admin/v1/functions/f/secrets", ""); r.StatusCode != http.StatusOK {
		t.Errorf("list: %v", r)
	}
}

func TestRotationEncryptsWithTheFirstKey(t *testing.T) {
	old, current := keyring.Generate(), keyring.Generate()
	h := newHouse(t, Config{Keys: ringOf(t, current, old)})
	h.function(`{"name":"f"}`, guests.Answer(`1`))
	for key, ring := range map[string]*keyring.Ring{"OLD": ringOf(t, old), "NEW": ringOf(t, current), "LOST": ringOf(t, keyring.Generate())} {
		if _, _, err := h.db.SetSecret(t.Context(), "f", key, func(id string) []byte { return ring.Seal([]byte("value of "+key), id, key) }); err != nil {
			t.Fatal(err)
		}
	}
	r := h.admin(http.MethodPost, "/admin/v1/secrets/rotate", "")
	if r.body != `{"rotated":1,"total":3,"unreadable":["f/LOST"]}`+"\n" {
		t.Errorf("got %v", r)
	}
	var id string
	var sealed []byte
	if err := h.db.Pool().QueryRow(t.Context(), `SELECT function_id, value FROM runnel.secrets WHERE key = 'OLD'`).Scan(&id, &sealed); err != nil {
		t.Fatal(err)
	}
	if v, err := ringOf(t, current).Open(sealed, id, "OLD"); err != nil || string(v) != "value of OLD" {
		t.Errorf("with the new key alone: %q, %v", v, err)
	}
}
