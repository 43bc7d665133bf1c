package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	maxRedirects       = 5
	maxResponseHeaders = 64 << 10
	dialTimeout        = 10 * time.Second // of one connection; the invocation's deadline holds as well
	idleTimeout        = 30 * time.Second // longer than a function should think between two calls
)

// Client makes Sessions. It holds no connections. Safe for concurrent use.
type Client struct {
	ports    []uint16
	control  func(network, address string, c syscall.RawConn) error // the second gate
	resolver *net.Resolver                                          // nil: the system's
	tls      *tls.Config                                            // nil: the system's authorities
}

// New returns a Client that reaches public addresses on ports 80 and 443.
func New() *Client {
	return &Client{ports: []uint16{80, 443}, control: newGuard().Safe}
}

// Session is the network of one invocation.
type Session struct {
	client    *Client
	allowed   []string
	once      sync.Once
	transport *http.Transport
}

// Session returns the network of an invocation of a function with these allowed
// hosts: names such as api.example.com, or *.example.com for every name below.
// Close it when the invocation has ended.
func (c *Client) Session(allowed []string) *Session {
	return &Session{client: c, allowed: allowed}
}

// Close closes the session's connections. No Fetch may be under way.
func (s *Session) Close() {
	s.once.Do(func() {})
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
}

// Fetch performs http_fetch: a request in JSON to a response in JSON, as the
// contract has them (section 6). What fails is a response too: HostNotAllowed,
// FetchError or TooLarge. It returns when ctx ends.
//
// sending, unless nil, is called with a request that will be sent, before it is, and
// may set headers. They go no further than to the first origin.
func (s *Session) Fetch(ctx context.Context, request []byte, sending func(method string, to *url.URL, h http.Header)) []byte {
	out, err := s.fetch(ctx, request, sending)
	if err != nil {
		return explain("", err).response()
	}
	return out
}

func (s *Session) fetch(ctx context.Context, b []byte, sending func(string, *url.URL, http.Header)) ([]byte, error) {
	r, err := decode(b)
	if err != nil {
		return nil, err
	}
	to, err := checkURL(r.URL, nil, s.allowed, s.client.ports)
	if err != nil {
		return nil, err
	}
	// Another Host would reach whatever else lives behind an allowed address.
	if r.host != "" && r.host != to.Host && r.host != to.host {
		return nil, failf(codeFetchError, "the host header is not the URL's host: leave it out")
	}
	s.once.Do(func() { s.transport = s.client.newTransport() })
	if s.transport == nil {
		return nil, context.Canceled // closed
	}
	if sending != nil {
		sending(r.Method, to.URL, r.header)
	}
	for hops := 0; ; hops++ {
		out, next, err := s.exchange(ctx, r, to)
		if err != nil {
			return nil, explain(to.host, err)
		}
		if next == nil {
			return out, nil
		}
		if hops == maxRedirects {
			return nil, failf(codeFetchError, "more than %d redirects: the last one came from %s", maxRedirects, to.host)
		}
		to = next
	}
}

// exchange sends the request to one URL. next is where it has to be sent instead.
func (s *Session) exchange(ctx context.Context, r *request, to *target) (out []byte, next *target, err error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, to.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, nil, failf(codeFetchError, "the URL is not valid")
	}
	if r.body == nil {
		req.Body, req.ContentLength = nil, 0
	}
	req.Header = r.header.Clone()
	// RoundTrip and not a Client: a Client would keep credentials on the way to
	// subdomains and from https to http, and would drop only the names it knows.
	res, err := s.transport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if res.StatusCode < 200 {
		// 101: the connection would be ours, and its end no longer tied to ctx.
		return nil, nil, failf(codeFetchError, "host %s switches protocols, which is not possible here", to.host)
	}
	location := res.Header.Get("Location")
	if !isRedirect(res.StatusCode) || location == "" || r.Redirect == "manual" {
		out, err = readResponse(res, to.URL)
		return out, nil, err
	}
	if r.Redirect == "error" {
		return nil, nil, failf(codeFetchError, "host %s answered with a redirect, and redirect is error", to.host)
	}
	next, err = checkURL(location, to.URL, s.allowed, s.client.ports)
	if err != nil {
		f := explain("", err)
		return nil, nil, failf(f.Code, "host %s redirects: %s", to.host, f.Message)
	}
	if to.Scheme == "https" && next.Scheme == "http" {
		return nil, nil, failf(codeFetchError, "host %s redirects from https to http, which is not followed", to.host)
	}
	r.redirected(res.StatusCode, to.origin() == next.origin())
	return nil, next, nil
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// rooted makes the name in host:port absolute, so that no search domain of the
// system's resolver is tried for it: what the allow-list names is what is resolved.
func rooted(address string) string {
	host, port, ok := strings.Cut(address, ":")
	if !ok || numeric(host) {
		return address
	}
	return host + ".:" + port
}

func (c *Client) newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, Resolver: c.resolver, Control: c.control}
	// HTTP/1.1 is enough for calling APIs, and HTTP/2 would multiply what a hostile
	// server can do to this process.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy: nil, // the guard would see the proxy's address and nothing else
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if !strings.HasPrefix(network, "tcp") {
				return nil, failf(codeHostNotAllowed, "only TCP can be used")
			}
			return dialer.DialContext(ctx, network, rooted(address))
		},
		TLSClientConfig:        c.tls.Clone(),
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConns:           4,
		MaxConnsPerHost:        16,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHeaders,
		WriteBufferSize:        4 << 10,
		ReadBufferSize:         4 << 10,
		Protocols:              protocols,
	}
}
