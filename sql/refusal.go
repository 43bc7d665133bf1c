package sql

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/runnelhq/runnel"
)

// refusal turns what runnel.schedule, runnel.create_trigger and their kin raised
// into an Error. Their messages and hints are written for whoever called them, and
// a condition's own mistakes are its author's to read.
func refusal(doing string, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return coded(doing, err)
	}
	code := runnel.CodeInvalidRequest
	switch pg.Code {
	case "22021", "22P05":
		return runnel.Errorf(runnel.CodeInvalidRequest, "%s: Postgres cannot store the character U+0000: leave it out", doing)
	case "22023":
		if strings.HasPrefix(pg.Message, "InvalidCron: ") {
			code = runnel.CodeInvalidCron
		}
	case "42704":
		code = runnel.CodeNotFound
		if strings.HasPrefix(pg.Message, "function ") {
			code = runnel.CodeFunctionNotFound
		}
	case "42501":
		code = runnel.CodeForbidden
	case "54000":
		code = runnel.CodeTooLarge
	case "0A000", "42P01", "42809", "42601", "42602", "42703", "42883", "42804", "42725", "42P10", "42P11", "42P17", "42P02", "42803", "42P20", "22P02", "3F000":
	default:
		return fault(doing, err)
	}
	text := strings.TrimPrefix(pg.Message, "InvalidCron: ")
	if pg.Hint != "" {
		text += ". " + pg.Hint
	}
	return runnel.Errorf(code, "%s: %s", doing, text).Because(err)
}
