package egress

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
)

func TestFetch(t *testing.T) {
	t.Parallel()
	g := newGate(map[string][]string{"api.example.com": {"127.0.0.1"}})
	port := g.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Add("X-Two", "a")
		w.Header().Add("X-Two", "b")
		w.Header().Add("Set-Cookie", "a=1, 2")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s %q %s %s", r.Method, r.URL, r.Host, body, r.Header.Get("Authorization"), r.UserAgent())
	}))
	a := g.fetch(t, []string{"*.EXAMPLE.com"}, m{"method": "put", "url": "http://API.example.com:" + port + "/a?b=%20#c",
		"headers": m{"authorization": "Bearer x", "Host": "api.example.com"}, "body": "<é>"})
	want := `PUT /a?b=%20 api.example.com:` + port + ` "<é>" Bearer x runnel`
	if a.Status != http.StatusTeapot || a.Body != want || a.IsBase64 {
		t.Errorf("got %s\nwant body %s", a.raw, want)
	}
	if a.Headers["x-two"] != "a, b" || a.Headers["content-type"] != "text/plain" || !slices.Equal(a.Cookies, []string{"a=1, 2", "b=2"}) {
		t.Errorf("headers %v, cookies %v", a.Headers, a.Cookies)
	}
	if a.URL != "http://api.example.com:"+port+"/a?b=%20" {
		t.Errorf("url %s", a.URL)
	}
}

func TestBodiesOfEveryKind(t *testing.T) {
	t.Parallel()
	g := newGate(map[string][]string{"a.example": {"127.0.0.1"}})
	port := g.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	control := bytes.Repeat([]byte{1}, 4000)
	for name, body := range map[string][]byte{
		"empty": {}, "text": []byte("grüße \x00 \"quoted\" <b>\u2028"), "binary": {0xff, 0xfe, 0, 1}, "control characters": control,
		"largest": bytes.Repeat([]byte{'"'}, runnel.MaxPayloadSize),
	} {
		a := g.fetch(t, []string{"a.example"}, m{"method": "POST", "url": "http://a.example:" + port, "body": base64.StdEncoding.EncodeToString(body), "is_base64": true})
		got := []byte(a.Body)
		if a.IsBase64 {
			got, _ = base64.StdEncoding.DecodeString(a.Body)
		}
		if a.Status != 200 || !bytes.Equal(got, body) {
			t.Errorf("%s: status %d, error %v, %d bytes back of %d", name, a.Status, a.Error, len(got), len(body))
		}
		if wantText := name != "binary" && name != "control characters"; a.IsBase64 == wantText {
			t.Errorf("%s: is_base64 %v", name, a.IsBase64)
		}
	}
}

