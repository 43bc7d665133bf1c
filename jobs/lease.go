package jobs

import (
	"sync"
	"sync/atomic"
	"time"
)

// lease is how long this worker is certainly not taken for dead. A process that was
// stopped and goes on, or that could not reach the database, may hold jobs that
// somebody else has settled meanwhile: it starts nothing before it has a lease again.
type lease struct {
	wanted chan struct{} // renew it now

	mu      sync.Mutex
	renewed time.Time // when the last heartbeat that arrived was sent; guarded by mu
}

func newLease() *lease { return &lease{wanted: make(chan struct{}, 1)} }

func (l *lease) renew(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = sent
}

// over tells whether others may have taken this worker for dead, and if so asks for
// a heartbeat.
func (l *lease) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.renewed) < silentAfter {
		return false
	}
	select {
	case l.wanted <- struct{}{}:
	default: // it has been asked for
	}
	return true
}

// clock tells the database's time. Machines' clocks may be minutes off, and what is
// logged is compared with what the database wrote.
type clock struct{ ahead atomic.Int64 } // nanoseconds that the database is ahead

// set learns from the database's time, read somewhere between asked and answered.
func (c *clock) set(database, asked, answered time.Time) {
	here := asked.Add(answered.Sub(asked) / 2)
	c.ahead.Store(int64(database.Sub(here.Round(0)))) // wall clocks, both
}

// at is a time of this machine by the database's clock.
func (c *clock) at(here time.Time) time.Time { return here.Add(time.Duration(c.ahead.Load())) }

// here is a time of the database's by this machine's clock.
func (c *clock) here(at time.Time) time.Time { return at.Add(-time.Duration(c.ahead.Load())) }

func (c *clock) now() time.Time { return c.at(time.Now()) }
