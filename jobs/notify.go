package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/runnelhq/runnel/sql"
)

// Whoever is logged in to the database can send any notification: Postgres has no
// right to withhold, and a function's SQL can call pg_notify. River believes what
// it hears on its control channel (cancel this job, pause that queue) and on its
// leadership channel (resign). So a worker's River listens to neither. It hears of
// new jobs, which makes it look at a table and no more, and the commands that the
// worker itself finds in River's tables, which functions cannot write.
//
// This rests on an interface that River does not document: the driver makes the
// listener. TestFUNC_I3_NotificationsCarryNoAuthority fails when that changes.

// River's names.
const (
	topicInsert  = "river_insert"
	topicControl = "river_control"
)

// controlInterval is how late a cancel or a pause may be. A statement each second
// finds both; by primary key, it is not worth more thought.
const controlInterval = time.Second

// driver is River's own, but for the listener and the fetch (fetch.go).
type driver struct {
	*riverpgxv5.Driver
	commands <-chan string
	fetcher  *fetcher
}

func newDriver(pool *pgxpool.Pool, commands <-chan string, f *fetcher) *driver {
	return &driver{riverpgxv5.New(pool), commands, f}
}

// GetListener implements riverdriver.Driver.
func (d *driver) GetListener(params *riverdriver.GetListenenerParams) riverdriver.Listener {
	return &listener{Listener: d.Driver.GetListener(params), commands: d.commands, look: d.fetcher.look}
}

// listener passes on hints of new jobs, and the worker's own commands as if they
// had come over the control channel. River uses it from one goroutine at a time.
type listener struct {
	riverdriver.Listener
	commands <-chan string
	look     <-chan struct{}           // it is time to look for jobs
	kept     *riverdriver.Notification // came together with a command
}

// Listen does nothing for the channels that carry authority.
func (l *listener) Listen(ctx context.Context, topic string) error {
	if topic != topicInsert {
		return nil
	}
	return l.Listener.Listen(ctx, topic)
}

// Unlisten is the counterpart of Listen.
func (l *listener) Unlisten(ctx context.Context, topic string) error {
	if topic != topicInsert {
		return nil
	}
	return l.Listener.Unlisten(ctx, topic)
}

// WaitForNotification waits for a hint or a command.
func (l *listener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	if n := l.kept; n != nil {
		l.kept = nil
		return n, nil
	}
	for {
		wait, cancel := context.WithCancel(ctx)
		own := make(chan *riverdriver.Notification, 1)
		go func() {
			defer close(own)
			select {
			case c := <-l.commands:
				own <- &riverdriver.Notification{Topic: topicControl, Payload: c}
				cancel()
			case <-l.look:
				own <- &riverdriver.Notification{Topic: topicInsert, Payload: lookPayload}
				cancel()
			case <-wait.Done():
			}
		}()
		n, err := l.Listener.WaitForNotification(wait)
		cancel()
		ours, ok := <-own
		hint := err == nil && n.Topic == topicInsert
		switch {
		case ok:
			if hint {
				l.kept = n
			}
			return ours, nil
		case hint:
			return n, nil
		case err != nil:
			return nil, err
		}
	}
}

// control tells River what its tables say: which of the jobs that run here are to
// be cancelled, and whether the queue is paused. What nobody hears is said again.
func (w *Worker) control() {
	ticker := time.NewTicker(controlInterval)
	defer ticker.Stop()
	wasPaused := false
	for {
		select {
		case <-w.life.Done():
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(w.life, controlInterval)
		paused, cancelled, err := w.db.Control(ctx, w.runningJobs())
		switch {
		case err != nil && w.life.Err() == nil:
			w.log.Warn("looking for cancelled jobs failed; trying again", "error", err)
		case err == nil:
			for _, id := range cancelled {
				w.command(ctx, fmt.Sprintf(`{"action":"cancel","job_id":%d,"queue":%q}`, id, sql.Queue))
			}
			if paused {
				w.command(ctx, fmt.Sprintf(`{"action":"pause","queue":%q}`, sql.Queue))
			} else if wasPaused {
				w.command(ctx, fmt.Sprintf(`{"action":"resume","queue":%q}`, sql.Queue))
			}
			wasPaused = paused
		}
		cancel()
	}
}

func (w *Worker) command(ctx context.Context, payload string) {
	select {
	case w.commands <- payload:
	case <-ctx.Done():
	}
}

// runs notes that a job runs here, until the returned function is called.
func (w *Worker) runs(id int64) (ended func()) {
	w.runningMu.Lock()
	defer w.runningMu.Unlock()
	w.running[id] = struct{}{}
	return func() {
		w.runningMu.Lock()
		defer w.runningMu.Unlock()
		delete(w.running, id)
	}
}

func (w *Worker) runningJobs() []int64 {
	w.runningMu.Lock()
	defer w.runningMu.Unlock()
	ids := make([]int64, 0, len(w.running))
	for id := range w.running {
		ids = append(ids, id)
	}
	return ids
}
