package sql

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/runnelhq/runnel"
)

//go:embed migration/*.sql
var migrationFiles embed.FS

// migration is one file of migration/.
type migration struct {
	version  int
	name     string // without number and extension
	text     string
	checksum string // hex sha256 of text
}

// migrationLock is the advisory lock that keeps two processes from migrating one
// database at the same time. The number means nothing. A transaction of its own holds
// it: a session's would stay behind when a pooler gives the session to someone else.
const migrationLock = 7_035_923_184_311

// Migrate brings the database at url to the newest schema: River's tables
// first, then each file of migration/ in a transaction of its own, then the
// partitions of the next days. What is applied already is left alone, so it may
// be called at every start and by many processes at once: one works, the others
// wait. A nil log discards.
//
// The role of url needs CREATE on the database, or to own schema runnel.
func Migrate(ctx context.Context, url string, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	migrations, err := readMigrations(migrationFiles)
	if err != nil {
		return err
	}
	pool, _, err := connect(ctx, url, Options{MaxConns: 3, ApplicationName: "runnel migrate"})
	if err != nil {
		return err
	}
	defer pool.Close()
	return coded("migrate", migrate(ctx, pool, migrations, log))
}

func migrate(ctx context.Context, pool *pgxpool.Pool, migrations []migration, log *slog.Logger) error {
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

	if _, err := conn.Exec(ctx, bootstrapSQL); err != nil {
		return err
	}
	river, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: Schema, Logger: log})
	if err != nil {
		return err
	}
	if _, err := river.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	applied, err := appliedMigrations(ctx, conn.Conn())
	if err != nil {
		return err
	}
	for _, m := range migrations {
		switch checksum, ok := applied[m.version]; {
		case !ok:
			if err := m.apply(ctx, conn.Conn()); err != nil {
				return m.failed(err)
			}
			log.InfoContext(ctx, "migrated", "version", m.version, "name", m.name)
		case checksum != m.checksum:
			return runnel.Errorf(runnel.CodeInternal, "migration %03d_%s was applied to this database with another content: use the release that applied it, or restore its file", m.version, m.name)
		}
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

// apply runs the file and records it, in one transaction.
func (m migration) apply(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, m.text); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, revokeSQL); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO runnel.migration (version, name, checksum) VALUES ($1, $2, $3)`, m.version, m.name, m.checksum)
		return err
	})
}

// failed says which statement of the file the database refused. The text is our
// own DDL, so it may be shown.
func (m migration) failed(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || temporary(pg) {
		return err
	}
	line := 1 + strings.Count(m.text[:min(len(m.text), max(0, int(pg.Position)-1))], "\n")
	return runnel.Errorf(runnel.CodeInternal, "migration %03d_%s failed and left nothing behind: %s (SQLSTATE %s, near line %d)", m.version, m.name, pg.Message, pg.Code, line).Because(err)
}

func appliedMigrations(ctx context.Context, conn *pgx.Conn) (map[int]string, error) {
	rows, err := conn.Query(ctx, `SELECT version, checksum FROM runnel.migration`)
	if err != nil {
		return nil, err
	}
	applied := map[int]string{}
	var version int
	var checksum string
	_, err = pgx.ForEachRow(rows, []any{&version, &checksum}, func() error {
		applied[version] = checksum
		return nil
	})
	return applied, err
}

// readMigrations reads NNN_name.sql files, which must be numbered from 001
// without a gap.
func readMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "migration/*.sql")
	if err != nil {
		return nil, err
	}
	migrations := make([]migration, len(names))
	for i, file := range names {
		number, name, ok := strings.Cut(strings.TrimSuffix(path.Base(file), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if !ok || err != nil || version != i+1 {
			return nil, fmt.Errorf("%s: migrations are named NNN_name.sql and numbered without a gap", file)
		}
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		migrations[i] = migration{version, name, string(text), hex.EncodeToString(sum[:])}
	}
	return migrations, nil
}
