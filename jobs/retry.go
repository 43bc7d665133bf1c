package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

// maxRetryAfter bounds how long a function can put off its own next attempt.
const maxRetryAfter = runnel.MaxBackoff

// maxReason is how much of a body is shown as the error of an attempt, in bytes.
const maxReason = 500

// attemptEvent is the event with what an attempt knows of itself added at its end:
//
//	"invocation_id","attempt","max_attempts","last_attempt","replay_of"
//
// What was there stays byte for byte. The event of an HTTP request that is tried
// once, and is nobody's replay, is left as it was: there is nothing to tell.
func attemptEvent(task sql.Task, attempt, most int) []byte {
	event := bytes.TrimRight(task.Event, " \t\r\n")
	if task.Trigger == runnel.TriggerHTTP && most <= 1 && task.ReplayOf == "" {
		return task.Event
	}
	if len(event) < 2 || event[0] != '{' || event[len(event)-1] != '}' {
		return task.Event
	}
	head := bytes.TrimRight(event[:len(event)-1], " \t\r\n")
	out := make([]byte, 0, len(head)+256)
	out = append(out, head...)
	if len(head) > 1 {
		out = append(out, ',')
	}
	out = fmt.Appendf(out, `"invocation_id":%q,"attempt":%d,"max_attempts":%d,"last_attempt":%t`, task.ID, attempt, most, attempt >= most)
	if task.ReplayOf != "" {
		out = fmt.Appendf(out, `,"replay_of":%q`, task.ReplayOf)
	}
	return append(out, '}')
}

// refusal is the error that a result stands for where nobody waits for a response:
// an object whose "statusCode" is 400 or more. HTTP says what it means for another
// attempt. 408, 425, 429 and 5xx may heal, and a retry-after header says when, in
// seconds or as a date; any other 4xx does not.
//
// Over HTTP the same result is the response, and the invocation a success.
func refusal(result []byte) error {
	if !bytes.Contains(result, []byte(`"statusCode"`)) {
		return nil
	}
	var fields map[string]json.RawMessage // a struct would match "statuscode" too
	if json.Unmarshal(result, &fields) != nil {
		return nil
	}
	status, err := strconv.ParseFloat(string(fields["statusCode"]), 64)
	if err != nil || status != math.Trunc(status) || status < 400 || status > 599 {
		return nil
	}
	e := runnel.Errorf(runnel.CodeFunctionError, "the function answered with status %d%s", int(status), reason(fields["body"]))
	switch int(status) {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		e.Final = status < 500
	}
	if !e.Final {
		e.RetryAfter = retryAfter(fields["headers"], time.Now())
	}
	return e
}

// reason is the beginning of a body, to be shown.
func reason(body json.RawMessage) string {
	var s string
	if json.Unmarshal(body, &s) != nil {
		s = string(body)
	}
	if s = strings.TrimSpace(s); s == "" || s == "null" {
		return ""
	}
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "..."
	}
	if !utf8.ValidString(s) {
		return ""
	}
	return ": " + s
}

// retryAfter reads the header of that name; 0: there is none that makes sense.
func retryAfter(headers json.RawMessage, now time.Time) time.Duration {
	var fields map[string]json.RawMessage
	if json.Unmarshal(headers, &fields) != nil {
		return 0
	}
	for name, raw := range fields {
		if !strings.EqualFold(name, "retry-after") {
			continue
		}
		value := strings.Trim(string(raw), `"`)
		if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds >= 0 {
			return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
		}
		if at, err := http.ParseTime(value); err == nil {
			return min(max(at.Sub(now), 0), maxRetryAfter)
		}
	}
	return 0
}
