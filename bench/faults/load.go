package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What a client knows of what it sent.
const (
	committed = "committed" // it will run, or have a row that says why not
	refused   = "refused"   // it must never run
	unknown   = "unknown"   // the answer was lost, or said so
)

// sent is one invocation as its client remembers it.
type sent struct {
	Key     string
	Trigger string
	Outcome string
	Status  int    // of HTTP; 0: no answer
	Code    string // of the answer's body
	ID      *string
	Own     bool // the answer was this caller's
	Unrun   bool // the answer said that nothing ran
	Took    time.Duration
}

// notConnected is the code of a call that reached no server.
const notConnected = "not connected"

// load is what clients do while something breaks: callers over HTTP, SQL, writers
// of rows. Each remembers what it sent.
type load struct {
	client    *http.Client
	base      func() string // of the api
	db        *pgxpool.Pool // as an application connects
	functions []string      // called over HTTP and from SQL

	mu       sync.Mutex
	ledger   []sent // guarded by mu
	next     int    // guarded by mu
	firstOK  time.Time
	wantedOK time.Time // a call that began after this and is answered with 200 sets firstOK; guarded by mu

	stop    context.CancelFunc
	clients sync.WaitGroup
}

const (
	callerPause = 60 * time.Millisecond
	writerPause = 40 * time.Millisecond
	callLimit   = 100 * time.Second // longer than any wait that we promise to end
)

func (l *load) start(ctx context.Context, callers int) {
	ctx, l.stop = context.WithCancel(ctx)
	for range callers {
		l.every(ctx, callerPause, l.call)
	}
	for range 2 {
		l.every(ctx, writerPause, l.invoke)
		l.every(ctx, writerPause, l.write)
	}
}

// halt ends all clients, after they have heard what became of what they sent.
func (l *load) halt() {
	if l.stop != nil {
		l.stop()
	}
	l.clients.Wait()
}

func (l *load) every(ctx context.Context, pause time.Duration, do func()) {
	l.clients.Go(func() {
		for ctx.Err() == nil {
			do()
			select {
			case <-ctx.Done():
			case <-time.After(pause/2 + rand.N(pause)):
			}
		}
	})
}

func (l *load) key(trigger string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return fmt.Sprintf("%s-%06d", trigger, l.next)
}

func (l *load) remember(s ...sent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger = append(l.ledger, s...)
}

func (l *load) function() string { return l.functions[rand.IntN(len(l.functions))] }

// answered tells when HTTP was answered with a result again for a call that was
// made after now.
func (l *load) awaitAnswer() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wantedOK, l.firstOK = time.Now(), time.Time{}
}

func (l *load) answeredAfter() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.firstOK.IsZero() {
		return 0
	}
	return l.firstOK.Sub(l.wantedOK)
}

// call is one HTTP caller's call.
func (l *load) call() {
	s := sent{Key: l.key("http"), Trigger: "http", Outcome: unknown, Own: true}
	begun := time.Now()
	s.ask(l.client, l.base(), l.function())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger = append(l.ledger, s)
	if s.Status == http.StatusOK && l.firstOK.IsZero() && !l.wantedOK.IsZero() && begun.After(l.wantedOK) {
		l.firstOK = time.Now()
	}
}

func (s *sent) ask(client *http.Client, base, function string) {
	body, _ := json.Marshal(map[string]string{"key": s.Key})
	begun := time.Now()
	res, err := client.Post(base+"/functions/v1/"+function, "application/json", bytes.NewReader(body))
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) { // nobody was there to hear it
			s.Outcome, s.Code = refused, notConnected
		}
		return
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return
	}
	s.Took = time.Since(begun)
	s.Status = res.StatusCode
	s.Unrun = res.Header.Get("X-Relay-Error") == "true"
	if id := res.Header.Get("X-Runnel-Invocation-Id"); id != "" {
		s.ID = &id
	}
	var got struct {
		Code string `json:"code"`
		Body struct {
			Key string `json:"key"`
		} `json:"body"`
	}
	err = json.Unmarshal(answer, &got)
	s.Code = got.Code
	switch s.Status {
	case http.StatusOK:
		s.Outcome, s.Own = committed, err == nil && got.Body.Key == s.Key
	case http.StatusServiceUnavailable:
		// It says that nobody knows.
	case http.StatusNotFound:
		// The function was gone, before it was enqueued or before it ran.
	case http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusBadRequest:
		s.Outcome = refused
	default:
		if s.ID != nil && s.Code != "Internal" {
			s.Outcome = committed
		}
	}
}