// Every way to name an address or a host that is not allowed, against a list that
// would allow it if it were taken at its word.
func TestFUNC_S3_HostsOutsideOfTheListAreRefused(t *testing.T) {
	t.Parallel()
	g := newGate(nil)
	allowed := []string{"api.example.com", "*.wild.example"}
	refused := []string{
		"http://example.com/", "http://other.api.example.com/", "http://apiXexample.com/", "http://api.example.com.evil.example/",
		"http://wild.example/", "http://evilwild.example/", "http://.wild.example/", "http://wild.example.evil/",
		"http://api.example.com./", "http://a.wild.example./", "http://api.example.com../", "http://*.wild.example/", "http://-.wild.example/",
		"http://api.example.com%2eevil.example/", "http://api.example.com%00.evil.example/", "http://api%2eexample%2ecom:80%2f@evil.example/",
		"http://аpi.example.com/", "http://api。example。com/", "http://ⓐpi.example.com/", "http://a.wild。example/", "http://faß.wild.example/",
		"http://api.example.com@evil.example/", "http://evil.example@api.example.com/", "http://user:pass@api.example.com/", "http://@api.example.com/",
		"http://evil.example#@api.example.com/", "http://evil.example\\@api.example.com/", "http://evil.example?@api.example.com/",
		"http://localhost/", "http://LOCALHOST/", "http://localhost.localdomain/", "http://metadata.google.internal/", "http://kubernetes.default.svc/",
		"http://127.0.0.1/", "http://127.1/", "http://127.0.1/", "http://0/", "http://0.0.0.0/", "http://2130706433/", "http://017700000001/", "http://0x7f000001/", "http://0x7f.0.0.1/",
		"http://0177.0.0.1/", "http://127.0.0.01/", "http://127.000.000.001/", "http://169.254.169.254/", "http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/", "http://169.254.43518/",
		"http://127.0.0.1.nip.io/", "http://１２７.0.0.1/", "http://⑯⑨.254.169.254/",
		"http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[0:0:0:0:0:ffff:169.254.169.254]/", "http://[::127.0.0.1]/",
		"http://[fe80::1%25eth0]/", "http://[fe80::1%25lo]/", "http://[64:ff9b::7f00:1]/", "http://[fd00:ec2::254]/", "http://[2606:4700::1111]/", "http://[api.example.com]/", "http://[::1", "http://::1/",
		"http:/api.example.com/", "http:api.example.com", "http:///api.example.com/", "//api.example.com/", "api.example.com", "/", "", " http://api.example.com/", "http://api.example.com /", "http://api.exam\tple.com/", "http://api.example.com\r\nHost: x/",
		"ftp://api.example.com/", "file:///etc/passwd", "gopher://api.example.com/", "unix:///run/x", "data:text/plain,x", "javascript:alert(1)", "ws://api.example.com/", "HTTPX://api.example.com/", "blob:http://api.example.com/",
		"http://api.example.com:22/", "http://api.example.com:5432/", "http://api.example.com:0/", "http://api.example.com:65536/", "http://api.example.com:-80/", "http://api.example.com:80:80/", "http://api.example.com:8080/", "http://api.example.com:0x50/",
		"http://api.example.com/" + strings.Repeat("x", maxURL),
	}
	for _, u := range refused {
		if a := g.fetch(t, allowed, m{"url": u}); a.Error.Code == "" {
			t.Errorf("%.100q: %s", u, a.raw)
		}
	}
	// A list that names odd addresses themselves: the second gate, or the notation.
	for _, host := range []string{"127.0.0.1", "169.254.169.254", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "127.1", "0", "10.0.0.1", "168.63.129.16", "192.0.0.192"} {
		if a := g.fetch(t, []string{host}, m{"url": "http://" + host + "/"}); a.Error.Code != codeHostNotAllowed {
			t.Errorf("%s on its own list: %s", host, a.raw)
		}
	}
	if len(g.asked) != len(g.refused) {
		t.Errorf("asked for %v, refused only %v", g.asked, g.refused)
	}
	if a := g.fetch(t, nil, m{"url": "https://api.example.com/"}); a.Error.Code != codeHostNotAllowed || !strings.Contains(a.Error.Message, "allowed_hosts") {
		t.Errorf("with no list: %s", a.raw)
	}
	// The control: what is on the list gets as far as its address.
	if a := newGate(map[string][]string{"api.example.com": {"93.184.216.34"}}).fetch(t, allowed, m{"url": "https://api.example.com/"}); a.Error.Code != codeFetchError {
		t.Errorf("an allowed host: %s", a.raw)
	}
}

func TestFUNC_S3_NamesOfInternalAddressesAreRefused(t *testing.T) {
	t.Parallel()
	for address, what := range internalAddresses {
		if address == "::ffff:93.184.216.34" {
			continue // resolvers give it as the IPv4 address, which is public
		}
		name := "evil.example"
		records := map[string][]string{name: {address}}
		if strings.Contains(address, ":") {
			records = map[string][]string{"6:" + name: {address}}
		}
		g := newGate(records)
		a := g.fetch(t, []string{name}, m{"url": "https://" + name + "/"})
		if a.Error.Code != codeHostNotAllowed || len(g.asked) == 0 || len(g.refused) != len(g.asked) {
			t.Errorf("%s (%s): asked %v, refused %v, %s", address, what, g.asked, g.refused, a.raw)
		}
		if strings.Contains(a.raw, address) && len(address) > 3 {
			t.Errorf("%s: the error tells the address: %s", address, a.raw)
		}
	}
}

// The name is public when somebody checks it and internal when it is dialled.
func TestFUNC_S3_RebindingGainsNothing(t *testing.T) {
	t.Parallel()
	g := newGate(map[string][]string{"rebind.example": {"93.184.216.34", "127.0.0.1", "169.254.169.254", "93.184.216.34 10.0.0.1"}})
	s := g.Session([]string{"rebind.example"})
	defer s.Close()
	for range 6 {
		if a := fetchIn(t, s, m{"url": "http://rebind.example/"}); a.Error.Code == "" {
			t.Fatal(a.raw)
		}
	}
	for _, want := range []string{"127.0.0.1:80", "169.254.169.254:80", "10.0.0.1:80"} {
		if !slices.Contains(g.refused, want) {
			t.Errorf("%s was not refused: asked %v, refused %v", want, g.asked, g.refused)
		}
	}
	if slices.Contains(g.refused, "93.184.216.34:80") {
		t.Error("the public address was refused: the test shows nothing")
	}
}

