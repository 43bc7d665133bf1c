package jobs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver"

	"github.com/runnelhq/runnel/sql"
)

// River asks its driver's executor for jobs (JobGetAvailable) and takes them by
// priority and time, over all functions. We answer with sql.Fetch instead, which
// gives each function its share and keeps limits (sql/routine/fetch.sql says how). Nothing
// else of the executor is touched, and what is answered is what River's own would
// answer: jobs that run from now on, under this client's name.
//
// This rests on an interface that River does not document. The canary is
// TestRiverTakesJobsThroughOurFetch.

const (
	// usedHalfLife is after which time what a function has used of a worker counts
	// half. Long enough to outlast most attempts, short enough that a function
	// which was busy a minute ago is like any other.
	usedHalfLife = 10 * time.Second
	// usedLeast is less than any attempt takes, in seconds: not worth remembering.
	usedLeast = 0.001
	// usedMost bounds how many functions a fetch is told about.
	usedMost = 256
	// lookPayload is what River expects in a hint of new jobs.
	lookPayload = `{"queue":"` + sql.Queue + `"}`
)

// GetExecutor implements riverdriver.Driver.
func (d *driver) GetExecutor() riverdriver.Executor {
	return &executor{d.Driver.GetExecutor(), d.fetcher}
}

type executor struct {
	riverdriver.Executor
	fetcher *fetcher
}

// JobGetAvailable implements riverdriver.Executor.
func (e *executor) JobGetAvailable(ctx context.Context, p *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	if p.Queue != sql.Queue || !slices.Equal(p.Kind, []string{sql.Kind}) || p.Schema != sql.Schema {
		return nil, fmt.Errorf("fetch of %v from queue %s of schema %s: only invocations are fetched here", p.Kind, p.Queue, p.Schema)
	}
	return e.fetcher.fetch(ctx, p)
}

// fetcher takes jobs for one worker and remembers what functions have used of it.
type fetcher struct {
	db   *sql.DB
	look chan struct{} // to River's listener: look for jobs now

	mu      sync.Mutex
	next    string             // guarded by mu; where the last fetch stopped looking
	used    map[string]float64 // guarded by mu; slot-seconds at time at, weighted and halved with time
	running map[string]float64 // guarded by mu; weights of what runs
	at      time.Time          // guarded by mu
	timer   *time.Timer        // guarded by mu; the next look
}

func newFetcher(db *sql.DB) *fetcher {
	return &fetcher{db: db, look: make(chan struct{}, 1), used: map[string]float64{}, running: map[string]float64{}, at: time.Now()}
}

func (f *fetcher) fetch(ctx context.Context, p *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	ask := sql.Fetch{Worker: p.ClientID, Slots: p.MaxToLock, MaxAttemptedBy: p.MaxAttemptedBy}
	f.mu.Lock()
	f.advance(time.Now())
	ask.After = f.next
	ask.Functions, ask.Used = f.busiest()
	f.mu.Unlock()
	got, err := f.db.Fetch(ctx, ask)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.next = got.Next
	f.lookIn(got.Again)
	f.mu.Unlock()
	return &riverdriver.JobGetAvailableResult{Jobs: got.Jobs, DecodeErrors: got.DecodeErrors}, nil
}

// lookIn has River fetch again after d, unless that is negative. One that is due
// sooner stays.
func (f *fetcher) lookIn(d time.Duration) {
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	if d < 0 || d > fetchPollInterval { // River looks by itself before that
		return
	}
	f.timer = time.AfterFunc(d, func() {
		select {
		case f.look <- struct{}{}:
		default:
		}
	})
}

func (f *fetcher) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookIn(-1)
}

// runs counts an attempt until the returned function is called. Priority 1 weighs
// 1, 2 twice that, up to 8: of two functions that always have jobs, one with
// priority 2 gets half of what one with priority 1 gets, and is not starved.
func (f *fetcher) runs(function string, priority int, now time.Time) (ended func()) {
	weight := math.Exp2(float64(min(max(priority, 1), 4) - 1))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advance(now)
	f.running[function] += weight
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.advance(time.Now())
		f.used[function] += usedLeast // also an attempt that took no time was one
		if f.running[function] -= weight; f.running[function] < 0.5 {
			delete(f.running, function)
		}
	}
}

// advance brings used up to now.
func (f *fetcher) advance(now time.Time) {
	passed := now.Sub(f.at).Seconds()
	if passed <= 0 {
		return
	}
	f.at = now
	kept := math.Exp2(-passed / usedHalfLife.Seconds())
	for name, n := range f.used {
		if n *= kept; n < usedLeast/2 {
			delete(f.used, name)
		} else {
			f.used[name] = n
		}
	}
	for name, weight := range f.running {
		f.used[name] += weight * passed
	}
}

// busiest are the functions that have used the worker most, and how much.
func (f *fetcher) busiest() (functions []string, used []float64) {
	functions = slices.Collect(maps.Keys(f.used))
	if len(functions) > usedMost {
		slices.SortFunc(functions, func(a, b string) int { return cmp.Compare(f.used[b], f.used[a]) })
		functions = functions[:usedMost]
	}
	used = make([]float64, len(functions))
	for i, name := range functions {
		used[i] = f.used[name]
	}
	return functions, used
}
