// Command guestsql measures a function's SQL against the same statement of a plain
// connection under the same role: medians, and their ratios. Run it with go run
// ./bench/guestsql; it starts a Postgres of its own.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/localpg"
	"github.com/runnelhq/runnel/sql"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const caller = "00000000-0000-4000-8000-00000000000a"

func run(ctx context.Context) error {
	pg, err := localpg.Start(ctx, localpg.Options{Fast: true})
	if err != nil {
		return err
	}
	defer pg.Stop()
	url := pg.URL("postgres")
	if err := sql.Migrate(ctx, url, nil); err != nil {
		return err
	}
	db, err := sql.Open(ctx, url, sql.Options{SlotSecret: "a secret of the measurement"})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Pool().Exec(ctx, `
		CREATE TABLE note (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner uuid DEFAULT auth.uid(), text text);
		CREATE TABLE entry (text text);
		ALTER TABLE note ENABLE ROW LEVEL SECURITY;
		CREATE POLICY own ON note TO authenticated USING (owner = (SELECT auth.uid()));
		INSERT INTO note (owner, text) SELECT '`+caller+`', repeat('x', 50) FROM generate_series(1, 20000);
		GRANT SELECT ON note TO authenticated; GRANT INSERT ON entry TO authenticated; ANALYZE`); err != nil {
		return err
	}
	plain, err := pgx.Connect(ctx, url+"&default_query_exec_mode=exec")
	if err != nil {
		return err
	}
	defer plain.Close(ctx)
	if _, err := plain.Exec(ctx, `SELECT set_config('request.jwt.claims', '{"sub":"`+caller+`"}', false), set_config('role', 'authenticated', false)`); err != nil {
		return err
	}
	who := runnel.Caller{Role: runnel.RoleAuthenticated, UserID: caller}
	guest := db.Guest(who, false)
	defer guest.Close()

	fmt.Printf("%-24s %10s %10s %6s\n", "median of", "plain", "db_query", "ratio")
	for _, c := range []struct {
		name, text, params string
		args               []any
		times              int
	}{
		{"point select", `SELECT text FROM note WHERE id = $1`, `[7]`, []any{7}, 2000},
		{"insert", `INSERT INTO entry (text) VALUES ($1)`, `["x"]`, []any{"x"}, 2000},
		{"100 rows", `SELECT id, text FROM note LIMIT 100`, `[]`, nil, 1000},
		{"10,000 rows", `SELECT id, text FROM note LIMIT 10000`, `[]`, nil, 50},
	} {
		a, err := median(c.times, func() error {
			rows, err := plain.Query(ctx, c.text, c.args...)
			if err != nil {
				return err
			}
			for rows.Next() {
				if _, err := rows.Values(); err != nil {
					return err
				}
			}
			return rows.Err()
		})
		if err != nil {
			return err
		}
		b, err := median(c.times, func() error { return ask(ctx, guest, c.text, c.params) })
		if err != nil {
			return err
		}
		fmt.Printf("%-24s %10s %10s %6.2f\n", c.name, a, b, float64(b)/float64(a))
	}
	first, err := median(500, func() error {
		s := db.Guest(who, false)
		defer s.Close()
		return ask(ctx, s, `SELECT 1`, `[]`)
	})
	if err != nil {
		return err
	}
	fmt.Printf("%-24s %10s %10s\n", "acquire, SELECT 1, clean", "", first)
	return nil
}

func ask(ctx context.Context, s *sql.GuestSession, text, params string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if raw := s.Query(ctx, text, []byte(params)); bytes.HasPrefix(raw, []byte(`{"error"`)) {
		return fmt.Errorf("%s: %s", text, raw)
	}
	return nil
}

func median(times int, do func() error) (time.Duration, error) {
	took := make([]time.Duration, times)
	for i := range took {
		began := time.Now()
		if err := do(); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[times/2].Round(time.Microsecond), nil
}
