package egress

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

// internalAddresses are addresses that no function may reach, each with what it
// is. The list is ours and not the guard's.
var internalAddresses = map[string]string{
	"0.0.0.0": "this host", "0.1.2.3": "this network",
	"10.0.0.1": "private", "10.255.255.255": "private",
	"100.64.0.1": "shared", "100.100.100.200": "Alibaba metadata", "100.127.255.255": "shared",
	"127.0.0.1": "loopback", "127.1.2.3": "loopback", "127.255.255.254": "loopback",
	"169.254.169.254": "metadata", "169.254.170.2": "ECS credentials", "169.254.0.23": "Tencent metadata",
	"172.16.0.1": "private", "172.17.0.1": "docker", "172.31.255.255": "private",
	"192.0.0.192": "Oracle metadata", "192.0.0.1": "IETF", "192.0.2.1": "documentation",
	"192.31.196.1": "AS112", "192.52.193.1": "AMT", "192.88.99.1": "6to4 relay", "192.175.48.1": "AS112",
	"192.168.0.1": "private", "192.168.255.255": "private",
	"198.18.0.1": "benchmark", "198.19.255.255": "benchmark", "198.51.100.1": "documentation", "203.0.113.1": "documentation",
	"224.0.0.1": "multicast", "239.255.255.250": "SSDP", "240.0.0.1": "reserved", "255.255.255.255": "broadcast",
	"168.63.129.16": "Azure wire server", "161.26.0.10": "IBM Cloud", "166.8.0.1": "IBM Cloud", "166.11.255.255": "IBM Cloud",

	"::": "this host", "::1": "loopback", "::127.0.0.1": "compatible", "::169.254.169.254": "compatible",
	"::ffff:127.0.0.1": "mapped", "::ffff:169.254.169.254": "mapped", "::ffff:93.184.216.34": "mapped, public",
	"64:ff9b::7f00:1": "NAT64 of loopback", "64:ff9b::a9fe:a9fe": "NAT64 of metadata", "64:ff9b:1::1": "local NAT64",
	"100::1": "discard", "100:0:0:1::1": "dummy", "2001::1": "Teredo", "2001:2::1": "benchmark", "2001:10::1": "ORCHID", "2001:20::1": "ORCHIDv2",
	"2001:db8::1": "documentation", "2002:7f00:1::": "6to4 of loopback", "2002:a9fe:a9fe::1": "6to4 of metadata",
	"2620:4f:8000::1": "AS112", "3fff::1": "documentation", "3ffe::1": "6bone", "5f00::1": "segment routing",
	"fc00::1": "unique local", "fd00:ec2::254": "AWS metadata", "fd20:ce::254": "Google metadata",
	"fe80::1": "link local", "fec0::1": "site local", "ff02::1": "multicast", "4000::1": "unassigned",
}

func TestFUNC_S3_InternalAddressesAreRefused(t *testing.T) {
	t.Parallel()
	guard := newGuard()
	for address, what := range internalAddresses {
		ip := netip.MustParseAddr(address)
		network := "tcp4"
		if ip.Is6() {
			network = "tcp6"
		}
		for _, port := range []uint16{80, 443} {
			if guard.Safe(network, netip.AddrPortFrom(ip, port).String(), nil) == nil {
				t.Errorf("%s (%s) may be reached on port %d", address, what, port)
			}
		}
	}
	for _, address := range []string{"93.184.216.34:443", "8.8.8.8:443", "161.25.255.255:443", "166.12.0.1:80", "[2606:4700::1111]:443"} {
		network := "tcp4"
		if strings.HasPrefix(address, "[") {
			network = "tcp6"
		}
		if err := guard.Safe(network, address, nil); err != nil {
			t.Errorf("%s is public: %v", address, err)
		}
	}
	for _, address := range []string{"93.184.216.34:22", "93.184.216.34:5432", "93.184.216.34:0", "[fe80::1%eth0]:80", "nonsense", ""} {
		if guard.Safe("tcp4", address, nil) == nil {
			t.Errorf("%q may be reached", address)
		}
	}
	if guard.Safe("udp4", "93.184.216.34:443", nil) == nil || guard.Safe("unix", "/run/x", nil) == nil {
		t.Error("other networks than TCP may be used")
	}
}

func TestFUNC_S3_OwnAddressesAreRefused(t *testing.T) {
	t.Parallel()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	guard := newGuard()
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.(*net.IPNet).IP)
		if !ok {
			t.Fatalf("%v is no address", a)
		}
		if guard.SafeAddr(ip.Unmap()) == nil {
			t.Errorf("%v of this machine may be reached", ip)
		}
	}
}
