package egress

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/runnelhq/runnel"
)

// response is what the guest reads.
type response struct {
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"`           // lower case; lines of one name joined with ", "
	Cookies  []string          `json:"cookies,omitempty"` // the lines of set-cookie, which cannot be joined
	Body     string            `json:"body"`
	IsBase64 bool              `json:"is_base64"`
	URL      string            `json:"url"` // after redirects
}

// readResponse reads a response to its end; the body is counted after
// decompression.
func readResponse(res *http.Response, final *url.URL) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, runnel.MaxPayloadSize+1))
	if err != nil {
		return nil, err
	}
	if len(body) > runnel.MaxPayloadSize {
		return nil, failf(codeTooLarge, "the response body is larger than %d MB: ask for less", runnel.MaxPayloadSize>>20)
	}
	r := response{Status: res.StatusCode, Headers: make(map[string]string, len(res.Header)), URL: final.String()}
	for name, lines := range res.Header {
		r.Headers[strings.ToLower(name)] = strings.Join(lines, ", ")
	}
	r.Cookies = res.Header["Set-Cookie"]
	if isText(body) {
		r.Body = string(body)
	} else {
		r.Body, r.IsBase64 = base64.StdEncoding.EncodeToString(body), true
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // six bytes for each bracket of a page
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// isText tells whether a body goes into JSON as it is: UTF-8, and not full of
// control characters, of which each would take six bytes.
func isText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	escaped := 0
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			escaped++
		}
	}
	return escaped <= len(b)/8
}
