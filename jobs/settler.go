package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/batch"
	"github.com/runnelhq/runnel/sql"
)

const (
	maxSettleBatch = 500
	settleRetryMin = 20 * time.Millisecond
	settleRetryMax = time.Second
)

// settler writes the outcomes of attempts in natural batches: job state, errors,
// log row, response and wake-up in one statement.
type settler struct {
	db    *sql.DB
	log   *slog.Logger
	met   *Metrics
	group *batch.Group[*sql.Settlement, bool]
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
// for dead). While the database is away it keeps trying until ctx ends: giving
// up would lose the outcome of a function that has already run.
func (s *settler) settle(ctx context.Context, it *sql.Settlement) error {
	pause := settleRetryMin
	for {
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
		s.log.Warn("settling again shortly", "invocation", it.Row.ID, "attempt", it.Attempt, "error", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
			pause = min(2*pause, settleRetryMax)
		}
	}
}

// alone settles one attempt by itself. If the database refuses what the
// function produced, the row is stored without it: an attempt is never left
// without a row because of its own content.
func (s *settler) alone(ctx context.Context, it *sql.Settlement) (bool, error) {
	done, err := s.db.Settle(ctx, []sql.Settlement{*it})
	if err == nil {
		return done[0], nil
	}
	if !sql.Refused(err) {
		return false, err
	}
	s.log.Error("the database refused the log row of an attempt; it is stored without logs and result",
		"invocation", it.Row.ID, "attempt", it.Attempt, "error", err)
	it.Row.Logs, it.Row.Result = nil, nil
	it.Row.ErrorMessage = runnel.Errorf(runnel.CodeInternal, "logs and result of this attempt could not be stored").Message
	done, err = s.db.Settle(ctx, []sql.Settlement{*it})
	if err != nil {
		return false, err
	}
	return done[0], nil
}
