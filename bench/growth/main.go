// Command growth measures what grows with what: one row for each operation, one
// column for each size of that which might make it slower. Medians in milliseconds,
// one statement (or call of package sql) at a time, on a Postgres of its own. Run it
// with go run ./bench/growth; -part picks rows.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/localpg"
	"github.com/runnelhq/runnel/sql"
)

// part is something that grows, and what may suffer from it. grow is called once for
// each size, in order, and leaves everything else as it was.
type part struct {
	name  string
	sizes []int
	grow  func(b *bed, size int)
	rows  []row
}

type row struct {
	name string
	do   func(b *bed) error
}

func main() {
	only := flag.String("part", "", "the part to measure: functions, waiting, log, letters, schedules, overlap or triggers")
	flag.Parse()
	if err := run(context.Background(), *only); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	pg, err := localpg.Start(ctx, localpg.Options{})
	if err != nil {
		return err
	}
	defer pg.Stop()
	for _, p := range parts {
		if only != "" && p.name != only {
			continue
		}
		b, err := newBed(ctx, pg, p.name)
		if err != nil {
			return err
		}
		took := make([][]string, len(p.rows))
		for _, size := range p.sizes {
			p.grow(b, size)
			b.exec(`VACUUM ANALYZE`)
			for i, r := range p.rows {
				median, err := b.median(r.do)
				if err != nil {
					return fmt.Errorf("%s, %d: %w", r.name, size, err)
				}
				took[i] = append(took[i], fmt.Sprintf("%.2f", median))
			}
		}
		for i, r := range p.rows {
			fmt.Printf("| %s | %s | %s |\n", r.name, strings.Trim(strings.Join(strings.Fields(fmt.Sprint(p.sizes)), " / "), "[]"), strings.Join(took[i], " / "))
		}
		b.close()
	}
	return nil
}

// bed is a database with one function, hello.
type bed struct {
	ctx   context.Context
	db    *sql.DB
	conn  *pgx.Conn
	hello string // its id
}

func newBed(ctx context.Context, pg *localpg.Server, name string) (*bed, error) {
	admin, err := pgx.Connect(ctx, pg.URL("postgres"))
	if err != nil {
		return nil, err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, `CREATE DATABASE `+name); err != nil {
		return nil, err
	}
	url := pg.URL(name)
	if err := sql.Migrate(ctx, url, nil); err != nil {
		return nil, err
	}
	b := &bed{ctx: ctx}
	if b.db, err = sql.Open(ctx, url, sql.Options{MaxConns: 2}); err != nil {
		return nil, err
	}
	if b.conn, err = pgx.Connect(ctx, url); err != nil {
		return nil, err
	}
	wasm := []byte("measured")
	sum := sha256.Sum256(wasm)
	fn, _, err := b.db.Deploy(ctx, sql.Deploy{Name: "hello", Wasm: wasm, Hash: hex.EncodeToString(sum[:]), Kind: "command"})
	b.hello = fn.ID
	return b, err
}

func (b *bed) close() {
	b.conn.Close(b.ctx)
	b.db.Close()
}

// exec is for preparations: there is nothing to be done about an error.
func (b *bed) exec(text string, args ...any) {
	if _, err := b.conn.Exec(b.ctx, text, args...); err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
}

// median of 15 calls, in milliseconds; the first two are not counted, and a call that
// takes seconds is made three times.
func (b *bed) median(do func(*bed) error) (float64, error) {
	var all []time.Duration
	for i := range 17 {
		began := time.Now()
		if err := do(b); err != nil {
			return 0, err
		}
		took := time.Since(began)
		if i >= 2 || took > time.Second {
			all = append(all, took)
		}
		if took > time.Second && len(all) == 3 {
			break
		}
	}
	slices.Sort(all)
	return float64(all[len(all)/2].Microseconds()) / 1000, nil
}

