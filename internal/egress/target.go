package egress

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxURL bounds a URL, as given and after a redirect.
const maxURL = 8 << 10

// hostName is a DNS name in ASCII, lower case and without a trailing dot, or four
// numbers. Anything else a URL can have for a host is refused rather than
// normalised: an allow-list and a resolver must not read a name differently.
var hostName = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$`)

// target is a URL that passed the first gate, in the form it is sent.
type target struct {
	*url.URL
	host string // without port
}

// checkURL is the first gate. ports are those that may be named besides the
// scheme's own.
func checkURL(raw string, base *url.URL, allowed []string, ports []uint16) (*target, error) {
	if len(raw) > maxURL {
		return nil, failf(codeTooLarge, "the URL is longer than %d KB: send data in the body", maxURL>>10)
	}
	u, err := url.Parse(raw)
	if err == nil && base != nil {
		u = base.ResolveReference(u)
	}
	// The text of a url.Error would repeat the URL, and with it what is secret in it.
	switch {
	case err != nil || u.Opaque != "":
		return nil, failf(codeFetchError, "the URL is not valid: send an absolute one such as https://api.example.com/path")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, failf(codeFetchError, "URL scheme %.20q is not allowed: use https or http", u.Scheme)
	case u.User != nil:
		return nil, failf(codeFetchError, "the URL has credentials in it: send them in the authorization header")
	}
	host := strings.ToLower(u.Hostname())
	if strings.HasPrefix(u.Host, "[") {
		return nil, failf(codeHostNotAllowed, "IPv6 addresses cannot be fetched: use the host's name and add it to allowed_hosts")
	}
	if len(host) > 253 || !hostName.MatchString(host) {
		return nil, failf(codeHostNotAllowed, "%.80q is not a host name: use the plain ASCII form (xn-- for others), without a dot at the end", host)
	}
	if numeric(host) {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is4() {
			return nil, failf(codeHostNotAllowed, "%.80q is not a host name and not an IPv4 address of four plain numbers", host)
		}
	}
	if !onList(host, allowed) {
		if numeric(host) {
			return nil, failf(codeHostNotAllowed, "address %s is not in the function's allowed_hosts: use the host's name and add it there", host)
		}
		return nil, failf(codeHostNotAllowed, "host %s is not in the function's allowed_hosts: add it, or one of its parents as *.%s", host, parent(host))
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || !slices.Contains(ports, uint16(n)) {
			return nil, failf(codeHostNotAllowed, "port %.10s is not allowed: only 80 and 443 are", p)
		}
		u.Host = host + ":" + strconv.FormatUint(n, 10)
	} else {
		u.Host = host
	}
	u.Fragment, u.RawFragment = "", ""
	return &target{u, host}, nil
}

// origin is what credentials belong to.
func (t *target) origin() string {
	port := t.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[t.Scheme]
	}
	return t.Scheme + "://" + t.host + ":" + port
}

// numeric tells whether resolvers may take the name for an address in one of its
// odd notations (127.1, 0177.0.0.1, 2130706433, 0x7f000001): WHATWG calls this
// "ends in a number".
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.Trim(last, "0123456789") == "" {
		return true
	}
	hex, ok := strings.CutPrefix(last, "0x")
	return ok && strings.Trim(hex, "0123456789abcdef") == ""
}

// onList tells whether host is one of allowed: the name itself, or any name below
// the one after "*.".
func onList(host string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(entry string) bool {
		entry = strings.ToLower(entry)
		if suffix, ok := strings.CutPrefix(entry, "*"); ok {
			return strings.HasPrefix(suffix, ".") && len(host) > len(suffix) && strings.HasSuffix(host, suffix)
		}
		return host == entry
	})
}

func parent(host string) string {
	if _, rest, ok := strings.Cut(host, "."); ok {
		return rest
	}
	return host
}
