package egress

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errRecorded = errors.New("recorded, not dialled")

// gate is a Client whose dials are recorded. It asks the real guard about each
// address, and what the guard lets pass is connected to only when it is the test's
// own server: no test reaches beyond loopback.
type gate struct {
	*Client
	mu      sync.Mutex
	asked   []string // addresses about to be connected to
	refused []string // those that the guard refused
	own     netip.AddrPort
}

// newGate returns a gate. records answers name lookups: each name gives its
// addresses in turn, the last one again and again; "a b" is two addresses at once.
func newGate(records map[string][]string) *gate {
	g := &gate{Client: New()}
	guard := g.control
	g.control = func(network, address string, c syscall.RawConn) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.asked = append(g.asked, address)
		if g.own.IsValid() && address == g.own.String() {
			return nil
		}
		if err := guard(network, address, c); err != nil {
			g.refused = append(g.refused, address)
			return err
		}
		return errRecorded
	}
	g.resolver = newResolver(records)
	return g
}

// serve lets the gate reach a server on loopback, at its own port.
func (g *gate) serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	g.own = netip.MustParseAddrPort(srv.Listener.Addr().String())
	g.ports = append(slices.Clone(g.ports), g.own.Port())
	return strconv.Itoa(int(g.own.Port()))
}

// newResolver answers from records, over pipes instead of sockets.
func newResolver(records map[string][]string) *net.Resolver {
	var mu sync.Mutex
	asked := map[string]int{}
	lookup := func(name string) []string {
		mu.Lock()
		defer mu.Unlock()
		list := records[name]
		if len(list) == 0 {
			return nil
		}
		n := asked[name]
		asked[name]++
		return strings.Fields(list[min(n, len(list)-1)])
	}
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			_ = there.SetDeadline(time.Now().Add(5 * time.Second))
			for {
				var size [2]byte
				if _, err := io.ReadFull(there, size[:]); err != nil {
					return
				}
				query := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(there, query); err != nil {
					return
				}
				answer := answerDNS(query, lookup)
				if _, err := there.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
					return
				}
			}
		}()
		return here, nil
	}}
}

// answerDNS answers one question for A or AAAA. IPv6 addresses are found under
// the name with "6:" before it.
func answerDNS(query []byte, lookup func(string) []string) []byte {
	var labels []string
	i := 12
	for query[i] != 0 {
		n := int(query[i])
		labels = append(labels, string(query[i+1:i+1+n]))
		i += 1 + n
	}
	kind := binary.BigEndian.Uint16(query[i+1:])
	question := query[12 : i+5]
	name := strings.Join(labels, ".")
	if kind == 28 {
		name = "6:" + name
	}
	answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
	for _, a := range lookup(name) {
		ip := netip.MustParseAddr(a).AsSlice()
		answer[7]++
		answer = append(answer, 0xc0, 12)
		answer = binary.BigEndian.AppendUint16(answer, kind)
		answer = append(answer, 0, 1, 0, 0, 0, 0)
		answer = binary.BigEndian.AppendUint16(answer, uint16(len(ip)))
		answer = append(answer, ip...)
	}
	return answer
}

// answer is a response or an error.
type answer struct {
	response
	Error failure `json:"error"`
	raw   string
}

// fetch sends one request in a session of its own.
func (g *gate) fetch(t testing.TB, allowed []string, request any) answer {
	t.Helper()
	s := g.Session(allowed)
	defer s.Close()
	return fetchIn(t, s, request)
}

func fetchIn(t testing.TB, s *Session, request any) answer {
	t.Helper()
	b, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out := s.Fetch(ctx, b, nil)
	a := answer{raw: string(out)}
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if (a.Error.Code == "") == (a.Status == 0) {
		t.Fatalf("neither a response nor an error, or both: %s", out)
	}
	return a
}

type m = map[string]any
