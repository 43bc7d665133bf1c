package sql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/runnelhq/runnel"
)

const (
	// DefaultSlots is how many connections of each level one process opens at most
	// when Options does not say.
	DefaultSlots = 8
	// maxLogins bounds the logins of one level that are made in a database, for all
	// processes together.
	maxLogins = 512
	// idleSlot is how long an unused connection is kept.
	idleSlot = time.Minute
	// openTimeout bounds the search for a login that nobody uses.
	openTimeout = 10 * time.Second
	// verdictLife is how long a level that cannot be had is not tried again.
	verdictLife = 10 * time.Second
)

// slots lends connections for functions' SQL. They are opened when they are needed:
// a function that sends no SQL takes none.
type slots struct {
	db     *DB
	secret string
	limit  int
	types  types

	cancels sync.WaitGroup

	mu     sync.Mutex
	levels map[string]*level // guarded by mu
	closed bool              // guarded by mu
}

// level is the connections of one level.
type level struct {
	name   string
	places chan struct{} // one for each connection in use

	mu      sync.Mutex
	idle    []*slot         // guarded by mu; the last one is the most recently used
	taken   map[string]bool // guarded by mu; logins that this process uses or tries
	verdict *guestError     // guarded by mu; why there are none
	until   time.Time       // guarded by mu; end of the verdict
}

func newSlots(db *DB, secret string, limit int) *slots {
	if limit <= 0 {
		limit = DefaultSlots
	}
	return &slots{db: db, secret: secret, limit: limit, levels: map[string]*level{}}
}

func (s *slots) level(name string) *level {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.levels[name]
	if l == nil {
		l = &level{name: name, places: make(chan struct{}, s.limit), taken: map[string]bool{}}
		s.levels[name] = l
	}
	return l
}

// acquire returns a connection whose claims are still to be written. reused says
// that it lay idle, so that it may have been cut since.
func (s *slots) acquire(ctx context.Context, name string) (c *slot, reused bool, err error) {
	switch {
	case s.secret == "":
		return nil, false, &guestError{Code: guestRLSUnavailable, Message: "db_query is not set up: set RUNNEL_SLOT_SECRET for the workers to a random text, for example from: openssl rand -hex 32"}
	case name != runnel.RoleAnon && name != runnel.RoleAuthenticated && name != runnel.RoleService:
		return nil, false, &guestError{Code: guestRLSUnavailable, Message: fmt.Sprintf("there is no level for role %.80q: use anon, authenticated or service_role", name)}
	}
	l := s.level(name)
	if err := s.wait(ctx, l); err != nil {
		return nil, false, err
	}
	if c := l.pop(); c != nil {
		return c, true, nil
	}
	c, err = s.open(ctx, l)
	if err != nil {
		<-l.places
	}
	return c, false, err
}

// wait takes a place, and gives up early enough for the function to see why.
func (s *slots) wait(ctx context.Context, l *level) error {
	select {
	case l.places <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, patience(ctx, runnel.MaxTimeout))
	defer cancel()
	select {
	case l.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &guestError{Code: guestUnavailable, SQLState: "53300", Message: fmt.Sprintf("all %d database connections of %s were in use until the function's time was over: raise RUNNEL_SLOTS, or hold fewer at once", s.limit, l.name)}
	}
}

// patience is how long to wait at most, so that the function can still see why it
// got nothing.
func patience(ctx context.Context, most time.Duration) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return most
	}
	left := time.Until(deadline)
	return min(most, left-min(100*time.Millisecond, left/10))
}

func (l *level) pop() *slot {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.idle) > 0 {
		c := l.idle[len(l.idle)-1]
		l.idle = l.idle[:len(l.idle)-1]
		if c.idle.Stop() {
			return c
		}
		c.kill() // its time was just over: expire, which waits for us, drops it
	}
	return nil
}

// release takes a connection back: cleaned, or closed if there is any doubt.
func (s *slots) release(c *slot) {
	l := s.level(c.level)
	defer func() { <-l.places }()
	if !c.clean() {
		c.kill()
		l.drop(c.name)
		return
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		c.kill()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.idle = time.AfterFunc(idleSlot, func() { l.expire(c) })
	l.idle = append(l.idle, c)
}

func (l *level) expire(c *slot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.idle {
		if other == c {
			l.idle = append(l.idle[:i], l.idle[i+1:]...)
		}
	}
	c.kill()
	delete(l.taken, c.name)
}

// close closes what is idle. What is in use is closed when it comes back.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, l := range s.levels {
		l.mu.Lock()
		for _, c := range l.idle {
			c.idle.Stop()
			c.kill()
		}
		l.idle = nil
		l.mu.Unlock()
	}
	s.cancels.Wait()
}

// open logs in as a slot that nobody is using, and makes one where there is none.
func (s *slots) open(ctx context.Context, l *level) (*slot, error) {
	l.mu.Lock()
	verdict := l.verdict
	if time.Now().After(l.until) {
		verdict = nil
	}
	l.mu.Unlock()
	if verdict != nil {
		return nil, verdict
	}
	c, err := s.tryOpen(ctx, l)
	var fault *guestError
	if errors.As(err, &fault) && fault.Code == guestRLSUnavailable {
		l.mu.Lock()
		l.verdict, l.until = fault, time.Now().Add(verdictLife)
		l.mu.Unlock()
	}
	return c, err
}

