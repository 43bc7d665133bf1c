package api

import (
	"io"
	"net/http"
	"time"
)

// How much of a refused request's body is read, and for how long. Most of those who
// send too much by mistake send less than that; whoever sends more, or slowly, loses
// the connection.
const (
	maxUnread     = 64 << 20 // bytes
	unreadTimeout = 10 * time.Second
)

// finish reads the rest of a refused request's body, so that the refusal arrives.
// Many clients send all of a body before they look for an answer; one that comes
// with the end of the connection is lost on them, and they report a broken pipe
// where they should report 413. What was answered waits in the connection's buffer
// until then: refusals are short.
//
// A client that expects a 100 looks for an answer first, and would take our reading
// for leave to send. body is the request's own, without the limit that was put on it.
func finish(w http.ResponseWriter, r *http.Request, body io.Reader) {
	if body == nil || body == http.NoBody || r.Header.Get("Expect") != "" {
		return
	}
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTimeout)); err != nil {
		return // no connection is behind it that could break
	}
	_, _ = io.CopyN(io.Discard, body, maxUnread) // the answer stands, whatever comes
}
