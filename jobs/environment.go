package jobs

import (
	"errors"
	"maps"
	"slices"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/redact"
	"github.com/runnelhq/runnel/sql"
)

// environment is what a function runs with, and what may be shown of it.
type environment struct {
	values map[string]string // real ones, for the guest
	shown  map[string]string // for the log row
	hide   *redact.Redactor
}

// newEnvironment opens a task's environment where it is sealed, and its secrets, and
// puts these over it. Every secret is sensitive, whatever its key is called. On an
// error, which names the key and never a value, the environment can still be shown.
func newEnvironment(keys *keyring.Ring, task sql.Task) (environment, error) {
	fn := task.Function
	e := environment{values: fn.Environment}
	if len(fn.Sealed)+len(task.Secrets) == 0 {
		e.shown = redact.Environment(e.values)
		e.hide = redact.ForEnvironment(e.values)
		return e, nil
	}
	e.values = maps.Clone(e.values)
	var failed error
	open := func(what, key string, sealed []byte, again string, bind []string) bool {
		value, err := []byte(nil), error(errNoKeys)
		if keys != nil {
			value, err = keys.Open(sealed, bind...)
		}
		if err != nil {
			failed = cannotDecrypt(what, key, again, err)
			return false
		}
		e.values[key] = string(value)
		return true
	}
	var hidden []string
	masked := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(fn.Sealed)) {
		if !open("environment value", key, fn.Sealed[key], "deploy the function's environment again", sql.BindEnvironment(fn.ID, key)) {
			masked[key] = redact.Mask
		}
	}
	for k, v := range e.values {
		if redact.SensitiveKey(k) {
			hidden = append(hidden, v)
		}
	}
	e.shown = redact.Environment(e.values)
	for _, key := range slices.Sorted(maps.Keys(task.Secrets)) {
		masked[key] = redact.Mask
		if open("secret", key, task.Secrets[key], "set the secret again", sql.BindSecret(fn.ID, key)) {
			hidden = append(hidden, e.values[key])
		}
	}
	maps.Copy(e.shown, masked)
	e.hide = redact.New(hidden...)
	return e, failed
}

// errNoKeys is why nothing sealed can be opened without RUNNEL_SECRET_KEYS.
var errNoKeys = errors.New("no keys")

func cannotDecrypt(what, key, again string, err error) error {
	switch {
	case errors.Is(err, errNoKeys):
		return runnel.Errorf(runnel.CodeUnavailable, "%s %s cannot be decrypted: this worker has no key to read it with; set RUNNEL_SECRET_KEYS for the worker process", what, key)
	case errors.Is(err, keyring.ErrKey):
		return runnel.Errorf(runnel.CodeUnavailable, "%s %s cannot be decrypted: none of the worker's RUNNEL_SECRET_KEYS is the one it was encrypted with; add that key, or %s", what, key, again)
	}
	return runnel.Errorf(runnel.CodeUnavailable, "%s %s cannot be decrypted: its stored value was changed or moved; %s", what, key, again)
}
