package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/batch"
	"github.com/runnelhq/runnel/sql"
)

const (
	maxSettleBatch = 500
	settleRetryMin = 20 * time.Millisecond
	settleRetryMax = time.Second
	// complainInterval is how often a log that cannot be written is mentioned.
	complainInterval = 10 * time.Second
)

// settler writes the outcomes of attempts in natural batches: job state, errors,
// log row, response and wake-up in one statement.
type settler struct {
	db    *sql.DB
	log   *slog.Logger
	met   *Metrics
	group *batch.Group[*sql.Settlement, bool]

	mu         sync.Mutex
	complained time.Time // guarded by mu
}

func newSettler(db *sql.DB, log *slog.Logger, met *Metrics) *settler {
	s := &settler{db: db, log: log, met: met}
	s.group = batch.New(maxSettleBatch, s.write)
	return s
}

func (s *settler) write(ctx context.Context, items []*sql.Settlement) ([]bool, error) {
	s.met.settleBatch.Observe(float64(len(items)))
	batch := make([]sql.Settlement, len(items))
	for i, it := range items {
		batch[i] = *it
	}
	settled, err := s.db.Settle(ctx, batch)
	if err == nil {
		failpoint("settled")
	}
	return settled, err
}

// settle returns when the attempt's outcome has committed, or when the fence
// was closed because somebody else settled it (a sweep that took this worker
// for dead). While the database is away, or the log cannot be written (disk full,
// a right revoked), it keeps trying until ctx ends: the job is not done before its
// row is there, and giving up would lose the outcome of a function that has
// already run.
func (s *settler) settle(ctx context.Context, it *sql.Settlement) error {
	pause := settleRetryMin
	for first := true; ; first = false {
		done, err := s.group.Do(ctx, it)
		if err != nil && ctx.Err() == nil && sql.Refused(err) {
			// One row of the batch cannot be stored. Alone, each finds out
			// whether it was that one.
			done, err = s.alone(ctx, it)
		}
		if err == nil {
			if done {
				s.met.settled(&it.Row)
			} else {
				s.log.Warn("an attempt was settled by somebody else first; its outcome here is dropped",
					"invocation", it.Row.ID, "attempt", it.Attempt, "status", it.Row.Status)
			}
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if first {
			s.met.unsettled.Inc()
			defer s.met.unsettled.Dec()
		}
		s.met.settleErrors.Inc()
		s.complain(it, err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
			pause = min(2*pause, settleRetryMax)
		}
	}
}

// complain logs that attempts cannot be settled, once a while for all of them.
func (s *settler) complain(it *sql.Settlement, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.complained) >= complainInterval {
		s.complained = now
		s.log.Error("attempts that have ended cannot be written to the log; their jobs stay running and are tried again until they can be",
			"invocation", it.Row.ID, "attempt", it.Attempt, "error", err, "cause", errors.Unwrap(err))
	}
}

// alone settles one attempt by itself. If the database refuses what the
// function produced, a row without it is stored that says so: an attempt is never
// left without a row because of its own content.
func (s *settler) alone(ctx context.Context, it *sql.Settlement) (bool, error) {
	done, err := s.db.Settle(ctx, []sql.Settlement{*it})
	if err == nil {
		return done[0], nil
	}
	if !sql.Refused(err) {
		return false, err
	}
	reduced := *it // if this is refused as well, it was not the content
	reduced.Row = withoutContent(it.Row)
	done, less := s.db.Settle(ctx, []sql.Settlement{reduced})
	if less != nil {
		return false, err
	}
	s.log.Error("the database refused the log row of an attempt; one without what the function wrote is stored",
		"invocation", it.Row.ID, "attempt", it.Attempt, "error", err, "cause", errors.Unwrap(err))
	s.met.reduced.Inc()
	return done[0], nil
}

// withoutContent is a row without what came from outside, which says so.
func withoutContent(row runnel.Invocation) runnel.Invocation {
	const said = "the database refused to store what this attempt wrote: logs, result, environment and request are left out; the worker's log says why"
	row.Logs = []runnel.LogLine{{T: row.FinishedAt, Level: "error", Message: said}}
	row.Result, row.Environment, row.RequestID, row.Traceparent, row.UserID = nil, nil, "", "", ""
	if row.ErrorCode != "" {
		row.ErrorMessage = said
	}
	return row
}
