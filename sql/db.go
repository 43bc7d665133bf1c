package sql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/runnelhq/runnel"
)

// Schema is where everything lives, River's tables included.
const Schema = "runnel"

// Queue and kind of every River job that Runnel makes.
const (
	Queue = "functions"
	Kind  = "invoke"
)

// DB is Runnel's own connection to its database: it logs in as the owner of the
// schema, and nothing of it is ever lent to a function. Functions' SQL runs in
// slots, which are logins of their own (Guest).
type DB struct {
	pool  *pgxpool.Pool
	slots *slots
	keys  Keys          // nil: environments are stored in the clear
	quiet time.Duration // listenQuiet, less in tests

	pooled bool // see Pooled
}

// Options of Open.
type Options struct {
	MaxConns        int    // 0: pool_max_conns of the url, else 10
	ApplicationName string // shown in pg_stat_activity

	// CustomPlans has Postgres plan every execution anew. By default a statement
	// is planned once for each connection: planning over a month of partitions
	// takes longer than running any statement of an invocation. Set it for
	// statements that need to see their values, such as River UI's lists.
	CustomPlans bool

	// SlotSecret is what the passwords of slots are made from: the same for all
	// processes of a database. Without it every query of a function is refused.
	SlotSecret string
	Slots      int // connections of each level for functions' SQL; 0: DefaultSlots

	// Keys encrypt functions' environments before they are stored, bound to
	// BindEnvironment. nil: they are stored in the clear.
	Keys Keys
}

// Keys encrypts and decrypts values that are bound to a context. Package keyring has
// such keys.
type Keys interface {
	Seal(value []byte, context ...string) []byte
	Open(sealed []byte, context ...string) ([]byte, error)
}

// Open connects to a database that Migrate has been run on. It fails with
// CodeUnavailable when the database cannot be reached now.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	pool, pooled, err := connect(ctx, url, o, statementLimit)
	if err != nil {
		return nil, err
	}
	db := &DB{pool: pool, keys: o.Keys, quiet: listenQuiet, pooled: pooled}
	db.slots = newSlots(db, o.SlotSecret, o.Slots)
	return db, nil
}

// connect makes a pool, and tells whether its connections lead through a pooler.
//
// limit is how long a statement may take whose caller set none; 0: for ever.
func connect(ctx context.Context, url string, o Options, limit time.Duration) (pool *pgxpool.Pool, pooled bool, err error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The cause would quote the url, and with it the password.
		return nil, false, runnel.Errorf(runnel.CodeInvalidRequest, "DATABASE_URL cannot be read: write it as postgres://user:password@host:5432/database")
	}
	switch {
	case o.MaxConns > 0:
		config.MaxConns = int32(o.MaxConns)
	case !strings.Contains(url, "pool_max_conns"):
		config.MaxConns = 10
	}
	if o.ApplicationName != "" {
		config.ConnConfig.RuntimeParams["application_name"] = o.ApplicationName
	}
	if limit > 0 {
		hurry(config, limit)
	}
	if pooled, err = throughPooler(ctx, config.ConnConfig); err != nil {
		return nil, false, fault("connect", err)
	}
	switch {
	case pooled && !strings.Contains(url, "default_query_exec_mode"):
		// Statements have no name, so the next one may come to another session.
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	case !pooled:
		// Not startup parameters: PgBouncer refuses those it does not know. Behind a
		// pooler they would be set for others, too. The search_path is for those who
		// may create functions in a schema that is in the role's: one whose types fit
		// better than those of Postgres's own is called in its place, by the owner.
		set := fmt.Sprintf("SET search_path = pg_catalog, pg_temp; SET lock_timeout = %d;", time.Duration(float64(limit)*lockLimit).Milliseconds())
		if !o.CustomPlans {
			set += "SET plan_cache_mode = force_generic_plan"
		}
		config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, set, pgx.QueryExecModeSimpleProtocol)
			return err
		}
	}
	if pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, false, fault("connect", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, false, fault("connect", err)
	}
	return pool, pooled, nil
}

// throughPooler tells whether a pooler such as PgBouncer answers instead of
// Postgres: it makes up the process id that a session is told when it begins.
func throughPooler(ctx context.Context, config *pgx.ConnConfig) (bool, error) {
	conn, err := pgx.ConnectConfig(ctx, config.Copy())
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// Without a name, and without pgx's checks of the session's encoding.
	result := conn.PgConn().ExecParams(ctx, `SELECT pg_backend_pid()::text`, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return false, result.Err
	}
	return string(result.Rows[0][0]) != strconv.FormatUint(uint64(conn.PgConn().PID()), 10), nil
}

// Pooled tells whether DATABASE_URL leads to a connection pooler. Where that hands
// out sessions by the transaction, everything works but functions' SQL, whose logins
// have to be the database's, and notifications, which nobody hears: whoever waits
// for one looks again instead.
func (db *DB) Pooled() bool { return db.pooled }

// Close waits for the statements under way and closes all connections. Close the
// sessions of Guest first.
func (db *DB) Close() {
	db.slots.close()
	db.pool.Close()
}

// Pool is the pool behind db, for River's client.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// Ready tells whether the database can be reached and has the migrations of
// this release. Newer ones are fine: a rolling deploy applies them first. Those of
// another build with the same numbers are not.
func (db *DB) Ready(ctx context.Context) error {
	wanted, err := ownSchema()
	if err != nil {
		return err
	}
	there, err := readApplied(ctx, db.pool)
	if err != nil {
		return fault("check readiness", err)
	}
	if want := len(wanted.migrations); there.version < want {
		return runnel.Errorf(runnel.CodeUnavailable, "the database is at migration %d and this release needs %d: run runnel migrate", there.version, want)
	}
	return there.sameBuild(wanted)
}
