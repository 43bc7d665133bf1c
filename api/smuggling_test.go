package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What is not plain HTTP is refused before any of it is acted on: a proxy in front
// of us may have read it in another way, and taken part of it for a body. Each
// request tries to have a second one, to /healthz, be read out of it.
func TestRequestsThatCouldBeReadInTwoWays(t *testing.T) {
	h := newHouse(t, Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := h.server.httpServer()
	srv.ReadHeaderTimeout, srv.ReadTimeout, srv.IdleTimeout = 2*time.Second, 2*time.Second, 200*time.Millisecond
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })

	const second = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	ask := func(raw string) string {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(c, raw) // the server may hang up first
		var statuses []string
		for r := bufio.NewReader(c); ; {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				return strings.Join(statuses, " ")
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			statuses = append(statuses, fmt.Sprint(resp.StatusCode))
		}
	}
	// The controls: one request, and two in a row.
	if got := ask(second); got != "200" {
		t.Fatalf("a plain request: %q", got)
	}
	if got := ask(second + second); got != "200 200" {
		t.Fatalf("two requests: %q", got)
	}

	const post = "POST /nothing HTTP/1.1\r\nHost: x\r\n"
	chunked := "\r\n\r\n0\r\n\r\n"
	for name, raw := range map[string]string{
		"two lengths":                  post + "Content-Length: 0\r\nContent-Length: 35\r\n\r\n" + second,
		"a list of lengths":            post + "Content-Length: 0, 35\r\n\r\n" + second,
		"a signed length":              post + "Content-Length: +0\r\n\r\n" + second,
		"a negative length":            post + "Content-Length: -1\r\n\r\n" + second,
		"a hexadecimal length":         post + "Content-Length: 0x23\r\n\r\n" + second,
		"a length in other digits":     post + "Content-Length: ٣\r\n\r\n" + second,
		"a huge length":                post + "Content-Length: 99999999999999999999\r\n\r\n" + second,
		"a length of nothing":          post + "Content-Length: \r\n\r\n" + second,
		"a space before the colon":     post + "Transfer-Encoding : chunked" + chunked + second,
		"a tab before the colon":       post + "Content-Length\t: 0\r\n\r\n" + second,
		"an unknown encoding":          post + "Transfer-Encoding: xchunked" + chunked + second,
		"two encodings":                post + "Transfer-Encoding: chunked, chunked" + chunked + second,
		"identity and chunked":         post + "Transfer-Encoding: identity, chunked" + chunked + second,
		"gzip and chunked":             post + "Transfer-Encoding: gzip, chunked" + chunked + second,
		"chunked and something":        post + "Transfer-Encoding: chunked, x" + chunked + second,
		"the encoding twice":           post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity" + chunked + second,
		"the encoding quoted":          post + "Transfer-Encoding: \"chunked\"" + chunked + second,
		"the encoding after a control": post + "Transfer-Encoding: \x0bchunked" + chunked + second,
		"a NUL in a header":            post + "X: a\x00b\r\nContent-Length: 0\r\n\r\n" + second,
		"a NUL in a name":              post + "X\x00: a\r\nContent-Length: 0\r\n\r\n" + second,
		"a bare CR in a header":        post + "X: a\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + second,
		"a space in a name":            post + "X Y: a\r\nContent-Length: 0\r\n\r\n" + second,
		"a header without a colon":     post + "nonsense\r\nContent-Length: 0\r\n\r\n" + second,
		"a line that goes on first":    "POST /nothing HTTP/1.1\r\n Host: x\r\n\r\n" + second,
		"no host":                      "GET /healthz HTTP/1.1\r\n\r\n" + second,
		"two hosts":                    "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + second,
		"a host with a path":           "GET /healthz HTTP/1.1\r\nHost: x/../y\r\n\r\n" + second,
		"a host with a space":          "GET /healthz HTTP/1.1\r\nHost: x y\r\n\r\n" + second,
		"HTTP/0.9":                     "GET /healthz\r\n\r\n" + second,
		"HTTP/2 without asking":        "GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n" + second,
		"HTTP/3":                       "GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n" + second,
		"another protocol":             "SSH-2.0-OpenSSH_9.2\r\n\r\n" + second,
		"a method with a colon":        "GE:T /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + second,
		"a path with a space":          "GET /healthz /x HTTP/1.1\r\nHost: x\r\n\r\n" + second,
		"a path with a control":        "GET /heal\x01thz HTTP/1.1\r\nHost: x\r\n\r\n" + second,
		"a path that ends in %":        "GET /healthz% HTTP/1.1\r\nHost: x\r\n\r\n" + second,
		"a chunk of a huge size":       post + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx\r\n0\r\n\r\n" + second,
		"a chunk of a negative size":   post + "Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n" + second,
		"a chunk of size 0x1":          post + "Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n" + second,
		"a chunk longer than it says":  post + "Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n" + second,
		"a chunk's endless extension":  post + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 10_000) + "\r\nx\r\n0\r\n\r\n" + second,
		"a header of 100 KB":           "GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n" + second,
		"10,000 headers":               "GET /healthz HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: xxxxxx\r\n", 10_000) + "\r\n" + second,
		"a path of 100 KB":             "GET /" + strings.Repeat("x", 100_000) + " HTTP/1.1\r\nHost: x\r\n\r\n" + second,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ask(raw); strings.Contains(got, "200") {
				t.Errorf("answered with %s", got)
			}
		})
	}
}

