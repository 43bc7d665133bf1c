package sql

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/runnelhq/runnel"
)

// SQLSTATEs that are answered to.
const (
	checkViolation   = "23514"
	lockNotAvailable = "55P03"

	insufficientPrivilege = "42501"

	noDataFound            = "P0002"
	undefinedObject        = "42704"
	notInPrerequisiteState = "55000"
)

// fault turns what a statement failed with into an Error that says whether the
// database could be reached. The database's own text stays in the cause: it may
// quote data. A cancellation is passed on as it is; a time limit, the caller's or
// our own, is a database that did not answer.
func fault(doing string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return runnel.Errorf(runnel.CodeUnavailable, "%s: the database did not answer in time: try again", doing).Because(err)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return runnel.Errorf(runnel.CodeUnavailable, "%s: the database did not answer: check DATABASE_URL and that Postgres is up, then try again", doing).Because(err)
	}
	switch {
	case temporary(pg):
		return runnel.Errorf(runnel.CodeUnavailable, "%s: the database is not taking statements now: try again", doing).Because(err)
	case pg.Code == "3F000" || pg.Code == "42P01" || pg.Code == "42883":
		return runnel.Errorf(runnel.CodeUnavailable, "%s: the database lacks Runnel's tables or has older ones: run runnel migrate", doing).Because(err)
	case strings.HasPrefix(pg.Code, "28") || pg.Code == "3D000":
		return runnel.Errorf(runnel.CodeInternal, "%s: the database refused the role, password or database of DATABASE_URL (SQLSTATE %s): correct it", doing, pg.Code).Because(err)
	}
	return runnel.Errorf(runnel.CodeInternal, "%s: the database answered with SQLSTATE %s: see the process log", doing, pg.Code).Because(err)
}

// coded is fault for what may hold an Error already, which is passed on.
func coded(doing string, err error) error {
	var e *runnel.Error
	if errors.As(err, &e) {
		return err
	}
	return fault(doing, err)
}

// temporary tells whether the same statement may succeed later: connection
// errors, resources, operator intervention, rolled back transactions, locks.
func temporary(pg *pgconn.PgError) bool {
	for _, class := range []string{"08", "53", "57", "40", "55", "58"} {
		if strings.HasPrefix(pg.Code, class) {
			return true
		}
	}
	return pg.Code == "25006" // read-only: a standby, or a failover under way
}

// Refused tells whether err means that the database refused the data itself, so
// that the same batch would fail again: try its rows one by one. A right that was
// revoked or a table that is not there (class 42, 3F) is nobody's data.
func Refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && !temporary(pg) && !strings.HasPrefix(pg.Code, "42") && !strings.HasPrefix(pg.Code, "3F")
}

// violates tells whether err is a violation of the named constraint.
func violates(err error, code, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code && pg.ConstraintName == constraint
}

func missing(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