// tryOpen goes through the logins until it has one. Other processes choose from the
// same ones, and a login that two try at once refuses both, as it does while its
// last connection is still ending: so it pauses, for a random time, and looks again.
func (s *slots) tryOpen(ctx context.Context, l *level) (*slot, error) {
	limit, cancel := context.WithTimeout(ctx, patience(ctx, openTimeout))
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		c, err := s.openOne(ctx, l)
		if !occupied(err) {
			return c, err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-limit.Done():
			return nil, fmt.Errorf("%w: %w", &guestError{Code: guestUnavailable, SQLState: "53300", Message: "the database has no connection left for functions: raise max_connections, or lower RUNNEL_SLOTS"}, err)
		}
	}
}

// openOne tries each login that seems free once. The error is occupied if another
// look may find one.
func (s *slots) openOne(ctx context.Context, l *level) (*slot, error) {
	var free, stale []string
	var prefix string
	var last int
	if err := s.db.pool.QueryRow(ctx, slotsSQL, l.name, s.mark()).Scan(&free, &stale, &prefix, &last); err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	var busy error
	for _, name := range free {
		if !l.take(name) {
			continue
		}
		c, err := s.login(ctx, l, name)
		if !occupied(err) {
			return c, err
		}
		busy = err
	}
	if busy != nil {
		return nil, busy
	}
	name := l.takeNew(stale, prefix, last)
	if name == "" {
		return nil, &guestError{Code: guestUnavailable, SQLState: "53300", Message: fmt.Sprintf("all %d logins of %s are in use: run fewer workers, or lower RUNNEL_SLOTS", maxLogins, l.name)}
	}
	if err := s.create(ctx, name, l.name); err != nil {
		l.drop(name)
		return nil, refused(l.name, err)
	}
	return s.login(ctx, l, name)
}

// login connects as a login that was taken, and drops it if that fails.
func (s *slots) login(ctx context.Context, l *level, name string) (*slot, error) {
	c, err := s.dial(ctx, name, l.name)
	if repairable(err) && s.create(ctx, name, l.name) == nil {
		c, err = s.dial(ctx, name, l.name)
	}
	if err == nil {
		return c, nil
	}
	l.drop(name)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", errGone, err)
	case occupied(err):
		return nil, err
	}
	return nil, refused(l.name, err)
}

// take reserves a login within this process. False: it is reserved already.
func (l *level) take(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken[name] {
		return false
	}
	l.taken[name] = true
	return true
}

// takeNew reserves a login that is to be made: one whose password is of another
// secret, else the next number. It is empty when there are too many.
func (l *level) takeNew(stale []string, prefix string, last int) string {
	for _, name := range stale {
		if l.take(name) {
			return name
		}
	}
	for n := last + 1; n <= maxLogins; n++ {
		if name := fmt.Sprintf("%s%d", prefix, n); l.take(name) {
			return name
		}
	}
	return ""
}

func (l *level) drop(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.taken, name)
}

func (s *slots) create(ctx context.Context, name, level string) error {
	v, err := verifier(s.password(name))
	if err != nil {
		return err
	}
	_, err = s.db.pool.Exec(ctx, `SELECT runnel.create_slot($1, $2, $3, $4)`, name, level, v, s.mark())
	return err
}

// occupied tells whether a login failed because someone is connected as it, or
// because the server has no connection left.
func occupied(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "53300"
}

// repairable tells whether making the slot again may help: a changed password, a
// membership taken away, settings that someone gave it.
func repairable(err error) bool {
	var pg *pgconn.PgError
	var probe *probeError
	return errors.As(err, &probe) || errors.As(err, &pg) && (strings.HasPrefix(pg.Code, "28") || pg.Code == "22023" || pg.Code == "42501")
}

// refused is why a level cannot be had. The server's text may be shown: it is
// about roles.
func refused(level string, err error) error {
	var pg *pgconn.PgError
	var probe *probeError
	switch {
	case errors.As(err, &probe):
		return &guestError{Code: guestRLSUnavailable, Message: fmt.Sprintf("db_query is not available as %s, because its isolation cannot be guaranteed: %s", level, probe)}
	case errors.As(err, &pg) && (pg.Code == "42501" || pg.Code == "42704"):
		return &guestError{Code: guestRLSUnavailable, Message: fmt.Sprintf("db_query is not available as %s: the role of DATABASE_URL cannot make its logins (%s): give it CREATEROLE and run runnel migrate again, or use a plan with more than one role", level, pg.Message)}
	case errors.As(err, &pg) && !temporary(pg):
		return &guestError{Code: guestRLSUnavailable, Message: fmt.Sprintf("db_query is not available as %s: its login was refused (%s, SQLSTATE %s): DATABASE_URL must lead to Postgres itself, not to a pooler, and pg_hba.conf must allow password logins", level, pg.Message, pg.Code)}
	}
	return fmt.Errorf("%w: %w", errGone, err)
}

// CheckSlots opens and probes a connection of each level and answers why a level
// cannot be had; nil for one that can. Without Options.SlotSecret none can. It
// takes half a minute at most.
func (db *DB) CheckSlots(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, 3*openTimeout)
	defer cancel()
	found := map[string]error{}
	for _, level := range []string{runnel.RoleAnon, runnel.RoleAuthenticated, runnel.RoleService} {
		c, _, err := db.slots.acquire(ctx, level)
		if err == nil {
			db.slots.release(c)
		}
		found[level] = err
	}
	return found
}
