package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
)

// Clients that send all of a body before they read hear why it was refused.
func TestRefusalsReachClientsThatAreStillSending(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"open","verify_jwt":false}`, guests.Echo())
	h.function(`{"name":"closed"}`, guests.Echo())
	address := strings.TrimPrefix(h.url, "http://")

	tests := []struct {
		name, head string
		size       int
		status     int
	}{
		{"a body over the limit", "POST /functions/v1/open HTTP/1.1\r\n", runnel.MaxPayloadSize + 1, 413},
		{"far over the limit", "POST /functions/v1/open HTTP/1.1\r\n", 40 << 20, 413},
		{"without a token", "POST /functions/v1/closed HTTP/1.1\r\n", runnel.MaxPayloadSize, 401},
		{"to nobody", "POST /functions/v1/nobody HTTP/1.1\r\n", 40 << 20, 404},
		{"a module over the limit", "POST /admin/v1/functions HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\nAuthorization: Bearer " + testAdminToken + "\r\n", 40 << 20, 413},
		{"a module from nobody", "POST /admin/v1/functions HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n", 40 << 20, 401},
	}
	for _, tt := range tests {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, chunked %v", tt.name, chunked), func(t *testing.T) {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
					t.Fatal(err)
				}
				const part = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.wasm\"\r\n\r\n" // for those who read a form
				body := part + strings.Repeat("x", tt.size-len(part))
				request := fmt.Sprintf("%sHost: h\r\nContent-Length: %d\r\n\r\n%s", tt.head, tt.size, body)
				if chunked {
					request = fmt.Sprintf("%sHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", tt.head, tt.size, body)
				}
				if _, err := io.WriteString(conn, request); err != nil {
					t.Fatalf("the client cannot send its request to the end: %v", err)
				}
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if res.StatusCode != tt.status {
					t.Errorf("%d, want %d", res.StatusCode, tt.status)
				}
			})
		}
	}
}

// Requests as bytes, from clients that no library would be.
func TestRequestsOnTheWire(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"echo","verify_jwt":false}`, guests.Echo())
	address := strings.TrimPrefix(h.url, "http://")

	// say sends request and reads one answer to it.
	say := func(t *testing.T, method, request string) (*http.Response, map[string]any) {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(conn, request) }() // a refusal may come before its end
		reader := bufio.NewReader(conn)
		res, err := http.ReadResponse(reader, &http.Request{Method: method})
		for err == nil && res.StatusCode == http.StatusContinue {
			res, err = http.ReadResponse(reader, &http.Request{Method: method})
		}
		if err != nil {
			t.Fatalf("%.200q: %v", request, err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		var event map[string]any
		_ = json.Unmarshal(b, &event)
		return res, event
	}
	tests := []struct {
		name, method, request string
		status                int
		want                  map[string]any // of the event
	}{
		{"HTTP/1.0", "POST", "POST /functions/v1/echo HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", 200,
			map[string]any{"method": "POST", "path": "/echo", "body": map[string]any{}}},
		{"chunks", "POST", "POST /functions/v1/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\nTrailer: x\r\n\r\n", 200,
			map[string]any{"body": map[string]any{"a": 1.0}}},
		{"expects 100", "PUT", "PUT /functions/v1/echo/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", 200,
			map[string]any{"method": "PUT", "path": "/echo/x", "body": "hi"}},
		{"expects something else", "PUT", "PUT /functions/v1/echo/x HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: 2\r\n\r\nhi", 417, nil},
		{"expects 100 and is refused", "PUT", "PUT /functions/v1/nobody HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", 404, map[string]any{"code": "FunctionNotFound"}},
		{"HEAD", "HEAD", "HEAD /functions/v1/echo HTTP/1.1\r\nHost: h\r\n\r\n", 200, nil},
		{"GET with a query", "GET", "GET /functions/v1/invoke/echo/a%2Fb//c/?q=1&q=2&e=%C3%A9&x=%zz&__proto__=p HTTP/1.1\r\nHost: h\r\n\r\n", 200,
			map[string]any{"method": "GET", "path": "/echo/a%2Fb//c/", "body": nil,
				"query": map[string]any{"q": []any{"1", "2"}, "e": "é", "x": "%zz", "__proto__": "p"}}},
		{"a slash at the end", "DELETE", "DELETE /functions/v1/echo/ HTTP/1.1\r\nHost: h\r\n\r\n", 200, map[string]any{"method": "DELETE", "path": "/echo/"}},
		{"dots", "PATCH", "PATCH /functions/v1/echo/../../x/./y HTTP/1.1\r\nHost: h\r\n\r\n", 200, map[string]any{"path": "/echo/../../x/./y"}},
		{"dots for a name", "GET", "GET /functions/v1/../admin/v1/functions HTTP/1.1\r\nHost: h\r\n\r\n", 400, map[string]any{"code": "InvalidRequest"}},
		{"absolute target", "GET", "GET http://other.example/functions/v1/echo/x HTTP/1.1\r\nHost: h\r\n\r\n", 200, map[string]any{"path": "/echo/x"}},
		{"OPTIONS that is no preflight", "OPTIONS", "OPTIONS /functions/v1/echo HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\n\r\n", 200, map[string]any{"method": "OPTIONS"}},
		{"a method of its own", "BREW", "BREW /functions/v1/echo HTTP/1.1\r\nHost: h\r\n\r\n", 200, map[string]any{"method": "BREW"}},
		{"repeated headers", "GET", "GET /functions/v1/echo HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\nX-A:\r\nCOOKIE: a=b\r\ncookie: c=d\r\n\r\n", 200,
			map[string]any{"headers": map[string]any{"host": "h", "x-a": "1, 2, "}}},
		{"bytes that are not UTF-8", "POST", "POST /functions/v1/echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nX-Latin: caf\xe9\r\nContent-Length: 4\r\n\r\ncaf\xe9", 200,
			map[string]any{"body": "Y2Fm6Q==", "is_base64": true}},
		{"JSON with a mark", "POST", "POST /functions/v1/echo HTTP/1.1\r\nHost: h\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: 10\r\n\r\n\xef\xbb\xbf{\"a\":1}", 200,
			map[string]any{"body": map[string]any{"a": 1.0}}},
		{"gzip that says JSON", "POST", "POST /functions/v1/echo HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", 200,
			map[string]any{"body": "H4sI", "is_base64": true}},
		{"JSON of nothing", "POST", "POST /functions/v1/echo HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n", 200, map[string]any{"body": nil}},
		{"a body that ends early", "POST", "POST /functions/v1/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, map[string]any{"code": "InvalidRequest"}},
		{"60 KB of headers", "GET", "GET /functions/v1/echo HTTP/1.1\r\nHost: h\r\nX-Big: " + strings.Repeat("x", 60_000) + "\r\n\r\n", 200, map[string]any{"method": "GET"}},
		{"both lengths", "POST", "POST /functions/v1/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400, nil},
		{"no host", "GET", "GET /functions/v1/echo HTTP/1.1\r\n\r\n", 400, nil},
		{"wait of nonsense", "GET", "GET /functions/v1/echo HTTP/1.1\r\nHost: h\r\nPrefer: wait=abc, wait=-1\r\nPrefer: wait=1e9, wait=\r\n\r\n", 200, map[string]any{"method": "GET"}},
		{"no wait", "GET", "GET /functions/v1/echo HTTP/1.1\r\nHost: h\r\nPrefer: wait=0\r\n\r\n", 202, nil},
		{"a wait longer than the limit", "GET", "GET /functions/v1/echo HTTP/1.1\r\nHost: h\r\nPrefer: wait=2147483647\r\n\r\n", 200, map[string]any{"method": "GET"}},
		{"no wait, twice over", "GET", "GET /functions/v1/echo HTTP/1.1\r\nHost: h\r\nPrefer: respond-async, wait=5\r\n\r\n", 202, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, event := say(t, tt.method, tt.request)
			if res.StatusCode != tt.status {
				t.Fatalf("%d %v, want %d", res.StatusCode, event, tt.status)
			}
			if tt.status == 200 && (res.Header.Get(headerInvocationID) == "" || res.Header.Get(headerRequestID) == "") {
				t.Errorf("headers %v", res.Header)
			}
			for key, want := range tt.want {
				got, _ := json.Marshal(event[key])
				if want, _ := json.Marshal(want); string(got) != string(want) {
					t.Errorf("%s = %s, want %s", key, got, want)
				}
			}
		})
	}
}