func TestFUNC_S3_RedirectsPassBothGates(t *testing.T) {
	t.Parallel()
	g := newGate(map[string][]string{"a.example": {"127.0.0.1"}, "meta.example": {"169.254.169.254"}, "local.example": {"127.0.0.2"}})
	var hits atomic.Int64
	port := g.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusFound)
	}))
	for to, code := range map[string]string{
		"http://meta.example/latest/":            codeHostNotAllowed,
		"http://local.example:" + port + "/":     codeHostNotAllowed,
		"http://evil.example/":                   codeHostNotAllowed,
		"//evil.example/":                        codeHostNotAllowed,
		"http://127.0.0.1:" + port + "/":         codeHostNotAllowed,
		"http://[::1]:" + port + "/":             codeHostNotAllowed,
		"http://2130706433/":                     codeHostNotAllowed,
		"http://a.example:22/":                   codeHostNotAllowed,
		"http://user@a.example:" + port + "/":    codeFetchError,
		"file:///etc/passwd":                     codeFetchError,
		"gopher://a.example/":                    codeFetchError,
		"?to=" + strings.Repeat("%3fto%3d", 100): codeFetchError,
	} {
		before := hits.Load()
		a := g.fetch(t, []string{"a.example", "meta.example", "local.example"}, m{"url": "http://a.example:" + port + "/?to=" + queryEscape(to)})
		if a.Error.Code != code {
			t.Errorf("to %s: %s", to, a.raw)
		}
		if n := hits.Load() - before; n > maxRedirects+1 {
			t.Errorf("to %s: %d requests", to, n)
		}
	}
	for _, asked := range g.asked {
		if asked != g.own.String() && !slices.Contains(g.refused, asked) {
			t.Errorf("%s was not refused", asked)
		}
	}
	if a := g.fetch(t, []string{"a.example"}, m{"url": "http://a.example:" + port + "/?to=http://evil.example/", "redirect": "manual"}); a.Status != 302 || a.Headers["location"] != "http://evil.example/" {
		t.Errorf("manual: %s", a.raw)
	}
	if a := g.fetch(t, []string{"a.example"}, m{"url": "http://a.example:" + port + "/?to=/", "redirect": "error"}); a.Error.Code != codeFetchError {
		t.Errorf("error: %s", a.raw)
	}
}

func queryEscape(s string) string {
	return strings.NewReplacer("%", "%25", "&", "%26", "#", "%23", "+", "%2b", "\\", "%5c", " ", "%20").Replace(s)
}

func TestCredentialsStayWithTheirOrigin(t *testing.T) {
	t.Parallel()
	g := newGate(map[string][]string{"a.example": {"127.0.0.1"}, "b.a.example": {"127.0.0.1"}})
	var last http.Request
	var body []byte
	port := g.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		last = *r
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			var status int
			fmt.Sscan(r.URL.Query().Get("status"), &status)
			w.WriteHeader(status)
		}
	}))
	send := func(to string, status int) {
		t.Helper()
		a := g.fetch(t, []string{"a.example", "*.a.example"}, m{"method": "POST", "url": fmt.Sprintf("http://a.example:%s/?status=%d&to=%s", port, status, to), "body": "x",
			"headers": m{"authorization": "s", "cookie": "s", "apikey": "s", "x-whatever": "s", "content-type": "text/x", "accept": "y"}})
		if a.Status != 200 {
			t.Fatal(a.raw)
		}
	}
	keys := func() []string {
		h := maps.Clone(last.Header)
		delete(h, "Accept-Encoding")
		delete(h, "User-Agent")
		delete(h, "Content-Length")
		return slices.Sorted(maps.Keys(h))
	}
	send("http://b.a.example:"+port+"/", 307)
	if got := keys(); !slices.Equal(got, []string{"Accept", "Content-Type"}) || last.Method != "POST" || string(body) != "x" {
		t.Errorf("to a subdomain: %s %v %q", last.Method, got, body)
	}
	send("/same", 308)
	if got := keys(); len(got) != 6 || last.Method != "POST" || string(body) != "x" {
		t.Errorf("to the same origin: %s %v %q", last.Method, got, body)
	}
	for _, status := range []int{301, 302, 303} {
		send("/same", status)
		if got := keys(); last.Method != "GET" || len(body) != 0 || slices.Contains(got, "Content-Type") || !slices.Contains(got, "Authorization") {
			t.Errorf("%d: %s %v %q", status, last.Method, got, body)
		}
	}
}

