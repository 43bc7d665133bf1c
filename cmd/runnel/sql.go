package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/spf13/cobra"
)

func (t *tool) sqlCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sql STATEMENT",
		Short: "Run SQL on the database of runnel dev, or on DATABASE_URL",
		Long: `Run SQL on the database of "runnel dev", or on DATABASE_URL.

Several statements, separated by semicolons, run in one transaction. - reads
them from standard input. They run as the owner of the database.`,
		Example: `  runnel sql "select runnel.invoke('price-order', '{}')"`,
		Args:    exactly("STATEMENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			statement := args[0]
			if statement == "-" {
				b, err := t.readData("-")
				if err != nil {
					return err
				}
				statement = string(b)
			}
			database, err := databaseURL()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			conn, err := pgx.Connect(ctx, database)
			if err != nil {
				return connectError(err)
			}
			defer conn.Close(ctx)
			results, err := conn.PgConn().Exec(ctx, statement).ReadAll()
			if err != nil {
				return explainSQL(err, statement)
			}
			if t.json {
				out := make([]sqlResult, len(results))
				for i, r := range results {
					out[i] = newSQLResult(r)
				}
				return t.writeJSON(out)
			}
			for _, r := range results {
				if err := t.writeResult(r); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// databaseURL is DATABASE_URL, else the database of the runnel dev of this folder.
func databaseURL() (string, error) {
	if u := os.Getenv("DATABASE_URL"); u != "" {
		return u, nil
	}
	s, ok, err := findState()
	if err != nil {
		return "", err
	}
	if !ok || s.DatabaseURL == "" {
		return "", errors.New("no database is known: start \"runnel dev\" in this folder, or set DATABASE_URL")
	}
	return s.DatabaseURL, nil
}

// connectError leaves out the address, which has the password in it.
func connectError(err error) error {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) && connect.Unwrap() != nil {
		err = connect.Unwrap()
	}
	return fmt.Errorf("cannot connect to the database: %w; is \"runnel dev\" running, or DATABASE_URL right?", err)
}

// explainSQL adds what Postgres says beside its message.
func explainSQL(err error, statement string) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	text := fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code)
	if e.Position > 0 && int(e.Position) <= len([]rune(statement)) {
		line := 1 + strings.Count(string([]rune(statement)[:e.Position-1]), "\n")
		text += fmt.Sprintf(", line %d", line)
	}
	if e.Detail != "" {
		text += "\ndetail: " + e.Detail
	}
	if e.Hint != "" {
		text += "\nhint: " + e.Hint
	}
	return errors.New(text)
}

// sqlResult is one statement's result in --json.
type sqlResult struct {
	Command string   `json:"command"` // as "INSERT 0 1"
	Columns []string `json:"columns,omitempty"`
	Rows    [][]any  `json:"rows,omitempty"`
}

func newSQLResult(r *pgconn.Result) sqlResult {
	out := sqlResult{Command: r.CommandTag.String()}
	for _, f := range r.FieldDescriptions {
		out.Columns = append(out.Columns, f.Name)
	}
	for _, row := range r.Rows {
		values := make([]any, len(row))
		for i, v := range row {
			values[i] = jsonValue(r.FieldDescriptions[i].DataTypeOID, v)
		}
		out.Rows = append(out.Rows, values)
	}
	return out
}

// jsonValue keeps numbers, booleans and JSON what they are; all else is text.
func jsonValue(oid uint32, text []byte) any {
	if text == nil {
		return nil
	}
	switch oid {
	case pgtype.BoolOID:
		return string(text) == "t"
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID,
		pgtype.JSONOID, pgtype.JSONBOID:
		if json.Valid(text) { // NaN and Infinity are not
			return json.RawMessage(text)
		}
	}
	return string(text)
}

func (t *tool) writeResult(r *pgconn.Result) error {
	if len(r.FieldDescriptions) == 0 {
		_, err := fmt.Fprintln(t.out, r.CommandTag)
		return err
	}
	header := make([]string, len(r.FieldDescriptions))
	for i, f := range r.FieldDescriptions {
		header[i] = f.Name
	}
	rows := make([][]string, len(r.Rows))
	for i, row := range r.Rows {
		rows[i] = make([]string, len(row))
		for j, v := range row {
			rows[i][j] = string(v)
		}
	}
	if err := t.writeTable(header, rows); err != nil {
		return err
	}
	unit := "rows"
	if len(rows) == 1 {
		unit = "row"
	}
	_, err := fmt.Fprintf(t.out, "(%d %s)\n", len(rows), unit)
	return err
}
