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
// leadership channel (resign). So a worker's River hears neither. It hears of new
// jobs, which makes it look at a table and no more, and the commands that the worker
// itself finds in River's tables, which functions cannot write. What comes over the
// control channel is a hint for the worker to look at those now.
//
// This rests on an interface that River does not document: the driver makes the
// listener. TestFUNC_I3_NotificationsCarryNoAuthority fails when that changes.

// River's names.
const (
	topicInsert  = "river_insert"
	topicControl = "river_control"
)

const (
	// controlInterval is how late a cancel or a pause may be whose hint was lost. A
	// statement each second finds both; by primary key, it is not worth more thought.
	controlInterval = time.Second
	// hintInterval is the least time between two looks, however many hints there are:
	// anyone can send them.
	hintInterval = 20 * time.Millisecond
)

// driver is River's own, but for the listener and the fetch (fetch.go).
type driver struct {
	*riverpgxv5.Driver
	commands <-chan string
	fetcher  *fetcher
	hints    chan<- struct{}
}

func newDriver(pool *pgxpool.Pool, commands <-chan string, f *fetcher, hints chan<- struct{}) *driver {
	return &driver{riverpgxv5.New(pool), commands, f, hints}
}

// GetListener implements riverdriver.Driver.
func (d *driver) GetListener(params *riverdriver.GetListenenerParams) riverdriver.Listener {
	return &listener{Listener: d.Driver.GetListener(params), commands: d.commands, look: d.fetcher.look, hints: d.hints}
}

// listener passes on hints of new jobs, and the worker's own commands as if they
// had come over the control channel. River uses it from one goroutine at a time.
type listener struct {
	riverdriver.Listener
	commands <-chan string
	look     <-chan struct{}           // it is time to look for jobs
	hints    chan<- struct{}           // the worker looks at its tables
	kept     *riverdriver.Notification // came together with a command
}

// Listen does nothing for channels that are neither of jobs nor a hint.
func (l *listener) Listen(ctx context.Context, topic string) error {
	if topic != topicInsert && topic != topicControl {
		return nil
	}
	return l.Listener.Listen(ctx, topic)
}

// Unlisten is the counterpart of Listen.
func (l *listener) Unlisten(ctx context.Context, topic string) error {
	if topic != topicInsert && topic != topicControl {
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
		inserted := err == nil && n.Topic == topicInsert
		if err == nil && n.Topic == topicControl {
			select {
			case l.hints <- struct{}{}:
			default: // one that was not looked at yet stands for all
			}
		}
		switch {
		case ok:
			if inserted {
				l.kept = n
			}
			return ours, nil
		case inserted:
			return n, nil
		case err != nil:
			return nil, err
		}
	}
}

// control does what the tables say: it stops the attempts that run here and are to
// be cancelled, or that somebody else has ended, and tells River whether the queue is
// paused. What nobody hears is said again.
func (w *Worker) control() {
	ticker := time.NewTicker(controlInterval)
	defer ticker.Stop()
	wasPaused := false
	for {
		select {
		case <-w.life.Done():
			return
		case <-ticker.C:
		case <-w.hints:
		}
		ctx, cancel := context.WithTimeout(w.life, controlInterval)
		paused, cancelled, lost, err := w.db.Control(ctx, w.attempts.all())
		switch {
		case err != nil && w.life.Err() == nil:
			w.log.Warn("looking for cancelled jobs failed; trying again", "error", err)
		case err == nil:
			w.attempts.stop(cancelled, errCancelled)
			w.attempts.stop(lost, errLost)
			if paused {
				w.command(ctx, fmt.Sprintf(`{"action":"pause","queue":%q}`, sql.Queue))
			} else if wasPaused {
				w.command(ctx, fmt.Sprintf(`{"action":"resume","queue":%q}`, sql.Queue))
			}
			wasPaused = paused
		}
		cancel()
		select {
		case <-w.life.Done():
		case <-time.After(hintInterval):
		}
	}
}

func (w *Worker) command(ctx context.Context, payload string) {
	select {
	case w.commands <- payload:
	case <-ctx.Done():
	}
}
