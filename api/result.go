package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/runnelhq/runnel"
)

// response is a function's result as HTTP.
type response struct {
	Status int
	Header http.Header
	Body   []byte
}

const (
	typeJSON   = "application/json"
	typeText   = "text/plain; charset=utf-8"
	typeBinary = "application/octet-stream"
)

// respond turns the result JSON of a function into a response:
//
//   - nothing is 204;
//   - an object whose "statusCode" is a whole number from 200 to 599 is a
//     response: "headers" (values are strings, numbers, booleans, or arrays of
//     those for a header that is sent more than once), "body" and "is_base64".
//     A body that is a string is sent as it is, any other as JSON;
//   - a string is 200 with text/plain;
//   - anything else is 200 with application/json, its bytes untouched.
//
// Headers that belong to the connection, or to Runnel, are dropped. The error,
// always CodeFunctionError, is a response that cannot be sent: a header with a
// line break in it, or a body that is not the base64 it says it is.
func respond(result []byte) (response, error) {
	trimmed := bytes.TrimLeft(result, " \t\r\n")
	if len(trimmed) == 0 {
		return response{Status: http.StatusNoContent, Header: http.Header{}}, nil
	}
	switch trimmed[0] {
	case '"':
		var s string
		if err := json.Unmarshal(result, &s); err != nil {
			return response{}, badResult("the result is not valid JSON")
		}
		return response{http.StatusOK, http.Header{"Content-Type": {typeText}}, []byte(s)}, nil
	case '{':
		// Looking before parsing spares large results that are plain JSON.
		if bytes.Contains(result, []byte(`"statusCode"`)) {
			var fields map[string]json.RawMessage // a struct would match "statuscode" too
			if err := json.Unmarshal(result, &fields); err != nil {
				return response{}, badResult("the result is not valid JSON")
			}
			if status, ok := statusCode(fields["statusCode"]); ok {
				return httpResponse(status, fields)
			}
		}
	}
	return response{http.StatusOK, http.Header{"Content-Type": {typeJSON}}, result}, nil
}

func badResult(format string, args ...any) error {
	return runnel.Errorf(runnel.CodeFunctionError, format+": correct what the function returns", args...)
}

// statusCode accepts 200 and 200.0, but not "200": JSON writers that know only
// floating point exist, and a string is more likely data than a status.
func statusCode(raw json.RawMessage) (int, bool) {
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f != math.Trunc(f) || f < 200 || f > 599 {
		return 0, false
	}
	return int(f), true
}

func httpResponse(status int, fields map[string]json.RawMessage) (response, error) {
	res := response{Status: status, Header: http.Header{}}
	if err := readHeaders(res.Header, fields["headers"]); err != nil {
		return response{}, err
	}
	var isBase64 bool
	if raw, ok := fields["is_base64"]; ok && json.Unmarshal(raw, &isBase64) != nil {
		return response{}, badResult(`"is_base64" of the result is neither true nor false`)
	}
	contentType := typeJSON
	raw := bytes.TrimSpace(fields["body"])
	switch {
	case len(raw) == 0 || string(raw) == "null":
		contentType = ""
	case raw[0] == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return response{}, badResult("the body of the result is not valid JSON")
		}
		res.Body, contentType = []byte(s), typeText
		if isBase64 {
			b, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				return response{}, badResult(`"is_base64" of the result is true, but its body is not base64`)
			}
			res.Body, contentType = b, typeBinary
		}
	case isBase64:
		return response{}, badResult(`"is_base64" of the result is true, but its body is not a string`)
	default:
		res.Body = raw
	}
	if _, ok := res.Header["Content-Type"]; !ok && contentType != "" {
		res.Header.Set("Content-Type", contentType)
	}
	return res, nil
}

// dropped are the headers a function cannot set: those of the connection, which
// are the server's, and those that say what Runnel did.
var dropped = []string{
	"Connection", "Content-Length", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	headerInvocationID, headerRequestID, headerRelayError, headerReplayed,
}

func readHeaders(h http.Header, raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return badResult(`"headers" of the result is not an object`)
	}
	for name, raw := range fields {
		if !isToken(name) {
			return badResult("%.80q is not a header name", name)
		}
		values, err := headerValues(raw)
		if err != nil {
			return badResult("the value of header %s is not a string", name)
		}
		name = http.CanonicalHeaderKey(name)
		if slices.Contains(dropped, name) {
			continue
		}
		for _, v := range values {
			// A line break would let whoever chose the value write headers
			// and a body of their own.
			if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				return badResult("the value of header %s contains a control character", name)
			}
			h.Add(name, v)
		}
	}
	return nil
}

// headerValues reads a scalar or an array of them.
func headerValues(raw json.RawMessage) ([]string, error) {
	if len(raw) > 0 && raw[0] == '[' {
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return nil, err
		}
		values := make([]string, len(items))
		for i, item := range items {
			v, err := headerValue(item)
			if err != nil {
				return nil, err
			}
			values[i] = v
		}
		return values, nil
	}
	v, err := headerValue(raw)
	return []string{v}, err
}

func headerValue(raw json.RawMessage) (string, error) {
	switch c := raw[0]; {
	case c == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case c == '-' || c >= '0' && c <= '9' || c == 't' || c == 'f':
		return string(raw), nil
	}
	return "", strconv.ErrSyntax
}

// isToken tells whether s can be a header name (RFC 9110, 5.6.2).
func isToken(s string) bool {
	return s != "" && len(s) <= 256 && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", c))
	})
}

// inert tells whether a browser shows a document of this type without running
// anything in it, given that nosniff is set.
func inert(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	return t == typeJSON || t == "text/plain" || t == ""
}

// sandboxed is the policy of what is not inert. Functions share an origin with
// the operator's pages; the sandbox directive gives their documents an origin of
// their own, so that a script in one cannot use an operator's session.
const sandboxed = "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts"

// write sends the response.
func (res response) write(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range res.Header {
		h[name] = values
	}
	if res.Header.Get("Content-Type") == "" {
		h["Content-Type"] = nil // not a guess of net/http's
	}
	h.Set("X-Content-Type-Options", "nosniff")
	if !inert(res.Header.Get("Content-Type")) {
		h.Add("Content-Security-Policy", sandboxed)
	}
	w.WriteHeader(res.Status)
	_, _ = w.Write(res.Body) // a reader that went away is not our failure
}