// query runs a statement and reads what it answers.
func query(text string, args ...any) func(*bed) error {
	return func(b *bed) error {
		rows, err := b.conn.Query(b.ctx, text, args...)
		if err != nil {
			return err
		}
		_, err = pgx.CollectRows(rows, func(pgx.CollectableRow) (struct{}, error) { return struct{}{}, nil })
		return err
	}
}

// fetch takes ten jobs and gives them back.
func fetch(b *bed) error {
	tx, err := b.db.Pool().Begin(b.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(b.ctx) }()
	tag, err := tx.Exec(b.ctx, `SELECT * FROM runnel.fetch_jobs('w', 10, 100, '', '{}', '{}')`)
	if err == nil && tag.RowsAffected() != 11 {
		err = fmt.Errorf("%d rows", tag.RowsAffected())
	}
	return err
}

func page(f sql.Filter) func(*bed) error {
	return func(b *bed) error {
		_, _, err := b.db.Invocations(b.ctx, f)
		return err
	}
}

// deep is the page that begins in the middle of the log.
func deep(f sql.Filter) func(*bed) error {
	return func(b *bed) error {
		f.Cursor = cursor()
		_, _, err := b.db.Invocations(b.ctx, f)
		return err
	}
}

func letters(f sql.DeadLetters) func(*bed) error {
	return func(b *bed) error {
		_, _, err := b.db.DeadLetters(b.ctx, f)
		return err
	}
}

// sweep fires what is due, each an hour from now for the next time.
func sweep(b *bed) error {
	for {
		_, wait, err := b.db.SweepSchedules(b.ctx, func(s sql.Schedule, now time.Time) ([]sql.Tick, time.Time, error) {
			return []sql.Tick{{Time: now, Outcome: sql.TickFired}}, now.Add(time.Hour), nil
		})
		if err != nil || wait > 0 {
			return err
		}
	}
}

// functions adds functions that do nothing, f1 and on, up to size.
const functions = `
	WITH f AS (
		INSERT INTO runnel.functions (name, version) SELECT 'f' || g, 1 FROM generate_series(1, $1::int) g ON CONFLICT (name) DO NOTHING RETURNING id
	)
	INSERT INTO runnel.function_versions SELECT f.id, 1, m.wasm_hash, 'command' FROM f, runnel.modules m`

// waiting has $2 jobs of each of the functions f1 to f$1 wait.
const waiting = `
	INSERT INTO runnel.river_job (kind, queue, max_attempts, args)
	SELECT 'invoke', 'functions', 1, jsonb_build_object('id', runnel.uuid_v7(), 'function', 'f' || f) FROM generate_series(1, $1::int) f, generate_series(1, $2::int)`

// log fills the log of the last seven days up to size rows: of 100 functions, one in
// fifty failed.
const log = `
	INSERT INTO runnel.function_invocations (id, attempt, created_at, function_id, function_name, trigger, status, role, started_at, finished_at, duration_ms, error_code)
	SELECT runnel.uuid_v7(), 1, t, CASE WHEN g % 100 = 0 THEN $2::uuid ELSE md5((g % 100)::text)::uuid END, CASE WHEN g % 100 = 0 THEN 'hello' ELSE 'f' || g % 100 END, 'http',
	       CASE WHEN (g / 100) % 50 = 0 THEN 'error' ELSE 'success' END, 'anon', t, t, 1 + g % 500, CASE WHEN (g / 100) % 50 = 0 THEN 'FunctionError' END
	FROM generate_series(1 + (SELECT count(*) FROM runnel.function_invocations), $1::int) g,
	     LATERAL (SELECT now() - (g * 104729.0 % 604800) * interval '1 second' AS t) AS at`

// schedules adds some up to size, with an overlap of their own.
const schedules = `
	INSERT INTO runnel.schedules (name, function_id, cron, overlap, cursor, next_run)
	SELECT 's' || g, $2, '0 * * * *', $3, now(), now() + interval '1 hour' FROM generate_series(1 + (SELECT count(*) FROM runnel.schedules), $1::int) g`

