package api

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/runnelhq/runnel"
)

func TestGuessesAreLimitedPerAddress(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	g := newGuesses(nil)
	g.now = func() time.Time { return now }
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	spend := func(a netip.Addr) (n int) {
		for !g.count(a) {
			n++
		}
		return n
	}
	if n := spend(one); n != failureBurst {
		t.Errorf("%d failures at once, want %d", n, failureBurst)
	}
	if g.count(two) {
		t.Error("another address is over the limit too")
	}
	now = now.Add(3 * failureEvery)
	if n := spend(one); n != 3 {
		t.Errorf("%d failures after 3 s, want 3", n)
	}
	now = now.Add(24 * time.Hour)
	if n := spend(one); n != failureBurst {
		t.Errorf("%d failures a day later, want %d", n, failureBurst)
	}
}

func TestGuessesAreForgotten(t *testing.T) {
	t.Parallel()
	g := newGuesses(nil)
	a := netip.MustParseAddr("10.0.0.0")
	for range 3 * maxAddresses {
		g.count(a)
		a = a.Next()
	}
	if n := len(g.until); n > maxAddresses {
		t.Errorf("%d addresses are remembered, want at most %d", n, maxAddresses)
	}
}

func TestAddressOfARequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ peer, forwarded, trusted, want string }{
		{"192.0.2.1:1234", "", "", "192.0.2.1"},
		{"192.0.2.1:1234", "198.51.100.7", "", "192.0.2.1"}, // anyone can write that header
		{"10.1.2.3:1234", "198.51.100.7", "10.0.0.0/8", "198.51.100.7"},
		{"10.1.2.3:1234", "203.0.113.9, 198.51.100.7", "10.0.0.0/8", "198.51.100.7"}, // the client wrote the first
		{"10.1.2.3:1234", "198.51.100.7, 10.9.9.9", "10.0.0.0/8", "198.51.100.7"},
		{"10.1.2.3:1234", "nonsense", "10.0.0.0/8", "10.1.2.3"},
		{"10.1.2.3:1234", "", "10.0.0.0/8", "10.1.2.3"},
		{"10.1.2.3:1234", "10.4.5.6", "10.0.0.0/8", "10.4.5.6"},
		{"[2001:db8:1:2:3:4:5:6]:1", "", "", "2001:db8:1:2::"},
		{"[::ffff:192.0.2.1]:1", "", "", "192.0.2.1"},
		{"[fe80::1%eth0]:1", "", "", "fe80::"},
	} {
		var trusted []netip.Prefix
		if c.trusted != "" {
			trusted = append(trusted, netip.MustParsePrefix(c.trusted))
		}
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{}}
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := newGuesses(trusted).address(r); got.String() != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestWrongTokensEndIn429(t *testing.T) {
	h := newHouse(t, Config{})
	last := map[string]int{}
	for range failureBurst + 1 {
		last["admin"] = h.do(http.MethodGet, "/admin/v1/functions", "", "Authorization", "Bearer wrong").StatusCode
	}
	r := h.do(http.MethodGet, "/admin/v1/functions", "", "Authorization", "Bearer wrong")
	if last["admin"] != http.StatusTooManyRequests || r.code() != runnel.CodeTooManyRequests || r.Header.Get("Retry-After") == "" {
		t.Errorf("after %d wrong tokens: %v", failureBurst, r)
	}
	for path, want := range map[string]int{"/riverui/": 429, "/metrics": 429} {
		if r := h.do(http.MethodGet, path, "", "Authorization", "Bearer wrong"); r.StatusCode != want {
			t.Errorf("%s: %v", path, r)
		}
	}
	if r := h.do(http.MethodPost, "/login", "token=wrong", "Content-Type", "application/x-www-form-urlencoded"); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("login: %v", r)
	}
	// No credential is no guess, and a valid one is always heard.
	if r := h.do(http.MethodGet, "/admin/v1/functions", ""); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %v", r)
	}
	if r := h.admin(http.MethodGet, "/admin/v1/functions", ""); r.StatusCode != http.StatusOK {
		t.Errorf("with the token: %v", r)
	}
	service := mint(t, jwt.MapClaims{"role": runnel.RoleService})
	if r := h.do(http.MethodGet, "/admin/v1/functions", "", "Authorization", "Bearer "+service); r.StatusCode != http.StatusOK {
		t.Errorf("with a service_role token: %v", r)
	}
}

func TestEverySlowClientIsCutOff(t *testing.T) {
	h := newHouse(t, Config{})
	srv := h.server.httpServer()
	if srv.ReadHeaderTimeout <= 0 || srv.ReadTimeout <= 0 || srv.WriteTimeout <= srv.ReadTimeout || srv.IdleTimeout <= 0 || srv.MaxHeaderBytes <= 0 {
		t.Errorf("a limit is missing: %+v", srv)
	}
	if srv.ReadHeaderTimeout > 10*time.Second || srv.MaxHeaderBytes > 64<<10 {
		t.Errorf("a limit is too wide: %+v", srv)
	}
}
