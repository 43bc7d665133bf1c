// Command guestsql measures a function's SQL against the same statement in two
// other ways: on a plain connection that is under the same role already, and as
// PostgREST does it, in a transaction that first sets role and claims, with
// prepared statements. Medians, and their ratios to db_query. Run it with go run
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
		CREATE TABLE public.note (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner uuid DEFAULT auth.uid(), text text);
		CREATE TABLE public.entry (text text);
		ALTER TABLE public.note ENABLE ROW LEVEL SECURITY;
		CREATE POLICY own ON public.note TO authenticated USING (owner = (SELECT auth.uid()));
		INSERT INTO public.note (owner, text) SELECT '`+caller+`', repeat('x', 50) FROM generate_series(1, 20000);
		GRANT SELECT ON public.note TO authenticated; GRANT INSERT ON public.entry TO authenticated; ANALYZE`); err != nil {
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
	rest, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer rest.Close(ctx)
	who := runnel.Caller{Role: runnel.RoleAuthenticated, UserID: caller}
	guest := db.Guest(who, false)
	defer guest.Close()

	fmt.Printf("%-34s %10s %10s %10s %9s %9s\n", "median of", "plain", "PostgREST", "db_query", "/ plain", "/ PostgR.")
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
		took, err := medians(c.times,
			func() error { return read(ctx, plain, c.text, c.args) },
			func() error {
				return pgx.BeginFunc(ctx, rest, func(tx pgx.Tx) error {
					_, err := tx.Exec(ctx, `SELECT set_config('search_path', $1, true), set_config('role', $2, true), set_config('request.jwt.claims', $3, true), set_config('request.method', $4, true), set_config('request.path', $5, true)`,
						"public", "authenticated", `{"sub":"`+caller+`","role":"authenticated"}`, "GET", "/note")
					if err != nil {
						return err
					}
					return read(ctx, tx, c.text, c.args)
				})
			},
			func() error { return ask(ctx, guest, c.text, c.params) })
		if err != nil {
			return err
		}
		fmt.Printf("%-34s %10s %10s %10s %9.2f %9.2f\n", c.name, took[0], took[1], took[2],
			float64(took[2])/float64(took[0]), float64(took[2])/float64(took[1]))
	}
	took, err := medians(500,
		func() error { return ask(ctx, guest, `SELECT 1`, `[]`) },
		func() error {
			s := db.Guest(who, false)
			defer s.Close()
			return ask(ctx, s, `SELECT 1`, `[]`)
		})
	if err != nil {
		return err
	}
	fmt.Printf("%-34s %10s %10s %10s\n", "SELECT 1 in a slot that is held", "", "", took[0])
	fmt.Printf("%-34s %10s %10s %10s\n", "take a slot, SELECT 1, clean it", "", "", took[1])
	var opening []time.Duration
	_, err = medians(20, func() error {
		fresh, err := sql.Open(ctx, url, sql.Options{SlotSecret: "a secret of the measurement", MaxConns: 1})
		if err != nil {
			return err
		}
		defer fresh.Close()
		began := time.Now()
		s := fresh.Guest(who, false)
		defer s.Close()
		err = ask(ctx, s, `SELECT 1`, `[]`)
		opening = append(opening, time.Since(began))
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(opening)
	fmt.Printf("%-34s %10s %10s %10s\n", "log in as a slot, probe, SELECT 1", "", "", opening[len(opening)/2].Round(time.Microsecond))
	return nil
}

// read takes in the rows of a query.
func read(ctx context.Context, q interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, text string, args []any) error {
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if _, err := rows.Values(); err != nil {
			return err
		}
	}
	return rows.Err()
}

func ask(ctx context.Context, s *sql.GuestSession, text, params string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if raw := s.Query(ctx, text, []byte(params)); bytes.HasPrefix(raw, []byte(`{"error"`)) {
		return fmt.Errorf("%s: %s", text, raw)
	}
	return nil
}

// medians lets several ways take turns, so that what disturbs one disturbs all.
func medians(times int, ways ...func() error) ([]time.Duration, error) {
	took := make([][]time.Duration, len(ways))
	for range times {
		for i, do := range ways {
			began := time.Now()
			if err := do(); err != nil {
				return nil, err
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	found := make([]time.Duration, len(ways))
	for i := range ways {
		slices.Sort(took[i])
		found[i] = took[i][times/2].Round(time.Microsecond)
	}
	return found, nil
}
