package api

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/runnelhq/runnel"
)

// How many failed logins an address may make: some at once, for clients that try
// again with an expired token, then one per second.
const (
	failureBurst = 100
	failureEvery = time.Second
	maxAddresses = 10_000 // whose failures are remembered
)

// guesses counts failed logins per address. A valid credential is never refused
// for them: behind a proxy or NAT many callers share an address, and one of them
// must not lock out the others. What is slowed down is guessing, and filling the
// log with it; that guessing cannot succeed is the keys' length.
type guesses struct {
	trusted []netip.Prefix // proxies whose X-Forwarded-For is believed
	now     func() time.Time

	mu    sync.Mutex
	until map[netip.Addr]time.Time // guarded by mu: when the address's failures will be forgotten
}

func newGuesses(trusted []netip.Prefix) *guesses {
	return &guesses{trusted: trusted, now: time.Now, until: map[netip.Addr]time.Time{}}
}

// count adds a failure and tells whether the address has made too many.
func (f *guesses) count(a netip.Addr) (over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	until, known := f.until[a]
	if !known && len(f.until) >= maxAddresses {
		f.forget(now)
	}
	if until.Before(now) {
		until = now
	}
	// A token bucket, written as the time at which it is full again.
	if until.Sub(now) > (failureBurst-1)*failureEvery {
		return true
	}
	f.until[a] = until.Add(failureEvery)
	return false
}

// forget makes room: addresses whose failures are over, or any one.
func (f *guesses) forget(now time.Time) {
	for a, until := range f.until {
		if until.Before(now) {
			delete(f.until, a)
		}
	}
	for a := range f.until {
		if len(f.until) < maxAddresses {
			break
		}
		delete(f.until, a)
	}
}

// address is whom a request comes from: the peer, or, when that is a trusted proxy,
// the last address in X-Forwarded-For that is not one. An IPv6 customer has a /64.
func (f *guesses) address(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	a := parseAddress(host)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !f.isTrusted(a) {
			break
		}
		next := parseAddress(strings.TrimSpace(hop))
		if !next.IsValid() {
			break
		}
		a = next
	}
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	return a
}

func (f *guesses) isTrusted(a netip.Addr) bool {
	return slices.ContainsFunc(f.trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

func parseAddress(s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// refused counts a credential that was refused, and returns the error to answer
// with: err, or TooManyRequests. A request without a credential is no guess.
func (s *Server) refused(r *http.Request, err error) error {
	if token, bad := bearer(r); err == nil || runnel.CodeOf(err) != runnel.CodeUnauthorized || token == "" && bad == nil {
		return err
	}
	return s.countFailure(r, err)
}

// countFailure is refused for a credential that was in the body.
func (s *Server) countFailure(r *http.Request, err error) error {
	if !s.guesses.count(s.guesses.address(r)) {
		return err
	}
	return runnel.Errorf(runnel.CodeTooManyRequests, "too many requests with a wrong token from your address: wait, and send a valid token")
}
