package sandbox

import (
	"sync"

	"github.com/runnelhq/runnel/sandbox/image"
)

// Bounds of what the pool keeps.
const (
	poolSlots = 64       // reservations, idle
	poolUsed  = 16 << 20 // bytes of memory that an instance had; of more only the image's part is kept
	poolPlain = 4 << 20  // bytes of memory that an instance without an image had; of more nothing is kept
	// hotZeros is how much zero memory on either side of an image's data is cleared
	// by hand rather than given back to the system: what a small invocation touches,
	// the top of its stack and the first of its heap.
	hotZeros = 64 << 10
)

// pool keeps the memory of instances, mapped and resident: a page
// that is there already costs a tenth of one the system has to find and clear.
//
// What a guest left in a slot is still there while it is idle. It is made the image
// of the next guest when it is taken, every byte that any guest could have written:
// nothing that a guest says of itself is believed.
type pool struct {
	mu     sync.Mutex
	idle   map[int64][]slot // by size of the reservation
	count  int
	closed bool
}

// slot is a reservation and how much of it a guest could write.
type slot struct {
	reserved []byte
	used     int
}

// take returns a reservation of size bytes that holds the image and is zero behind it;
// without an image it is all zero.
func (p *pool) take(size int64, img *image.Image) ([]byte, error) {
	p.mu.Lock()
	list := p.idle[size]
	if n := len(list); n > 0 {
		s := list[n-1]
		p.idle[size] = list[:n-1]
		p.count--
		p.mu.Unlock()
		if s.reset(img) {
			return s.reserved, nil
		}
		release(s.reserved) // the system did not clear it
	} else {
		p.mu.Unlock()
	}
	b, err := reserve(int(size))
	if err == nil && img != nil {
		img.Restore(b)
	}
	return b, err
}

// put gives a reservation back of which a guest had used bytes; the image is the one
// it began with.
func (p *pool) put(b []byte, used int, img *image.Image) {
	zeros := true // behind used
	if used > poolUsed {
		kept := hotZeros
		if img != nil {
			kept += img.Pages * pageSize
		}
		kept = min(kept, poolUsed)
		zeros = giveBack(b[kept:used])
		used = kept
	}
	p.mu.Lock()
	if p.closed || !zeros || p.count >= poolSlots {
		p.mu.Unlock()
		giveBack(b[:used])
		release(b)
		return
	}
	if p.idle == nil {
		p.idle = map[int64][]slot{}
	}
	p.idle[int64(len(b))] = append(p.idle[int64(len(b))], slot{b, used})
	p.count++
	p.mu.Unlock()
}

// close releases what is idle; what comes later is released at once.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, list := range p.idle {
		for _, s := range list {
			release(s.reserved)
		}
	}
	p.idle, p.count = nil, 0
}

// reset makes the used part of a slot the image, and zero where the image has nothing.
func (s slot) reset(img *image.Image) bool {
	if img == nil {
		return s.zero(0, s.used)
	}
	end := max(s.used, img.Pages*pageSize)
	at := 0
	for from, data := range img.Runs() {
		if !s.zero(at, from) {
			return false
		}
		copy(s.reserved[from:], data)
		at = from + len(data)
	}
	return s.zero(at, end)
}

// zero clears from..to. The middle of a long stretch is given back to the system,
// which answers with zeros, and costs nothing where nobody wrote.
func (s slot) zero(from, to int) bool {
	to = min(to, max(from, s.used)) // no guest could write behind it
	if to-from <= 3*hotZeros {
		clear(s.reserved[from:to])
		return true
	}
	const page = 4 << 10
	first := (from + hotZeros + page - 1) &^ (page - 1)
	last := (to - hotZeros) &^ (page - 1)
	clear(s.reserved[from:first])
	clear(s.reserved[last:to])
	return discard(s.reserved[first:last])
}
