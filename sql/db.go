package sql

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/runnelhq/runnel"
)

// Schema is where everything lives, River's tables included.
const Schema = "runnel"

// Queue and Kind of every River job that Runnel makes.
const (
	Queue = "functions"
	Kind  = "invoke"
)

// DB is Runnel's connection to its database, under the owner of the schema.
type DB struct {
	pool *pgxpool.Pool
	url  string
}

// Options of Open.
type Options struct {
	MaxConns        int    // 0: 10
	ApplicationName string // shown in pg_stat_activity
}

var errLater = errors.New("being written")

// Open connects to a migrated database. It fails with CodeUnavailable when the
// database cannot be reached now.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	pool, err := connect(ctx, url, o)
	if err != nil {
		return nil, err
	}
	return &DB{pool: pool, url: url}, nil
}

func connect(ctx context.Context, url string, o Options) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, runnel.Errorf(runnel.CodeInvalidRequest, "DATABASE_URL cannot be read: write it as postgres://user:password@host:5432/database")
	}
	if o.MaxConns > 0 {
		config.MaxConns = int32(o.MaxConns)
	} else if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = 10
	}
	if o.ApplicationName != "" {
		config.ConnConfig.RuntimeParams["application_name"] = o.ApplicationName
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fault("connect", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fault("connect", err)
	}
	return pool, nil
}

// Close waits for statements under way and closes all connections.
func (db *DB) Close()                          { db.pool.Close() }
func (db *DB) Pool() *pgxpool.Pool             { return db.pool }
func (db *DB) Ready(ctx context.Context) error { return errLater }

// Deploy is one deploy of a function.
type Deploy struct {
	Name       string
	Wasm       []byte
	Hash       string // hex sha256 of Wasm
	Kind       string // "command" or "reactor"
	Config     runnel.Config
	CreateOnly bool // refuse an existing name with CodeAlreadyExists
}

func (db *DB) Deploy(ctx context.Context, d Deploy) (fn runnel.Function, created bool, err error) {
	return fn, false, errLater
}
func (db *DB) Functions(ctx context.Context) ([]runnel.Function, error) { return nil, errLater }
func (db *DB) Function(ctx context.Context, name string) (fn runnel.Function, err error) {
	return fn, errLater
}
func (db *DB) Configure(ctx context.Context, name string, c runnel.Config) (fn runnel.Function, err error) {
	return fn, errLater
}
func (db *DB) Delete(ctx context.Context, name string) error { return errLater }
func (db *DB) Versions(ctx context.Context, name string) ([]runnel.Version, error) {
	return nil, errLater
}
func (db *DB) Rollback(ctx context.Context, name string, version int) (fn runnel.Function, err error) {
	return fn, errLater
}
func (db *DB) Module(ctx context.Context, hash string) ([]byte, error) { return nil, errLater }

// Enqueue is one invocation to be run.
type Enqueue struct {
	ID          string // uuid v7, made by NewID
	Function    string
	Trigger     runnel.Trigger
	Event       []byte // JSON, handed to the function byte for byte
	Caller      runnel.Caller
	RequestID   string
	Traceparent string
	Priority    int  // 1 (first) to 4; 0: 1
	MaxAttempts int  // 0: the function's, else the trigger's
	Respond     bool // a waiter wants the raw result
}

func (db *DB) Enqueue(ctx context.Context, jobs []Enqueue) ([]error, error) { return nil, errLater }

// Ref names an event: the invocation's id and its River job's created_at.
type Ref struct {
	ID        string
	CreatedAt time.Time
}

// Task is what a worker needs to run one attempt.
type Task struct {
	ID          string
	Function    runnel.Function // ID "": the function was deleted
	Revision    string          // of the stored module: changes whenever its row does
	Event       []byte
	Trigger     runnel.Trigger
	Caller      runnel.Caller
	RequestID   string
	Traceparent string
	Respond     bool
}

func (db *DB) Load(ctx context.Context, refs []Ref) (map[string]Task, error) { return nil, errLater }

// States a Settlement may ask for; they are River's.
const (
	StateCompleted = "completed"
	StateDiscarded = "discarded"
	StateRetryable = "retryable"
	StateCancelled = "cancelled"
)

// Settlement is the end of one attempt.
type Settlement struct {
	JobID    int64
	Attempt  int
	State    string            // StateCompleted, StateDiscarded, StateRetryable or StateCancelled
	RetryIn  time.Duration     // with StateRetryable
	Row      runnel.Invocation // already redacted; JobID, Attempt and CreatedAt are taken from the job
	Response []byte            // raw result for the waiter
	Respond  bool              // a waiter wants Response
}

func (db *DB) Settle(ctx context.Context, batch []Settlement) (settled []bool, err error) {
	return nil, errLater
}

func (db *DB) HandBack(ctx context.Context, jobID int64, attempt int) error { return errLater }

// Response is what a waiter gets.
type Response struct {
	ID      string
	Status  runnel.Status
	Code    runnel.Code
	Message string
	Result  []byte
}

func (db *DB) Responses(ctx context.Context, ids []string) (map[string]Response, error) {
	return nil, errLater
}

// ListenDone calls done(nil) once it is listening, then done(ids) for every notification.
func (db *DB) ListenDone(ctx context.Context, done func(ids []string)) error { return errLater }

func (db *DB) Heartbeat(ctx context.Context, worker string) error { return errLater }
func (db *DB) Retire(ctx context.Context, worker string) error    { return errLater }

// LiveWorkers counts the workers heard of within the given time.
func (db *DB) LiveWorkers(ctx context.Context, within time.Duration) (int, error) {
	return 0, errLater
}
func (db *DB) Lost(ctx context.Context, silent time.Duration) (int, error) { return 0, errLater }

// Outcomes of a tick.
const (
	TickFired    = "fired"
	TickCaughtUp = "caught_up"
	TickSkipped  = "skipped"
)

// Schedule is one row of runnel.schedules.
type Schedule struct {
	ID       int64
	Name     string
	Function string
	Cron     string
	Timezone string    // IANA name
	CatchUp  string    // all, latest or none
	Overlap  string    // allow or skip
	Cursor   time.Time // matches up to and including this instant have been considered
	NextRun  time.Time // zero: to be computed
}

// Tick is one match of a schedule and what became of it.
type Tick struct {
	Time    time.Time
	Outcome string // TickFired, TickCaughtUp or TickSkipped
	Reason  string // of TickSkipped
}

// SweepSchedules fires what is due.
func (db *DB) SweepSchedules(ctx context.Context, plan func(s Schedule, now time.Time) (ticks []Tick, next time.Time, err error)) (fired int, wait time.Duration, err error) {
	return 0, 0, errLater
}

func (db *DB) Invocation(ctx context.Context, id string) ([]runnel.Invocation, error) {
	return nil, errLater
}

// Filter selects log rows. Zero fields select everything.
type Filter struct {
	Function string
	Status   runnel.Status
	Since    time.Time
	Limit    int    // 0: 100; at most 1000
	Cursor   string // from the page before
}

func (db *DB) Invocations(ctx context.Context, f Filter) (page []runnel.Invocation, next string, err error) {
	return nil, "", errLater
}
func (db *DB) EnsurePartitions(ctx context.Context, days int) error { return errLater }
func (db *DB) DropPartitions(ctx context.Context, retention time.Duration) (int, error) {
	return 0, errLater
}
