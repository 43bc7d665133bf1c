package api

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/runnelhq/runnel"
)

// call is what an event is made of.
type call struct {
	Method    string
	Path      string // "/{name}" and what follows it, percent-encoded as it came
	RawQuery  string
	Host      string
	Header    http.Header
	Body      []byte
	Caller    runnel.Caller
	RequestID string
}

// credentials are the headers that never reach a function, a job or a log.
var credentials = []string{"authorization", "cookie", "apikey", "proxy-authorization"}

// event writes the event that the function gets:
//
//	{"trigger":"http","method","path","query":{},"headers":{},"body","user_id","role","claims":{},"request_id"}
//
// It is put together by hand because a JSON body has to arrive byte for byte,
// white space, key order, duplicate keys and big numbers included; encoding/json
// would compact it.
//
//   - path is "/{name}" and what follows, whichever of the two mount points was
//     used, as Supabase's functions see it.
//   - query maps a key to its value, or to an array of its values when it is
//     repeated.
//   - headers have lower-case names; repeated ones are joined by ", ".
//   - body is the JSON itself under a JSON content type, or under none when it
//     parses; otherwise a string when it is valid UTF-8; otherwise base64, and
//     "is_base64":true follows. An empty body is null. A byte order mark before
//     JSON is left out, as request.json() of browsers does. A compressed body
//     (content-encoding) is base64, whatever it holds: it is not unpacked here.
//   - user_id and claims are null and {} without a token.
//
// The error, always CodeInvalidRequest, is a body that its content type says is
// JSON and is not.
func event(c call) ([]byte, error) {
	b := make([]byte, 0, len(c.Body)+2048)
	b = append(b, `{"trigger":"http","method":`...)
	b = appendString(b, c.Method)
	b = append(b, `,"path":`...)
	b = appendString(b, c.Path)
	b = append(b, `,"query":`...)
	b = appendQuery(b, c.RawQuery)
	b = append(b, `,"headers":`...)
	b = appendHeaders(b, c.Header, c.Host)
	b = append(b, `,"body":`...)
	b, err := appendBody(b, c.Header.Get("Content-Type"), c.Header.Get("Content-Encoding"), c.Body)
	if err != nil {
		return nil, err
	}
	b = append(b, `,"user_id":`...)
	if c.Caller.UserID == "" {
		b = append(b, `null`...)
	} else {
		b = appendString(b, c.Caller.UserID)
	}
	b = append(b, `,"role":`...)
	b = appendString(b, c.Caller.Role)
	b = append(b, `,"claims":`...)
	if len(c.Caller.Claims) == 0 {
		b = append(b, `{}`...)
	} else {
		b = append(b, c.Caller.Claims...)
	}
	b = append(b, `,"request_id":`...)
	b = appendString(b, c.RequestID)
	return append(b, '}'), nil
}

// byteOrderMark is U+FEFF in UTF-8.
var byteOrderMark = []byte("\xef\xbb\xbf")

func appendBody(b []byte, contentType, encoding string, body []byte) ([]byte, error) {
	if len(body) == 0 {
		return append(b, `null`...), nil
	}
	if compressed(encoding) {
		return appendBase64(b, body), nil
	}
	declared := isJSON(contentType)
	if declared || contentType == "" {
		if text := bytes.TrimPrefix(body, byteOrderMark); utf8.Valid(text) && json.Valid(text) {
			return append(b, text...), nil
		}
		if declared {
			return nil, runnel.Errorf(runnel.CodeInvalidRequest, "the body is not valid JSON%s: correct it, or send another content-type", whyNotJSON(body))
		}
	}
	if utf8.Valid(body) {
		return appendString(b, string(body)), nil
	}
	return appendBase64(b, body), nil
}

func appendBase64(b, body []byte) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, body)
	return append(b, `","is_base64":true`...)
}

// compressed tells whether a content-encoding names a compression. Some clients
// write their charset there, which means nothing.
func compressed(encoding string) bool {
	for item := range strings.SplitSeq(encoding, ",") {
		switch strings.ToLower(strings.TrimSpace(item)) {
		case "gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress":
			return true
		}
	}
	return false
}

// whyNotJSON says where the JSON ends to be valid, without quoting it.
func whyNotJSON(body []byte) string {
	var v json.RawMessage
	if err := json.Unmarshal(body, &v); err != nil {
		return " (" + err.Error() + ")"
	}
	return " (it is not UTF-8)"
}

// isJSON tells whether a content type is application/json or ends in +json.
func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		t, _, _ = strings.Cut(contentType, ";")
		t = strings.ToLower(strings.TrimSpace(t))
	}
	return t == "application/json" || strings.HasSuffix(t, "+json")
}

// appendQuery reads a query string as browsers do: nothing in it is an error. A
// semicolon is no separator and a broken percent escape stays as it is.
func appendQuery(b []byte, raw string) []byte {
	values := make(map[string][]string)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		k = unescape(k)
		values[k] = append(values[k], unescape(v))
	}
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		if vs := values[k]; len(vs) == 1 {
			b = appendString(b, vs[0])
		} else {
			b = append(b, '[')
			for j, v := range vs {
				if j > 0 {
					b = append(b, ',')
				}
				b = appendString(b, v)
			}
			b = append(b, ']')
		}
	}
	return append(b, '}')
}

// unescape decodes + and percent escapes. A broken escape stays as it is, and the
// others of the same value are decoded.
func unescape(s string) string {
	s = strings.ReplaceAll(s, "+", " ")
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b = append(b, c...)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// appendHeaders leaves credentials out. Go keeps Host apart from the others;
// here it is a header again.
func appendHeaders(b []byte, header http.Header, host string) []byte {
	joined := make(map[string]string, len(header)+1)
	if host != "" {
		joined["host"] = host
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		key := strings.ToLower(name)
		if slices.Contains(credentials, key) {
			continue
		}
		joined[key] = strings.Join(header[name], ", ")
	}
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(joined)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		b = appendString(b, joined[k])
	}
	return append(b, '}')
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD; <, > and & stay as they are.
func appendString(b []byte, s string) []byte {
	buf := bytes.NewBuffer(b)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
