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

// newEnvironment opens a task's secrets and puts them over its environment. Every
// secret is sensitive, whatever its key is called. On an error, which names the key
// and never a value, the environment can still be shown.
func newEnvironment(keys *keyring.Ring, task sql.Task) (environment, error) {
	e := environment{
		values: task.Function.Environment,
		shown:  redact.Environment(task.Function.Environment),
	}
	if len(task.Secrets) == 0 {
		e.hide = redact.ForEnvironment(e.values)
		return e, nil
	}
	e.values = maps.Clone(e.values)
	var (
		hidden []string
		failed error
	)
	for k, v := range e.values {
		if redact.SensitiveKey(k) {
			hidden = append(hidden, v)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(task.Secrets)) {
		e.shown[key] = redact.Mask
		if keys == nil {
			failed = runnel.Errorf(runnel.CodeUnavailable, "the function has secrets and this worker has no key to read them: set RUNNEL_SECRET_KEYS for the worker process")
			continue
		}
		value, err := keys.Open(task.Secrets[key], task.Function.ID, key)
		if err != nil {
			failed = cannotDecrypt(key, err)
			continue
		}
		e.values[key] = string(value)
		hidden = append(hidden, string(value))
	}
	e.hide = redact.New(hidden...)
	return e, failed
}

func cannotDecrypt(key string, err error) error {
	if errors.Is(err, keyring.ErrKey) {
		return runnel.Errorf(runnel.CodeUnavailable, "secret %s cannot be decrypted: none of the worker's RUNNEL_SECRET_KEYS is the one it was encrypted with; add that key, or set the secret again", key)
	}
	return runnel.Errorf(runnel.CodeUnavailable, "secret %s cannot be decrypted: its stored value was changed or moved; set the secret again", key)
}
