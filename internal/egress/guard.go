package egress

import (
	"net"
	"net/netip"

	"code.dny.dev/ssrf"
)

// internalV4 are ranges that look public and are not: a cloud routes them to its
// own services, and only from inside. The IANA special-purpose registries are in
// package ssrf, which also refuses all of IPv6 outside of 2000::/3.
var internalV4 = []netip.Prefix{
	netip.MustParsePrefix("168.63.129.16/32"), // Azure: wire server, DNS, health
	netip.MustParsePrefix("161.26.0.0/16"),    // IBM Cloud: service network
	netip.MustParsePrefix("166.8.0.0/14"),     // IBM Cloud: private endpoints
}

// internalV6 is what lies in 2000::/3 and belongs to nobody who answers honestly.
var internalV6 = []netip.Prefix{
	netip.MustParsePrefix("3ffe::/16"), // 6bone, given back (RFC 3701)
}

// newGuard returns the second gate. This machine's own addresses are refused too,
// also public ones: what listens there may trust its neighbours.
func newGuard() *ssrf.Guardian {
	v4, v6 := internalV4, internalV6
	addrs, _ := net.InterfaceAddrs() // without them the ranges still hold
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		if !ok {
			continue
		}
		if ip = ip.Unmap(); ip.Is4() {
			v4 = append(v4[:len(v4):len(v4)], netip.PrefixFrom(ip, 32))
		} else {
			v6 = append(v6[:len(v6):len(v6)], netip.PrefixFrom(ip, 128))
		}
	}
	return ssrf.New(ssrf.WithDeniedV4Prefixes(v4...), ssrf.WithDeniedV6Prefixes(v6...))
}
