package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/redact"
	"github.com/runnelhq/runnel/sql"
)

// keys is the key ring, or why there is none.
func (s *Server) keys() (*keyring.Ring, error) {
	if s.cfg.Keys == nil {
		return nil, runnel.Errorf(runnel.CodeInvalidRequest, "secrets cannot be stored because there is no key to encrypt them with: set RUNNEL_SECRET_KEYS to 32 random bytes (openssl rand -hex 32) for the web and the worker processes, the same for all")
	}
	return s.cfg.Keys, nil
}

// listSecrets tells what secrets there are. Their values never leave.
func (s *Server) listSecrets(w http.ResponseWriter, r *http.Request) {
	list, err := s.db.Secrets(r.Context(), r.PathValue("name"))
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	if list == nil {
		list = []sql.Secret{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"secrets": list})
}

// getSecret tells that there is a secret, and since when. Its value never leaves.
func (s *Server) getSecret(w http.ResponseWriter, r *http.Request) {
	name, key := r.PathValue("name"), r.PathValue("key")
	list, err := s.db.Secrets(r.Context(), name)
	at := slices.IndexFunc(list, func(secret sql.Secret) bool { return secret.Key == key })
	if err == nil && at < 0 {
		err = runnel.Errorf(runnel.CodeNotFound, "function %s has no secret %.80q: list its secrets", name, key)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	writeJSON(w, http.StatusOK, list[at])
}

// putSecret sets one secret: {"value": "..."}. 201 for a new key.
func (s *Server) putSecret(w http.ResponseWriter, r *http.Request) {
	name, key := r.PathValue("name"), r.PathValue("key")
	keys, err := s.keys()
	var body struct {
		Value *string `json:"value"`
	}
	if err == nil {
		err = decodeStrict(http.MaxBytesReader(w, r.Body, maxMetadata), "the secret", &body)
	}
	if err == nil && (body.Value == nil || *body.Value == "") {
		err = runnel.Errorf(runnel.CodeInvalidRequest, "the secret has no value: send {\"value\": \"...\"}, or DELETE it")
	}
	if err == nil {
		err = checkSecret(key, *body.Value)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	secret, created, err := s.db.SetSecret(r.Context(), name, key, func(id string) []byte {
		return keys.Seal([]byte(*body.Value), sql.BindSecret(id, key)...)
	})
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "secret set", "function", name, "key", key)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	answer := struct {
		sql.Secret
		Warnings []string `json:"warnings,omitempty"`
	}{Secret: secret}
	if redact.Unmaskable(map[string]string{"SECRET": *body.Value}) != nil {
		answer.Warnings = []string{tooShortToMask(key)}
	}
	writeJSON(w, status, answer)
}

// checkSecret has the rules of an environment: a secret becomes part of one.
func checkSecret(key, value string) error {
	c := runnel.Config{Environment: &map[string]string{key: value}}
	if err := c.Check(); err != nil {
		return err
	}
	return checkConfig(c)
}

func (s *Server) deleteSecret(w http.ResponseWriter, r *http.Request) {
	name, key := r.PathValue("name"), r.PathValue("key")
	if err := s.db.UnsetSecret(r.Context(), name, key); err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "secret removed", "function", name, "key", key)
	w.WriteHeader(http.StatusNoContent)
}

// rotateSecrets encrypts every secret and environment with the first key, also what
// was stored in the clear. What cannot be read stays, and is named.
func (s *Server) rotateSecrets(w http.ResponseWriter, r *http.Request) {
	keys, err := s.keys()
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	rotated, total, unreadable, err := rotate(r.Context(), s.db, keys)
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "secrets rotated", "rotated", rotated, "total", total, "unreadable", len(unreadable))
	writeJSON(w, http.StatusOK, map[string]any{"rotated": rotated, "total": total, "unreadable": unreadable})
}

// rotate seals what is stored with the first key. Any number of processes may do so
// at once.
func rotate(ctx context.Context, db *sql.DB, keys *keyring.Ring) (rotated, total int, unreadable []string, err error) {
	unreadable = []string{}
	rotated, total, err = db.Rotate(ctx, func(v sql.Stored) ([]byte, error) {
		value := v.Value
		if !v.Clear {
			if keys.Current(v.Value) {
				return nil, nil
			}
			var err error
			if value, err = keys.Open(v.Value, v.Bind()...); err != nil {
				unreadable = append(unreadable, v.Name())
				return nil, nil
			}
		}
		return keys.Seal(value, v.Bind()...), nil
	})
	return rotated, total, unreadable, err
}

func tooShortToMask(key string) string {
	return fmt.Sprintf("the value of %s is too short to be found in logs and results: it is masked only where it stands under its key; use a secret of 8 characters or more", key)
}
