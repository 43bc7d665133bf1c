package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/batch"
	"github.com/runnelhq/runnel/internal/egress"
	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/internal/tracing"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sql"
)

const (
	// maxLoadBatch bounds one load statement; each row carries an event.
	maxLoadBatch = 100
	// interruptReserve is the end of Stop's time that is kept for interrupting
	// what still runs and settling it.
	interruptReserve = 5 * time.Second
	// handBackTimeout bounds the statement that returns an unstarted job.
	handBackTimeout = 2 * time.Second
)

// WorkerConfig configures a Worker. ID must be unique among live workers: it is
// the lease under which jobs run, and River's client id.
type WorkerConfig struct {
	ID           string
	Concurrency  int             // invocations at a time
	LogRetention time.Duration   // log partitions older than this are dropped; 0 keeps all
	LogMaxSize   int64           // bytes of log, events and responses above which the oldest days are dropped; 0: any
	Keys         *keyring.Ring   // opens secrets and sealed environments; nil: a function that has any fails
	Tracer       *tracing.Tracer // nil: no traces
	Logger       *slog.Logger
	Metrics      *Metrics
	Relay        bool // nobody can scrape this process: web shows its metrics
}

// Worker takes invocations from River, runs them and settles them. It also
// fires schedules and settles what silent workers left behind; any number of
// workers share that work.
type Worker struct {
	cfg     WorkerConfig
	log     *slog.Logger
	met     *Metrics
	db      *sql.DB
	sandbox *sandbox.Runtime
	egress  *egress.Client
	client  *river.Client[pgx.Tx]
	fetcher *fetcher
	loads   *batch.Group[sql.Ref, loaded]
	settler *settler

	// interrupted ends what runs; its cause is errStopped.
	interrupted context.Context
	interrupt   context.CancelCauseFunc
	// life is the context of settling and upkeep; it ends last.
	life context.Context
	end  context.CancelFunc

	lease *lease
	clock clock
	taken *taken

	runEnded chan struct{} // a run of a schedule has been settled
	attempts attempts      // those that run here
	commands chan string   // to River, in place of its control channel
	hints    chan struct{} // something was asked for: control looks
	retries  chan struct{} // one is due before promote looks

	mu      sync.Mutex
	started bool // guarded by mu
	stopped bool // guarded by mu
	upkeep  sync.WaitGroup
	sweeps  sync.WaitGroup
	// stopSweeps ends the scheduler before the drain: a stopping worker
	// should not enqueue.
	sweeping   context.Context
	stopSweeps context.CancelFunc
}

type loaded struct {
	task  sql.Task
	found bool
}

// NewWorker returns a Worker that runs modules in rt.
func NewWorker(db *sql.DB, rt *sandbox.Runtime, cfg WorkerConfig) (*Worker, error) {
	w := &Worker{cfg: cfg, log: cfg.Logger, met: cfg.Metrics, db: db, sandbox: rt, egress: egress.New()}
	w.commands, w.hints, w.retries = make(chan string), make(chan struct{}, 1), make(chan struct{}, 1)
	w.runEnded = make(chan struct{}, 1)
	w.lease, w.taken = newLease(), newTaken()
	w.loads = batch.New(maxLoadBatch, w.loadBatch)
	w.fetcher = newFetcher(db)
	w.settler = newSettler(db, w.log, w.met)
	w.interrupted, w.interrupt = context.WithCancelCause(context.Background())
	w.life, w.end = context.WithCancel(context.Background())
	w.sweeping, w.stopSweeps = context.WithCancel(w.life)

	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, river.WorkFunc(w.work)); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	client, err := newWorkingClient(db, cfg, workers, newDriver(db.Pool(), w.commands, w.fetcher, w.hints))
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	w.client = client
	return w, nil
}

