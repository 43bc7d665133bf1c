package sql

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/runnelhq/runnel"
)

// migrationLock is the advisory lock that keeps two processes from migrating one
// database at the same time. The number means nothing. A transaction of its own holds
// it: a session's would stay behind when a pooler gives the session to someone else.
const migrationLock = 7_035_923_184_311

// Migrate brings the database at url to the schema of this release: River's tables
// first, then, in one transaction, the files of migration/ that it does not have and
// those of routine/ that it has with another content, then the partitions of the next
// days. What is there already is left alone, so it may be called at every start and
// by many processes at once: one works, the others wait. Killed at any moment, it
// leaves Runnel's part as the release before had it, or as this one has it.
//
// A database of a newer release is left as it is; one that another build made is
// refused. A nil log discards.
//
// The role of url needs CREATE on the database, or to own schema runnel.
func Migrate(ctx context.Context, url string, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	wanted, err := ownSchema()
	if err != nil {
		return err
	}
	pool, _, err := connect(ctx, url, Options{MaxConns: 3, ApplicationName: "runnel migrate"}, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	return coded("migrate", owned(migrate(ctx, pool, wanted, log)))
}

// owned says what is missing where Postgres says only that something is denied.
func owned(err error) error {
	var pg *pgconn.PgError
	if runnel.CodeOf(err) != runnel.CodeInternal || !errors.As(err, &pg) || pg.Code != insufficientPrivilege {
		return err
	}
	return runnel.Errorf(runnel.CodeInvalidRequest, "%s: the role of DATABASE_URL must own the schema runnel and all that is in it, or, where there is none yet, may CREATE in the database. A dump is restored with pg_restore --no-owner --role=THAT_ROLE (docs/OPERATIONS.md)", pg.Message).Because(err)
}

func migrate(ctx context.Context, pool *pgxpool.Pool, wanted schema, log *slog.Logger) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var encoding string
	if err := conn.QueryRow(ctx, `SHOW server_encoding`).Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return runnel.Errorf(runnel.CodeInvalidRequest, "the database's encoding is %s: events are UTF-8, so create the database with ENCODING 'UTF8'", encoding)
	}
	lock, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := lock.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		return err
	}
	if _, err := lock.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, migrationLock); err != nil {
		return err
	}

	for _, text := range []string{bootstrapSQL, levelsSQL} {
		if _, err := conn.Exec(ctx, text); err != nil {
			return err
		}
	}
	there, err := readApplied(ctx, conn)
	if err != nil {
		return err
	}
	if err := there.sameBuild(wanted); err != nil {
		return err
	}
	river, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: Schema, Logger: log})
	if err != nil {
		return err
	}
	if _, err := river.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	if there.version > len(wanted.migrations) {
		log.WarnContext(ctx, "the schema is of a newer release and was left as it is", "version", there.version, "of this release", len(wanted.migrations))
	} else if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return there.bringTo(ctx, tx, wanted, log) }); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `SELECT runnel.ensure_partitions()`)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == lockNotAvailable {
		// Somebody reads the log just now. Nothing fails without the partitions.
		log.WarnContext(ctx, "partitions of the next days were not made: a worker will try again", "cause", pg.Message)
		return nil
	}
	return err
}

// applied is what a database says of its schema.
type applied struct {
	version    int // the highest
	migrations map[int]string
	routines   map[string]string // both: checksums
}

type queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readApplied(ctx context.Context, conn queryer) (applied, error) {
	there := applied{migrations: map[int]string{}, routines: map[string]string{}}
	rows, err := conn.Query(ctx, `SELECT version, name, checksum FROM runnel.migration UNION ALL SELECT NULL, name, checksum FROM runnel.routine`)
	if err != nil {
		return there, err
	}
	var version *int
	var name, checksum string
	_, err = pgx.ForEachRow(rows, []any{&version, &name, &checksum}, func() error {
		if version == nil {
			there.routines[name] = checksum
			return nil
		}
		there.migrations[*version] = checksum
		there.version = max(there.version, *version)
		return nil
	})
	return there, err
}

// sameBuild refuses a database whose tables somebody else's files made.
func (there applied) sameBuild(wanted schema) error {
	for i, m := range wanted.migrations {
		if checksum, ok := there.migrations[i+1]; ok && checksum != m.checksum {
			return runnel.Errorf(runnel.CodeInternal, "migration %s was applied to this database with another content, so another build of Runnel made it: use that build, or, if everything in it may go, DROP SCHEMA runnel CASCADE, run runnel migrate and deploy again", m.name)
		}
	}
	return nil
}

// bringTo applies what is missing, within one transaction: whoever looks finds the
// schema of one release, and not part of another.
func (there applied) bringTo(ctx context.Context, tx pgx.Tx, wanted schema, log *slog.Logger) error {
	var numbered, replaced []string
	for i, m := range wanted.migrations {
		if _, ok := there.migrations[i+1]; ok {
			continue
		}
		if err := m.run(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO runnel.migration (version, name, checksum) VALUES ($1, $2, $3)`, i+1, m.title(), m.checksum); err != nil {
			return err
		}
		numbered = append(numbered, m.name)
	}
	// Routines refer to each other. A test checks the bodies once all are there.
	if _, err := tx.Exec(ctx, `SET LOCAL check_function_bodies = off`); err != nil {
		return err
	}
	for _, r := range wanted.routines {
		if there.routines[r.name] == r.checksum {
			continue
		}
		if err := r.run(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO runnel.routine (name, checksum) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, applied_at = now()`, r.name, r.checksum); err != nil {
			return err
		}
		replaced = append(replaced, r.name)
	}
	if _, err := tx.Exec(ctx, rightsSQL); err != nil {
		return err
	}
	if numbered == nil && replaced == nil {
		return nil
	}
	log.InfoContext(ctx, "migrated", "tables", strings.Join(numbered, " "), "routines", strings.Join(replaced, " "))
	return nil
}

// run executes the script and says which of its statements the database refused.
// The text is our own DDL, so it may be shown.
func (s script) run(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, s.text)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || temporary(pg) {
		return err
	}
	line := 1 + strings.Count(s.text[:min(len(s.text), max(0, int(pg.Position)-1))], "\n")
	return runnel.Errorf(runnel.CodeInternal, "%s failed and left nothing behind: %s (SQLSTATE %s, near line %d)", s.name, pg.Message, pg.Code, line).Because(err)
}
