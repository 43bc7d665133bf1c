package jobs

import (
	"context"
	"errors"
	"sync"

	"github.com/runnelhq/runnel/sql"
)

// Causes of an attempt's context that ended.
var (
	errCancelled = errors.New("the invocation was cancelled")
	// errLost: the outcome will be dropped, because the attempt has its row already.
	errLost = errors.New("the attempt was ended by somebody else")
)

// attempts are those that run in this process: what has to be known to stop one.
type attempts struct {
	mu    sync.Mutex
	stops map[sql.Running]context.CancelCauseFunc // guarded by mu
}

// begin notes an attempt until ended is called.
func (a *attempts) begin(r sql.Running, stop context.CancelCauseFunc) (ended func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stops == nil {
		a.stops = make(map[sql.Running]context.CancelCauseFunc)
	}
	a.stops[r] = stop
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.stops, r)
	}
}

func (a *attempts) all() []sql.Running {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]sql.Running, 0, len(a.stops))
	for r := range a.stops {
		all = append(all, r)
	}
	return all
}

// stop ends the contexts of those attempts that still run.
func (a *attempts) stop(which []sql.Running, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range which {
		if stop, ok := a.stops[r]; ok {
			stop(cause)
		}
	}
}
