package egress

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/runnelhq/runnel"
)

const (
	maxHeaders     = 100
	maxHeaderBytes = 32 << 10
)

// request is what a guest asks for.
type request struct {
	Method   string            `json:"method"` // default GET
	URL      string            `json:"url"`
	Headers  map[string]string `json:"headers"`
	Body     *string           `json:"body"`
	IsBase64 bool              `json:"is_base64"`
	Redirect string            `json:"redirect"` // follow (default), manual or error

	header http.Header
	host   string // a Host header, which must be the URL's
	body   []byte
}

var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// dropped are headers that belong to a connection, or that the client writes
// itself from what it really sends. They are left out without an error, because
// libraries set them out of habit.
var dropped = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Content-Length": true, "Expect": true, "Accept-Encoding": true, "Http2-Settings": true,
}

// decode reads and checks a request, all but its URL.
func decode(b []byte) (*request, error) {
	r := &request{Method: http.MethodGet}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, failf(codeFetchError, `the request is not valid: send JSON such as {"method":"POST","url":"https://...","headers":{"content-type":"text/plain"},"body":"..."}`)
	}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	r.Method = strings.ToUpper(r.Method)
	switch {
	case len(r.Method) > 20 || !token.MatchString(r.Method):
		return nil, failf(codeFetchError, "method %.20q is not valid", r.Method)
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace || r.Method == "TRACK":
		return nil, failf(codeFetchError, "method %s is not allowed", r.Method)
	}
	switch r.Redirect {
	case "":
		r.Redirect = "follow"
	case "follow", "manual", "error":
	default:
		return nil, failf(codeFetchError, "redirect %.20q is not valid: use follow, manual or error", r.Redirect)
	}
	if err := r.readHeaders(); err != nil {
		return nil, err
	}
	return r, r.readBody()
}

func (r *request) readHeaders() error {
	r.header = make(http.Header, len(r.Headers)+1)
	total := 0
	for name, value := range r.Headers {
		total += len(name) + len(value)
		if !token.MatchString(name) {
			return failf(codeFetchError, "header name %.40q is not valid", name)
		}
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return failf(codeFetchError, "the value of header %.40s contains a control character", name)
		}
		name = http.CanonicalHeaderKey(name)
		switch {
		case name == "Host":
			r.host = strings.ToLower(strings.TrimSpace(value))
		case dropped[name] || strings.HasPrefix(name, "Proxy-"):
		default:
			r.header.Add(name, value)
		}
	}
	if len(r.Headers) > maxHeaders || total > maxHeaderBytes {
		return failf(codeTooLarge, "the headers are more than %d or over %d KB: send less", maxHeaders, maxHeaderBytes>>10)
	}
	if r.header.Get("User-Agent") == "" {
		r.header.Set("User-Agent", "runnel")
	}
	return nil
}

func (r *request) readBody() error {
	if r.Body == nil {
		return nil
	}
	body := []byte(*r.Body)
	if r.IsBase64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(*r.Body); err != nil {
			return failf(codeFetchError, "the body is not valid base64 although is_base64 is true")
		}
	}
	if len(body) > runnel.MaxPayloadSize {
		return failf(codeTooLarge, "the body is larger than %d MB: send less", runnel.MaxPayloadSize>>20)
	}
	r.body = body
	return nil
}

// carried are the headers that a redirect to another origin takes along. A list of
// what may pass cannot miss the name of somebody's credential.
var carried = map[string]bool{
	"Accept": true, "Accept-Language": true, "Content-Language": true, "Content-Type": true, "Range": true, "User-Agent": true,
}

// redirected changes the request as browsers do for a redirect with this status.
func (r *request) redirected(status int, sameOrigin bool) {
	if status == http.StatusSeeOther && r.Method != http.MethodHead ||
		(status == http.StatusMovedPermanently || status == http.StatusFound) && r.Method == http.MethodPost {
		r.Method, r.body = http.MethodGet, nil
		for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Location"} {
			r.header.Del(name)
		}
	}
	if sameOrigin {
		return
	}
	for name := range r.header {
		if !carried[name] {
			r.header.Del(name)
		}
	}
}
