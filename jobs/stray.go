package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/runnelhq/runnel/sql"
)

const (
	// strayAfter is how old a fetch is before its jobs are missed. They begin within
	// milliseconds; too early a suspicion costs a fetch, nothing else.
	strayAfter = 5 * time.Second
	// disownedFor is how long a job that was given back is remembered.
	disownedFor = time.Hour
)

// A fetch that is committed and whose answer is lost, because the connection broke,
// leaves jobs running under the name of a worker that does not know of them. The
// worker is alive, so nobody sweeps them. It finds them itself, after each heartbeat,
// and gives them back uncounted: nothing of them has begun.
//
// The answer may still come after all, late or because the process was stopped in
// between. So a job is disowned before it is given back, and one that is disowned
// does not begin.

// fetched is one fetch of one job.
type fetched struct {
	job int64
	at  int64 // microseconds, by the database
}

// taken are the jobs that this worker knows it has taken.
type taken struct {
	mu       sync.Mutex
	begun    map[fetched]struct{}  // guarded by mu
	disowned map[fetched]time.Time // guarded by mu; since when
}

func newTaken() *taken {
	return &taken{begun: map[fetched]struct{}{}, disowned: map[fetched]time.Time{}}
}

// begin notes that a job runs here until ended is called. It is not ok where the job
// was given back: it is somebody else's.
func (t *taken) begin(job *river.Job[Args]) (ended func(), ok bool) {
	f := fetched{job: job.ID}
	if job.AttemptedAt != nil {
		f.at = job.AttemptedAt.UnixMicro()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, gone := t.disowned[f]; gone {
		return nil, false
	}
	t.begun[f] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.begun, f)
	}, true
}

// disown keeps those jobs from beginning here that have not begun, and answers them.
func (t *taken) disown(jobs []sql.Taken) (strays []sql.Taken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for f, since := range t.disowned {
		if now.Sub(since) > disownedFor {
			delete(t.disowned, f)
		}
	}
	for _, j := range jobs {
		f := fetched{j.Job, j.At.UnixMicro()}
		if _, runs := t.begun[f]; !runs {
			t.disowned[f] = now
			strays = append(strays, j)
		}
	}
	return strays
}

// giveBackStrays gives back what this worker has taken without knowing.
func (w *Worker) giveBackStrays(ctx context.Context, before time.Time) {
	running, err := w.db.Strays(ctx, w.cfg.ID, before)
	if err != nil {
		if w.life.Err() == nil {
			w.log.Warn("looking for jobs that were taken without knowing failed; trying again", "error", err)
		}
		return
	}
	for _, s := range w.taken.disown(running) {
		w.log.Warn("a job was taken and the answer lost; giving it back", "invocation", s.Invocation, "job", s.Job)
		if err := w.db.HandBack(ctx, s.Job, s.Attempt); err != nil {
			w.log.Warn("a job could not be given back; trying again", "job", s.Job, "error", err)
			return
		}
	}
}