// Start registers the worker and begins to take jobs; it returns once River's
// client runs.
func (w *Worker) Start(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started || w.stopped {
		return errors.New("worker: started twice")
	}
	// The heartbeat comes before the first job, or a sweep elsewhere would take
	// this worker for silent.
	if _, err := w.heartbeat(ctx); err != nil {
		return fmt.Errorf("worker: first heartbeat: %w", err)
	}
	if err := w.db.EnsurePartitions(ctx, partitionsAhead); err != nil {
		return fmt.Errorf("worker: log partitions: %w", err)
	}
	if err := w.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	w.started = true
	w.upkeep.Go(w.beat)
	if w.cfg.Relay {
		w.upkeep.Go(w.relayMetrics)
	}
	w.upkeep.Go(w.keepPartitions)
	w.upkeep.Go(w.keepCounts)
	w.upkeep.Go(w.control)
	w.sweeps.Go(w.promote)
	w.sweeps.Go(w.schedule)
	w.sweeps.Go(w.warm)
	return nil
}

// Stop takes no more jobs and lets those that run finish. What still runs
// shortly before ctx ends is interrupted and settled: an attempt whose function
// had begun gets a row with status lost, and one that had not goes back to the
// queue uncounted. Stop may be called twice, and without Start.
func (w *Worker) Stop(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || !w.started {
		w.stopped = true
		w.end()
		w.interrupt(errStopped)
		return nil
	}
	w.stopped = true
	w.stopSweeps()
	w.sweeps.Wait()

	drain := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		drain, cancel = context.WithDeadline(ctx, deadline.Add(-interruptReserve))
		defer cancel()
	}
	err := w.client.Stop(drain)
	if err != nil {
		w.interrupt(errStopped)
		err = w.client.Stop(ctx)
	}
	w.interrupt(errStopped)
	w.end()
	w.upkeep.Wait()
	w.fetcher.stop()
	if err != nil {
		return fmt.Errorf("worker: jobs were still running when the time to stop was over; they will be settled as lost: %w", err)
	}
	if err := w.db.Retire(ctx, w.cfg.ID); err != nil {
		return fmt.Errorf("worker: retire: %w", err)
	}
	return nil
}

// work is River's entry. It returns errSettled for every job it has settled, so
// that River writes nothing itself.
func (w *Worker) work(ctx context.Context, job *river.Job[Args]) error {
	ended, ok := w.taken.begin(job)
	if !ok {
		return errSettled // it was given back
	}
	defer ended()
	if w.lease.over() {
		return w.handBack(job)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.interrupted, func() { cancel(errStopped) })()
	defer w.attempts.begin(sql.Running{Job: job.ID, Attempt: job.Attempt}, cancel)()
	defer w.fetcher.runs(job.Args.Function, job.Priority, time.Now())()

	s, err := w.attempt(ctx, job)
	if err != nil {
		return w.handBack(job)
	}
	failpoint("ran")
	if err := w.settler.settle(w.life, s); err != nil {
		w.log.Error("an attempt could not be settled before the worker ended; it will be settled as lost",
			"invocation", job.Args.ID, "attempt", job.Attempt, "error", err)
	}
	if slices.Contains(job.Tags, string(runnel.TriggerSchedule)) {
		w.scheduledRunEnded()
	}
	if s.State == sql.StateRetryable && s.RetryIn < promoteInterval {
		select {
		case w.retries <- struct{}{}:
		default:
		}
	}
	return errSettled
}

// handBack returns a job whose function has not begun. If that fails the sweep
// settles it as lost.
func (w *Worker) handBack(job *river.Job[Args]) error {
	ctx, cancel := context.WithTimeout(w.life, handBackTimeout)
	defer cancel()
	if err := w.db.HandBack(ctx, job.ID, job.Attempt); err != nil {
		w.log.Warn("a job could not be handed back; it will be settled as lost", "invocation", job.Args.ID, "error", err)
	}
	return errSettled
}

func (w *Worker) loadBatch(ctx context.Context, refs []sql.Ref) ([]loaded, error) {
	tasks, err := w.db.Load(ctx, refs)
	if err != nil {
		return nil, err
	}
	out := make([]loaded, len(refs))
	for i, r := range refs {
		out[i].task, out[i].found = tasks[r.ID]
	}
	return out, nil
}
