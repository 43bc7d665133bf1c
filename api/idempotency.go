package api

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/http"
	"regexp"

	"github.com/runnelhq/runnel"
)

const (
	headerKey = "Idempotency-Key"
	// headerReplayed says that the response is the one of an earlier call.
	headerReplayed = "Idempotent-Replayed"
)

var keyPattern = regexp.MustCompile(`^[!-~]{1,255}$`)

// idempotencyKey reads the key of a call; "" means that it has none.
//
// As Stripe has it: of the calls with one key, function and caller within 24 hours
// the first one runs, and all get its response, also when that is an error of the
// function's own. A key whose run was lost, or never began, is free again. A call
// that was refused before it was enqueued used no key.
func idempotencyKey(h http.Header) (string, error) {
	lines := h.Values(headerKey)
	switch {
	case len(lines) == 0:
		return "", nil
	case len(lines) > 1:
		return "", runnel.Errorf(runnel.CodeInvalidRequest, "there is more than one %s header: send one", headerKey)
	case !keyPattern.MatchString(lines[0]):
		return "", runnel.Errorf(runnel.CodeInvalidRequest, "the %s is not 1 to 255 visible ASCII characters without spaces: use a random UUID, or a hash of what makes the call unique", headerKey)
	}
	return lines[0], nil
}

// keyScope says whose key it is, so that nobody is given another caller's response:
// the caller's role and user. Callers who are no user in particular are told apart by
// the credentials that they sent; those who sent none have one scope together, and
// the key is all that guards the response. Use keys that cannot be guessed.
func keyScope(c runnel.Caller, h http.Header) []byte {
	sum := sha256.New()
	hashPart(sum, c.Role)
	if c.UserID != "" {
		hashPart(sum, "user")
		hashPart(sum, c.UserID)
	} else {
		for _, name := range []string{"Authorization", "Apikey", "Cookie"} {
			for _, v := range h.Values(name) {
				hashPart(sum, name)
				hashPart(sum, v)
			}
		}
	}
	return sum.Sum(nil)
}

// keyRequest says what was asked for.
func keyRequest(method, path, query, contentType string, body []byte) []byte {
	sum := sha256.New()
	hashPart(sum, method)
	hashPart(sum, path)
	hashPart(sum, query)
	hashPart(sum, contentType)
	hashPart(sum, string(body))
	return sum.Sum(nil)
}

// hashPart adds a text whose end cannot be mistaken.
func hashPart(sum hash.Hash, s string) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(s)))
	sum.Write(length[:])
	sum.Write([]byte(s))
}