var parts = []part{
	{"functions", []int{10, 100, 1000, 10_000}, func(b *bed, size int) {
		b.exec(functions, size)
		b.exec(`TRUNCATE runnel.river_job`)
		b.exec(waiting, 10, 100)
	}, []row{
		{"functions deployed, ten with waiting jobs: fetch ten jobs", fetch},
		{"functions deployed: enqueue a call", func(b *bed) error {
			errs, err := b.db.Enqueue(b.ctx, []sql.Enqueue{{ID: sql.NewID(), Function: "hello", Trigger: runnel.TriggerHTTP, Event: []byte("{}"), Caller: runnel.Caller{Role: runnel.RoleAnon}}})
			if err == nil && errs[0] != nil {
				err = errs[0]
			}
			return err
		}},
		{"functions deployed: `runnel.invoke`", query(`SELECT runnel.invoke('hello')`)},
		{"functions deployed: one by its name", func(b *bed) error { _, err := b.db.Function(b.ctx, "hello"); return err }},
		{"functions deployed: what was deployed since a minute ago", func(b *bed) error {
			_, _, err := b.db.Deployed(b.ctx, time.Now().Add(time.Hour))
			return err
		}},
	}},
	{"waiting", []int{10, 100, 1000, 10_000}, func(b *bed, size int) {
		b.exec(functions, size)
		b.exec(`TRUNCATE runnel.river_job`)
		b.exec(waiting, size, 100_000/size)
	}, []row{
		{"functions with waiting jobs (100,000 in all): fetch ten jobs", fetch},
		{"functions with waiting jobs: the queue's depth", func(b *bed) error { _, err := b.db.Depth(b.ctx, time.Minute); return err }},
		{"functions with waiting jobs: promote what is due", func(b *bed) error { _, _, err := b.db.Promote(b.ctx, 100); return err }},
		{"functions with waiting jobs: lost attempts", func(b *bed) error { _, err := b.db.Lost(b.ctx, time.Minute); return err }},
	}},
	{"log", []int{10_000, 100_000, 1_000_000}, func(b *bed, size int) {
		b.exec(`SELECT runnel.ensure_partitions()`)
		b.exec(log, size, b.hello)
		for {
			if n, err := b.db.CompactCounts(b.ctx); err != nil || n == 0 {
				break
			}
		}
	}, []row{
		{"log rows: newest page, one function", page(sql.Filter{Function: "hello"})},
		{"log rows: newest failures, one function", page(sql.Filter{Function: "hello", Status: runnel.StatusError})},
		{"log rows: a page in the middle, one function", deep(sql.Filter{Function: "hello"})},
		{"log rows: one invocation by its id", func(b *bed) error {
			_, err := b.db.Invocation(b.ctx, b.someID())
			return err
		}},
		{"log rows: a function's stats", func(b *bed) error { _, err := b.db.Stats(b.ctx, "hello", time.Time{}); return err }},
		{"log rows: `runnel.function_stats`, 100 functions", query(`SELECT * FROM runnel.function_stats`)},
	}},
	{"letters", []int{1000, 10_000, 100_000}, func(b *bed, size int) {
		b.exec(`INSERT INTO runnel.river_job (kind, queue, max_attempts, attempt, args, state, finalized_at, tags)
			SELECT 'invoke', 'functions', 1, 1, jsonb_build_object('id', runnel.uuid_v7(), 'function', 'f' || g % 100), 'discarded', now() - g * interval '1 second', '{f,http}'
			FROM generate_series(1 + (SELECT count(*) FROM runnel.river_job WHERE state = 'discarded'), $1::int) g`, size)
	}, []row{
		{"dead letters: newest page", letters(sql.DeadLetters{})},
		{"dead letters: newest page, one function", letters(sql.DeadLetters{Function: "f7"})},
		{"dead letters: newest page, a function that has none", letters(sql.DeadLetters{Function: "hello"})},
		{"dead letters: one by its id", func(b *bed) error {
			var id string
			if err := b.conn.QueryRow(b.ctx, `SELECT args ->> 'id' FROM runnel.river_job WHERE state = 'discarded' LIMIT 1`).Scan(&id); err != nil {
				return err
			}
			_, _, err := b.db.DeadLetters(b.ctx, sql.DeadLetters{ID: id})
			return err
		}},
	}},
	{"schedules", []int{100, 1000, 10_000}, func(b *bed, size int) {
		b.exec(schedules, size, b.hello, "allow")
		b.exec(`INSERT INTO runnel.schedule_ticks (schedule_id, scheduled_time, outcome, invocation_id, job_id)
			SELECT s.id, now() - n * interval '1 hour', 'fired', runnel.uuid_v7(), 1000000 + n FROM runnel.schedules s, generate_series(1, 24) n ON CONFLICT DO NOTHING`)
	}, []row{
		{"schedules: a sweep, none due", sweep},
		{"schedules: a sweep, ten due", func(b *bed) error {
			if err := query(`UPDATE runnel.schedules SET next_run = now() WHERE id <= 10`)(b); err != nil {
				return err
			}
			return sweep(b)
		}},
		{"schedules: newest ticks of one", func(b *bed) error { _, _, err := b.db.Ticks(b.ctx, 1, time.Time{}, 100, ""); return err }},
		{"schedules: the list", func(b *bed) error { _, err := b.db.Schedules(b.ctx, ""); return err }},
		{"schedules: sweeps, all due at once", func(b *bed) error {
			if err := query(`UPDATE runnel.schedules SET next_run = now()`)(b); err != nil {
				return err
			}
			return sweep(b)
		}},
	}},
	{"overlap", []int{10, 100, 1000}, func(b *bed, size int) {
		b.exec(schedules, size, b.hello, "queue")
		b.exec(`TRUNCATE runnel.schedule_ticks, runnel.river_job`)
		for range 5 {
			b.exec(`UPDATE runnel.schedules SET next_run = now()`)
			if err := sweep(b); err != nil {
				panic(err)
			}
		}
	}, []row{
		{"schedules whose run waits for the one before, four each: a sweep", sweep},
	}},
	{"triggers", []int{10, 100, 1000}, func(b *bed, size int) {
		b.exec(`DO $$ BEGIN FOR i IN 1..` + fmt.Sprint(size) + ` LOOP
				CONTINUE WHEN to_regclass('public.t' || i) IS NOT NULL;
				EXECUTE format('CREATE TABLE public.t%s (id int)', i);
				PERFORM runnel.create_trigger(('public.t' || i)::regclass, 'hello');
			END LOOP; END $$`)
	}, []row{
		{"tables with a trigger: insert a row into one", query(`INSERT INTO public.t1 VALUES (1)`)},
		{"tables with a trigger: replace one", func(b *bed) error {
			_, err := b.conn.Exec(b.ctx, `SELECT runnel.create_trigger('public.t1', 'hello')`)
			return err
		}},
		{"tables with a trigger: the list", func(b *bed) error { _, err := b.db.Triggers(b.ctx, ""); return err }},
		{"tables with a trigger: the list of a function that has none", query(`SELECT * FROM runnel.triggers WHERE function_name = 'other'`)},
	}},
}

// cursor leads into the middle of the log. Callers get theirs from the page before.
func cursor() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d,00000000-0000-7000-8000-000000000000,1", time.Now().Add(-84*time.Hour).UnixMicro()))
}

func (b *bed) someID() (id string) {
	_ = b.conn.QueryRow(b.ctx, `SELECT id::text FROM runnel.function_invocations LIMIT 1`).Scan(&id)
	return id
}
