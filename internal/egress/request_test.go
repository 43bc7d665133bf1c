package egress

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
)

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", runnel.MaxPayloadSize+1)
	many := map[string]string{}
	for i := range maxHeaders + 1 {
		many["x-"+strings.Repeat("a", i+1)] = ""
	}
	for name, c := range map[string]struct {
		request any
		code    string
	}{
		"no JSON":               {json.RawMessage(`"x"`), codeFetchError},
		"headers are a list":    {m{"url": "https://a.example", "headers": []string{"a"}}, codeFetchError},
		"CONNECT":               {m{"method": "connect", "url": "https://a.example"}, codeFetchError},
		"TRACE":                 {m{"method": "TRACE", "url": "https://a.example"}, codeFetchError},
		"method with a space":   {m{"method": "GET /x HTTP/1.1\r\n", "url": "https://a.example"}, codeFetchError},
		"long method":           {m{"method": strings.Repeat("A", 21), "url": "https://a.example"}, codeFetchError},
		"header injection":      {m{"url": "https://a.example", "headers": m{"x": "a\r\nHost: evil"}}, codeFetchError},
		"NUL in a header":       {m{"url": "https://a.example", "headers": m{"x": "a\x00"}}, codeFetchError},
		"colon in a name":       {m{"url": "https://a.example", "headers": m{"x:y": "a"}}, codeFetchError},
		"space in a name":       {m{"url": "https://a.example", "headers": m{"host ": "a"}}, codeFetchError},
		"empty name":            {m{"url": "https://a.example", "headers": m{"": "a"}}, codeFetchError},
		"another host":          {m{"url": "https://a.example", "headers": m{"Host": "b.example"}}, codeFetchError},
		"another host, spelt":   {m{"url": "https://a.example", "headers": m{"hOsT": "a.example:81"}}, codeFetchError},
		"too many headers":      {m{"url": "https://a.example", "headers": many}, codeTooLarge},
		"too large headers":     {m{"url": "https://a.example", "headers": m{"x": strings.Repeat("x", maxHeaderBytes)}}, codeTooLarge},
		"too large body":        {m{"url": "https://a.example", "body": big}, codeTooLarge},
		"no base64":             {m{"url": "https://a.example", "body": "?", "is_base64": true}, codeFetchError},
		"unknown redirect mode": {m{"url": "https://a.example", "redirect": "all"}, codeFetchError},
	} {
		g := newGate(map[string][]string{"a.example": {"93.184.216.34"}})
		if a := g.fetch(t, []string{"a.example"}, c.request); a.Error.Code != c.code || len(g.asked) > 0 {
			t.Errorf("%s: %.200s, dialled %v", name, a.raw, g.asked)
		}
	}
}

func TestConnectionHeadersAreDropped(t *testing.T) {
	t.Parallel()
	r, err := decode([]byte(`{"url":"x","headers":{"Connection":"x-a","x-a":"1","transfer-encoding":"chunked","content-length":"5","proxy-authorization":"p","proxy-foo":"p","te":"trailers","upgrade":"h2c","http2-settings":"x","expect":"100-continue","keep-alive":"1","trailer":"t"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(r.header)); !slices.Equal(got, []string{"User-Agent", "X-A"}) {
		t.Errorf("kept %v", got)
	}
}

// FuzzFUNC_S3_RequestDecoder: whatever a guest sends, either it is an error value
// or a request within its bounds to a host on the list.
func FuzzFUNC_S3_RequestDecoder(f *testing.F) {
	for _, s := range []string{
		`{"url":"https://api.example.com/x","method":"post","headers":{"a":"b"},"body":"x"}`, `{"url":"http://[::ffff:127.0.0.1]/"}`,
		`{"url":"http://a.wild.example:443/?q#f","body":"AAAA","is_base64":true}`, `{"url":"http://127.0.0.1"}`, `{"url":"http://api.example.com@evil/"}`,
		`{"url":"http://api.example.com%2f/","redirect":"manual"}`, `{}`, `null`, `[]`, `{"headers":{"host":"x"}}`, `{"url":"//api.example.com"}`,
	} {
		f.Add([]byte(s))
	}
	allowed := []string{"api.example.com", "*.wild.example"}
	f.Fuzz(func(t *testing.T, b []byte) {
		known := func(err error) bool { var k *failure; return errors.As(err, &k) && k.Code != "" && k.Message != "" }
		r, err := decode(b)
		if err != nil {
			if !known(err) {
				t.Fatalf("error %v is not for the guest", err)
			}
			return
		}
		if len(r.body) > runnel.MaxPayloadSize || len(r.header) > maxHeaders+1 || r.header.Get("Host") != "" || r.header.Get("Content-Length") != "" {
			t.Fatalf("out of bounds: %+v", r)
		}
		to, err := checkURL(r.URL, nil, allowed, []uint16{80, 443})
		if err != nil {
			if !known(err) {
				t.Fatalf("error %v is not for the guest", err)
			}
			return
		}
		req, err := http.NewRequest(r.Method, to.String(), nil)
		if err != nil {
			t.Fatalf("%q passed and is no URL: %v", r.URL, err)
		}
		host := req.URL.Hostname()
		if host != "api.example.com" && !strings.HasSuffix(host, ".wild.example") || req.URL.User != nil ||
			req.URL.Scheme != "http" && req.URL.Scheme != "https" || !slices.Contains([]string{"", "80", "443"}, req.URL.Port()) {
			t.Fatalf("%q passed as %q", r.URL, to)
		}
	})
}
