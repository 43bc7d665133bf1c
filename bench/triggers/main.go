// Command triggers measures what a database trigger costs the writer: one statement
// that changes 1 to 10,000 rows of a small table, bare and with runnel.create_trigger
// in its forms, committed each time. Medians over
// interleaved rounds, and their ratio to the bare statement. Run it with go run
// ./bench/triggers; it starts a Postgres of its own, with fsync on.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnelhq/runnel/internal/localpg"
	"github.com/runnelhq/runnel/sql"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// kinds are the tables that are written to. Nobody works the jobs: the writer's part
// is what is measured.
var kinds = []struct{ name, trigger string }{
	{"bare", ""},
	{"statement", `SELECT runnel.create_trigger('statement', 'f', granularity => 'statement')`},
	{"row", `SELECT runnel.create_trigger('row', 'f')`},
	{"condition", `SELECT runnel.create_trigger('condition', 'f', '{INSERT,UPDATE}', condition => 'NEW.id > 0')`},
	{"none pass", `SELECT runnel.create_trigger('"none pass"', 'f', '{INSERT,UPDATE}', condition => 'NEW.id < 0')`},
	{"row by row", `SELECT runnel.create_trigger('"row by row"', 'f', '{INSERT,UPDATE}', condition => 'NEW.id > 0 AND now() > to_timestamp(0)')`},
}

func run(ctx context.Context) error {
	pg, err := localpg.Start(ctx, localpg.Options{})
	if err != nil {
		return err
	}
	defer pg.Stop()
	url := pg.URL("postgres")
	if err := sql.Migrate(ctx, url, nil); err != nil {
		return err
	}
	db, err := sql.Open(ctx, url, sql.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	wasm := []byte("measured")
	sum := sha256.Sum256(wasm)
	if _, _, err := db.Deploy(ctx, sql.Deploy{Name: "f", Wasm: wasm, Hash: hex.EncodeToString(sum[:]), Kind: "command"}); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, k := range kinds {
		if _, err := conn.Exec(ctx, `CREATE TABLE "`+k.name+`" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text, n int, at timestamptz DEFAULT now())`); err != nil {
			return err
		}
		if k.trigger != "" {
			if _, err := conn.Exec(ctx, k.trigger); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%-16s %12s", "rows", "bare ms")
	for _, k := range kinds[1:] {
		fmt.Printf(" %12s %8s", k.name+" ms", "/ bare")
	}
	fmt.Println()
	for _, c := range []struct {
		rows, rounds int
		statement    string
	}{
		{1, 300, `INSERT INTO "%s" (item, n) SELECT 'an item', g FROM generate_series(1, %d) g`},
		{8, 150, `INSERT INTO "%s" (item, n) SELECT 'an item', g FROM generate_series(1, %d) g`},
		{100, 60, `INSERT INTO "%s" (item, n) SELECT 'an item', g FROM generate_series(1, %d) g`},
		{10000, 7, `INSERT INTO "%s" (item, n) SELECT 'an item', g FROM generate_series(1, %d) g`},
		{1, 300, `UPDATE "%s" SET n = n + 1 WHERE id <= %d`},
		{100, 60, `UPDATE "%s" SET n = n + 1 WHERE id <= %d`},
		{10000, 7, `UPDATE "%s" SET n = n + 1 WHERE id <= %d`},
	} {
		took := make([][]time.Duration, len(kinds))
		for range c.rounds {
			for i, k := range kinds {
				began := time.Now()
				if _, err := conn.Exec(ctx, fmt.Sprintf(c.statement, k.name, c.rows)); err != nil {
					return err
				}
				took[i] = append(took[i], time.Since(began))
			}
		}
		if _, err := conn.Exec(ctx, `TRUNCATE runnel.river_job, runnel.invocation_events`); err != nil {
			return err
		}
		fmt.Printf("%-16s", fmt.Sprintf("%s %d", c.statement[:6], c.rows))
		bare := median(took[0])
		fmt.Printf(" %12.2f", bare)
		for i := range kinds[1:] {
			m := median(took[i+1])
			fmt.Printf(" %12.2f %8.1f", m, m/bare)
		}
		fmt.Println()
	}
	return nil
}

// median is in milliseconds.
func median(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)/2].Microseconds()) / 1000
}
