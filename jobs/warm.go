package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox"
)

const (
	// warmInterval is how long after a deploy a worker begins to compile, at most.
	warmInterval = 2 * time.Second
	// warmOverlap is how long a deploy may take to commit and still be seen.
	warmOverlap = 10 * time.Second
)

// warm compiles what is deployed while the worker runs, one module after the other,
// so that the first call does not have to. What it misses, or cannot do, the first
// call does and reports.
func (w *Worker) warm() {
	ticker := time.NewTicker(warmInterval)
	defer ticker.Stop()
	var since time.Time // of the database's clock
	for {
		modules, now, err := w.db.Deployed(w.sweeping, warmFrom(since))
		switch {
		case w.sweeping.Err() != nil:
			return
		case err != nil:
			w.log.Warn("looking for deployed modules failed", "error", err)
		case since.IsZero():
			since = now // what was there before is compiled when it is called
		default:
			since = now
			for _, m := range modules {
				err := w.sandbox.Warm(w.sweeping, m.Hash, m.Revision, func(ctx context.Context) ([]byte, error) { return w.db.Module(ctx, m.Hash) })
				if errors.Is(err, sandbox.ErrBusy) {
					break // the overlap brings it up again
				}
				if err != nil && runnel.CodeOf(err) != runnel.CodeCancelled {
					w.log.Info("a deployed module could not be compiled", "hash", m.Hash, "error", err)
				}
			}
		}
		select {
		case <-w.sweeping.Done():
			return
		case <-ticker.C:
		}
	}
}

// warmFrom is the time to ask from after a question at that time. The first
// question only asks for the time.
func warmFrom(last time.Time) time.Time {
	if last.IsZero() {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return last.Add(-warmOverlap)
}