// An absolute address, another host and the headers of proxies change nothing
// about who is asked for what: management stays closed.
func TestManagementCannotBeReachedByAnotherName(t *testing.T) {
	h := newHouse(t, Config{AdminToken: "an admin token of the tests", JWTSecret: []byte(testJWTSecret)})
	for _, header := range []http.Header{
		{}, {"X-Original-Url": {"/healthz"}}, {"X-Rewrite-Url": {"/admin/v1/functions"}}, {"X-Http-Method-Override": {"DELETE"}}, {"X-Forwarded-For": {"127.0.0.1"}},
		{"X-Forwarded-Host": {"localhost"}}, {"Forwarded": {"for=127.0.0.1"}}, {"X-Real-Ip": {"127.0.0.1"}}, {"Host": {"localhost"}},
		{"Authorization": {"Bearer"}}, {"Authorization": {"Bearer "}}, {"Authorization": {"Basic YWRtaW46YWRtaW4="}}, {"Authorization": {"Bearer null"}}, {"Authorization": {"bearer undefined"}},
		{"Authorization": {"Bearer x", "Bearer an admin token of the tests"}}, {"Apikey": {"another token"}}, {"Cookie": {"runnel_session=x"}}, {"Cookie": {"runnel_session="}},
	} {
		for _, target := range []string{
			"/admin/v1/functions", "/admin/v1/functions/", "//admin/v1/functions", "/./admin/v1/functions", "/functions/../admin/v1/functions", "/functions/v1/../../admin/v1/functions",
			"/%61dmin/v1/functions", "/admin%2fv1%2ffunctions", "/ADMIN/v1/functions", "/healthz/../admin/v1/functions", "http://localhost/admin/v1/functions", "/admin/v1/functions?x=/healthz", "/admin/v1/functions;x", "/metrics", "/metrics/", "/riverui/", "/riverui/api/jobs",
		} {
			r := httptest.NewRequest(http.MethodGet, target, nil)
			r.RemoteAddr = "192.0.2.1:1"
			for k, v := range header {
				r.Header[k] = v
			}
			w := httptest.NewRecorder()
			h.server.Handler().ServeHTTP(w, r)
			if w.Code < 300 || w.Code >= 500 {
				t.Errorf("%s with %v: %d %.100s", target, header, w.Code, w.Body)
			}
			if at := w.Header().Get("Location"); strings.HasPrefix(at, "//") || strings.Contains(at, "://") {
				t.Errorf("%s with %v: sent to %s", target, header, at)
			}
		}
	}
}
