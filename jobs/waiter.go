package jobs

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/runnelhq/runnel/sql"
)

const (
	// recheckInterval bounds how late a response is found when its
	// notification was lost.
	recheckInterval = time.Second
	// recheckUnheard replaces it while no LISTEN connection works, for example
	// behind a transaction pooler.
	recheckUnheard = 50 * time.Millisecond
	// listenRetry is the pause before LISTEN is tried again, doubled up to
	// listenRetryMax while it does not work.
	listenRetry    = 500 * time.Millisecond
	listenRetryMax = 10 * time.Second
	// maxResponses bounds one read of response rows.
	maxResponses = 500
)

// waiter hands response rows to whoever waits for them. A notification is only
// a hint to look: it carries ids, never results, so nobody who can call
// pg_notify can answer an HTTP request.
type waiter struct {
	db  *sql.DB
	log *slog.Logger
	met *Metrics

	look chan struct{} // something was added to done

	mu      sync.Mutex
	waiting map[string][]chan sql.Response // by invocation id, several for calls with one key; guarded by mu
	done    map[string]struct{}            // ids to look for; guarded by mu
	heard   bool                           // a LISTEN connection works; guarded by mu

	stop context.CancelFunc
	wg   sync.WaitGroup
}

func newWaiter(db *sql.DB, log *slog.Logger, met *Metrics) *waiter {
	return &waiter{
		db: db, log: log, met: met,
		look:    make(chan struct{}, 1),
		waiting: make(map[string][]chan sql.Response),
		done:    make(map[string]struct{}),
	}
}

// start begins to listen. It returns at once; stop ends it.
func (w *waiter) start(ctx context.Context) {
	ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	w.met.listenerDown.Set(1)
	w.wg.Go(func() { w.listen(ctx) })
	w.wg.Go(func() { w.recheck(ctx) })
	w.wg.Go(func() { w.read(ctx) })
}

func (w *waiter) close() {
	if w.stop != nil {
		w.stop()
	}
	w.wg.Wait()
}

// subscribe must come before the invocation is enqueued, or wake after it. The
// channel gets at most one response; cancel ends the subscription.
func (w *waiter) subscribe(id string) (got <-chan sql.Response, cancel func()) {
	ch := make(chan sql.Response, 1)
	w.mu.Lock()
	w.waiting[id] = append(w.waiting[id], ch)
	w.mu.Unlock()
	w.met.waiters.Inc()
	return ch, func() {
		w.mu.Lock()
		left := slices.DeleteFunc(w.waiting[id], func(other chan sql.Response) bool { return other == ch })
		if w.waiting[id] = left; len(left) == 0 {
			delete(w.waiting, id)
		}
		w.mu.Unlock()
		w.met.waiters.Dec()
	}
}

func (w *waiter) listen(ctx context.Context) {
	pause := listenRetry
	for ctx.Err() == nil {
		err := w.db.ListenDone(ctx, func(ids []string) {
			pause = listenRetry
			w.heardOf(ids)
		})
		w.setHeard(false)
		if ctx.Err() != nil {
			return
		}
		w.log.Warn("no notifications of finished invocations; HTTP callers are answered by polling until LISTEN works again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, listenRetryMax)
		}
	}
}

// heardOf takes the ids of a notification. The first call, without ids, says that
// the connection listens; whatever ended before has to be looked for.
func (w *waiter) heardOf(ids []string) {
	if ids == nil {
		w.setHeard(true)
		ids = w.all()
	}
	w.wake(ids)
}

func (w *waiter) setHeard(heard bool) {
	w.mu.Lock()
	w.heard = heard
	w.mu.Unlock()
	if heard {
		w.met.listenerDown.Set(0)
	} else {
		w.met.listenerDown.Set(1)
	}
}

// recheck is the slow path that makes a lost notification cost a second, not
// the whole wait.
func (w *waiter) recheck(ctx context.Context) {
	for {
		w.mu.Lock()
		interval := recheckInterval
		if !w.heard {
			interval = recheckUnheard
		}
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
		w.wake(w.all())
	}
}

func (w *waiter) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]string, 0, len(w.waiting))
	for id := range w.waiting {
		ids = append(ids, id)
	}
	return ids
}

// wake has the responses read of those ids that somebody here waits for.
func (w *waiter) wake(ids []string) {
	w.mu.Lock()
	for _, id := range ids {
		if _, ours := w.waiting[id]; ours {
			w.done[id] = struct{}{}
		}
	}
	n := len(w.done)
	w.mu.Unlock()
	if n > 0 {
		select {
		case w.look <- struct{}{}:
		default: // the reader has been told already
		}
	}
}

// read fetches what wake asked for, in natural batches: all that was asked for
// while the last read was under way.
func (w *waiter) read(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.look:
		}
		for ids := w.take(); len(ids) > 0; ids = w.take() {
			found, err := w.db.Responses(ctx, ids)
			if err != nil {
				break // the re-check asks again
			}
			w.deliver(found)
		}
	}
}

func (w *waiter) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]string, 0, min(len(w.done), maxResponses))
	for id := range w.done {
		if len(ids) == maxResponses {
			break
		}
		delete(w.done, id)
		ids = append(ids, id)
	}
	return ids
}

func (w *waiter) deliver(found map[string]sql.Response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, r := range found {
		for _, ch := range w.waiting[id] {
			ch <- r // has room: one response for each subscription
		}
		delete(w.waiting, id)
	}
}