// What whoever calls Fetch adds goes to the first origin only, and not where nothing
// is sent.
func TestHeadersThatAreAddedStayWithTheirOrigin(t *testing.T) {
	t.Parallel()
	g := newGate(map[string][]string{"a.example": {"127.0.0.1"}, "b.example": {"127.0.0.1"}})
	got := map[string]string{}
	port := g.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got[r.Host+r.URL.Path] = r.Header.Get("Traceparent")
		if r.URL.Path != "/end" {
			w.Header().Set("Location", strings.Replace("http://"+r.Host, "a.example", "b.example", 1)+"/end")
			w.WriteHeader(307)
		}
	}))
	s := g.Session([]string{"a.example", "b.example"})
	defer s.Close()
	for host, asked := range map[string]int{"a.example": 1, "c.example": 0} {
		n := 0
		s.Fetch(t.Context(), []byte(`{"url":"http://`+host+":"+port+`/begin"}`), func(method string, to *url.URL, h http.Header) {
			n++
			if method != "GET" || to.Hostname() != host {
				t.Errorf("%s %s", method, to)
			}
			h.Set("Traceparent", "trace")
		})
		if n != asked {
			t.Errorf("%s: asked %d times", host, n)
		}
	}
	if len(got) != 2 || got["a.example:"+port+"/begin"] != "trace" || got["b.example:"+port+"/end"] != "" {
		t.Errorf("%v", got)
	}
}

func TestFUNC_S3_ProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	g := newGate(map[string][]string{"a.example": {"127.0.0.1"}})
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, "http://127.0.0.9:3128")
	}
	port := g.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }))
	if a := g.fetch(t, []string{"a.example"}, m{"url": "http://a.example:" + port + "/direct"}); a.Body != "/direct" {
		t.Error(a.raw)
	}
	if !slices.Equal(g.asked, []string{g.own.String()}) {
		t.Errorf("dialled %v", g.asked)
	}
	if g.newTransport().Proxy != nil {
		t.Error("the transport has a proxy function")
	}
}

func TestFUNC_S3_SessionsShareNoConnection(t *testing.T) {
	t.Parallel()
	g := newGate(map[string][]string{"a.example": {"127.0.0.1"}})
	port := g.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }))
	seen := map[string]int{}
	for i := range 5 {
		s := g.Session([]string{"a.example"})
		for range 3 {
			peer := fetchIn(t, s, m{"url": "http://a.example:" + port + "/"}).Body
			if was, ok := seen[peer]; ok && was != i {
				t.Errorf("sessions %d and %d share a connection", was, i)
			}
			seen[peer] = i
		}
		s.Close()
		if a := fetchIn(t, g.Session(nil), m{"url": "http://a.example:" + port + "/"}); a.Error.Code != codeHostNotAllowed {
			t.Error(a.raw)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d connections for 5 sessions of 3 requests", len(seen))
	}
	s := g.Session([]string{"a.example"})
	s.Close()
	if a := fetchIn(t, s, m{"url": "http://a.example:" + port + "/"}); a.Error.Code != codeFetchError {
		t.Errorf("after Close: %s", a.raw)
	}
}

func TestBoundsOfTheAnswer(t *testing.T) {
	t.Parallel()
	g := newGate(map[string][]string{"a.example": {"127.0.0.1"}})
	zeros := make([]byte, 1<<20)
	var packed bytes.Buffer // 7 MB in a few KB
	z := gzip.NewWriter(&packed)
	for range 7 {
		_, _ = z.Write(zeros)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	bomb := packed.Bytes()
	port := g.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/endless":
			for {
				if _, err := w.Write(zeros); err != nil {
					return
				}
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		case "/headers":
			w.Header().Set("X", strings.Repeat("x", 2*maxResponseHeaders))
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, "unpacked")
			_ = z.Close()
		case "/switch":
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			_ = rw.Flush()
			_, _ = io.Copy(io.Discard, c) // until the client goes
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "short")
		case "/garbage":
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(c, "SSH-2.0-OpenSSH\r\n\r\n")
				c.Close()
			}
		}
	}))
	for path, code := range map[string]string{
		"/endless": codeTooLarge, "/bomb": codeTooLarge, "/headers": codeTooLarge,
		"/switch": codeFetchError, "/cut": codeFetchError, "/garbage": codeFetchError,
	} {
		if a := g.fetch(t, []string{"a.example"}, m{"url": "http://a.example:" + port + path}); a.Error.Code != code {
			t.Errorf("%s: %.200s", path, a.raw)
		}
	}
	if a := g.fetch(t, []string{"a.example"}, m{"url": "http://a.example:" + port + "/gzip", "headers": m{"accept-encoding": "br"}}); a.Body != "unpacked" {
		t.Error(a.raw)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	g := newGate(map[string][]string{"a.example": {"127.0.0.1"}})
	port := g.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}))
	for _, path := range []string{"/", "/body"} {
		s := g.Session([]string{"a.example"})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		out := s.Fetch(ctx, []byte(`{"url":"http://a.example:`+port+path+`"}`), nil)
		cancel()
		s.Close()
		if !bytes.Contains(out, []byte(codeFetchError)) || time.Since(start) > 5*time.Second {
			t.Errorf("%s: %s after %v", path, out, time.Since(start))
		}
	}
}
