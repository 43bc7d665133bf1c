package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
)

// proxy stands between the processes and Postgres and does to connections what
// networks do. Its zero faults pass everything.
type proxy struct {
	listener net.Listener
	wg       sync.WaitGroup

	cut     atomic.Int64 // one in so many messages of a client is the last of its connection; 0: none
	deaf    atomic.Bool  // notifications are left out
	blind   atomic.Bool  // connections that ever said LISTEN carry nothing any more, and stay open
	severed atomic.Int64 // connections cut so far

	mu       sync.Mutex
	upstream string             // of connections to come; guarded by mu
	pairs    map[*pair]struct{} // guarded by mu
}

type pair struct {
	client, server net.Conn
	listens        atomic.Bool
	hole           atomic.Bool // swallows everything, both ways
}

func newProxy(upstream string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, upstream: upstream, pairs: map[*pair]struct{}{}}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// point has connections to come go to another server.
func (p *proxy) point(upstream string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = upstream
}

func (p *proxy) target() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.upstream
}

func (p *proxy) close() {
	p.listener.Close()
	p.cutAll()
	p.wg.Wait()
}

// cutAll resets every connection.
func (p *proxy) cutAll() {
	for _, c := range p.open() {
		c.sever()
		p.severed.Add(1)
	}
}

// blackhole has a share of the open connections carry nothing any more: neither
// side is told.
func (p *proxy) blackhole(share float64) (n int) {
	for _, c := range p.open() {
		if rand.Float64() < share {
			c.hole.Store(true)
			n++
		}
	}
	return n
}

func (p *proxy) open() []*pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*pair, 0, len(p.pairs))
	for c := range p.pairs {
		all = append(all, c)
	}
	return all
}

func (c *pair) sever() {
	for _, conn := range []net.Conn{c.client, c.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not a goodbye
		}
		conn.Close()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target())
		if err != nil {
			client.Close()
			continue
		}
		c := &pair{client: client, server: server}
		p.mu.Lock()
		p.pairs[c] = struct{}{}
		p.mu.Unlock()
		var both sync.WaitGroup
		both.Go(func() { p.upward(c) })
		both.Go(func() { p.downward(c) })
		p.wg.Go(func() {
			both.Wait()
			p.mu.Lock()
			delete(p.pairs, c)
			p.mu.Unlock()
		})
	}
}

// upward copies what the client says. A cut comes with its message half sent, or
// sent whole and the answer lost.
func (p *proxy) upward(c *pair) {
	defer c.client.Close()
	defer c.server.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := c.client.Read(buf)
		if n > 0 {
			if !c.listens.Load() && bytes.Contains(buf[:n], []byte("LISTEN ")) {
				c.listens.Store(true)
			}
			cut := p.cut.Load()
			switch {
			case c.hole.Load() || p.blind.Load() && c.listens.Load():
			case cut > 0 && rand.Int64N(cut) == 0:
				if rand.IntN(2) == 0 {
					n /= 2
				}
				_, _ = c.server.Write(buf[:n])
				p.severed.Add(1)
				c.sever()
				return
			default:
				if _, err := c.server.Write(buf[:n]); err != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
	}
}

// downward copies what the server says, message by message.
func (p *proxy) downward(c *pair) {
	defer c.client.Close()
	defer c.server.Close()
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(c.server, head); err != nil {
			return
		}
		message := append(head, make([]byte, max(0, int(binary.BigEndian.Uint32(head[1:]))-4))...)
		if _, err := io.ReadFull(c.server, message[5:]); err != nil {
			return
		}
		if head[0] == 'A' && p.deaf.Load() || c.hole.Load() || p.blind.Load() && c.listens.Load() {
			continue
		}
		if _, err := c.client.Write(message); err != nil {
			return
		}
	}
}