// errUndo rolls a transaction back.
var errUndo = errors.New("rolled back on purpose")

// transaction runs do in a transaction, one of ten rolled back, and says what the
// client knows afterwards. A connection that ends during COMMIT leaves it in doubt.
func (l *load) transaction(do func(ctx context.Context, tx pgx.Tx) error) string {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := pgx.BeginFunc(ctx, l.db, func(tx pgx.Tx) error {
		if err := do(ctx, tx); err != nil {
			return err
		}
		if rand.IntN(10) == 0 {
			return errUndo
		}
		return nil
	})
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return committed
	case errors.Is(err, errUndo), errors.As(err, &pg) && pg.Code != "57P01":
		return refused
	}
	return unknown
}

// invoke is one runnel.invoke from SQL, sometimes for later.
func (l *load) invoke() {
	s := sent{Key: l.key("sql"), Trigger: "sql", Own: true}
	delay := 0
	if rand.IntN(10) == 0 {
		delay = 2
	}
	s.Outcome = l.transaction(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT runnel.invoke($1,
			jsonb_build_object('key', $2::text, 'not_before', now() + make_interval(secs => $3)), run_at => now() + make_interval(secs => $3))`,
			l.function(), s.Key, float64(delay))
		return err
	})
	l.remember(s)
}

// write is one statement that inserts a few rows, each of which invokes a function.
func (l *load) write() {
	keys := make([]string, 1+rand.IntN(3))
	for i := range keys {
		keys[i] = l.key("row")
	}
	outcome := l.transaction(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO faults.orders (key) SELECT unnest($1::text[])`, keys)
		return err
	})
	for _, k := range keys {
		l.remember(sent{Key: k, Trigger: "database", Outcome: outcome, Own: true})
	}
}

// burst enqueues n invocations in one transaction, so that there is plenty under way.
func (l *load) burst(ctx context.Context, n int) error {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = l.key("burst")
	}
	_, err := l.db.Exec(ctx, `SELECT runnel.invoke(($2::text[])[1 + i % cardinality($2::text[])], jsonb_build_object('key', key))
		FROM unnest($1::text[]) WITH ORDINALITY AS k(key, i)`, keys, l.functions)
	if err != nil {
		return fmt.Errorf("burst: %w", err)
	}
	for _, k := range keys {
		l.remember(sent{Key: k, Trigger: "sql", Outcome: committed, Own: true})
	}
	return nil
}

// waits are the median and the longest time that answered callers waited.
func (l *load) waits() (median, longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var took []time.Duration
	for _, s := range l.ledger {
		if s.Status == http.StatusOK {
			took = append(took, s.Took)
		}
	}
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)-1]
}

// store writes what the clients remember beside what the database knows.
func (l *load) store(ctx context.Context, pool *pgxpool.Pool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := pool.CopyFrom(ctx, pgx.Identifier{"faults", "sent"},
		[]string{"key", "trigger", "outcome", "status", "code", "id", "own", "unrun"},
		pgx.CopyFromSlice(len(l.ledger), func(i int) ([]any, error) {
			s := l.ledger[i]
			return []any{s.Key, s.Trigger, s.Outcome, s.Status, s.Code, s.ID, s.Own, s.Unrun}, nil
		}))
	return err
}
