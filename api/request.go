package api

import (
	"crypto/rand"
	"regexp"
	"strings"
)

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._~:/+=@-]{1,128}$`)

// requestID keeps the caller's x-request-id when it is plain enough to be stored
// and logged, and makes one otherwise.
func requestID(given string) string {
	if requestIDPattern.MatchString(given) {
		return given
	}
	return rand.Text()
}

var traceparentPattern = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// traceparent keeps a W3C trace context header when it is valid, and is empty
// otherwise.
func traceparent(given string) string {
	if !traceparentPattern.MatchString(given) ||
		strings.HasPrefix(given, "ff") ||
		given[3:35] == strings.Repeat("0", 32) ||
		given[36:52] == strings.Repeat("0", 16) {
		return ""
	}
	return given
}
