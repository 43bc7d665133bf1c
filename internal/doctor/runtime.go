package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// listenLimit is how long a notification may be on its way.
	listenLimit = 3 * time.Second
	// silent is how long a worker that lives may miss its heartbeats: after it,
	// others take its jobs for lost (package jobs).
	silent = 20 * time.Second
	// waits is how long a job may be due without anyone being to blame.
	waits = time.Minute
	// ahead is how many days of partitions there should be.
	ahead = 2
)

// listen sends a notification from one connection to another. A pooler that gives
// each transaction another server connection accepts LISTEN and loses it.
func (v *visit) listen(ctx context.Context) {
	bad := func(what string) {
		v.add(Finding{"notifications", Warning, what, "callers hear of a result only when they look again, a second later, and workers of a new job after half a second. Most likely DATABASE_URL leads to a pooler in transaction mode, which breaks locks and prepared statements too",
			"set DATABASE_URL to the database itself, or to the pooler's session mode (Supabase: port 5432, not 6543)"})
	}
	ctx, cancel := context.WithTimeout(ctx, 2*listenLimit)
	defer cancel()
	var conns [2]*pgx.Conn
	for i := range conns {
		conn, err := pgx.Connect(ctx, v.settings.DatabaseURL)
		if err != nil {
			v.failed("notifications", err)
			return
		}
		defer conn.Close(context.WithoutCancel(ctx))
		conns[i] = conn
	}
	channel := "runnel_doctor_" + rand.Text()
	began := time.Now()
	if _, err := conns[0].Exec(ctx, `LISTEN `+pgx.Identifier{channel}.Sanitize()); err != nil {
		bad("LISTEN is refused: " + reason(err))
		return
	}
	if _, err := conns[1].Exec(ctx, `SELECT pg_notify($1, 'x')`, channel); err != nil {
		bad("NOTIFY is refused: " + reason(err))
		return
	}
	wait, cancel := context.WithTimeout(ctx, listenLimit)
	defer cancel()
	if _, err := conns[0].WaitForNotification(wait); err != nil {
		bad(fmt.Sprintf("a notification did not arrive within %s", listenLimit))
		return
	}
	v.ok("notifications", "one arrived after %s", time.Since(began).Round(100*time.Microsecond))
}

// workers looks at heartbeats and at what waits.
func (v *visit) workers(ctx context.Context) {
	rows, err := v.db.Pool().Query(ctx, query("workers"))
	if err != nil {
		v.failed("workers", err)
		return
	}
	live := 0
	var stale []string
	var id string
	var age, newest float64
	_, err = pgx.ForEachRow(rows, []any{&id, &age}, func() error {
		if age > silent.Seconds() {
			stale = append(stale, fmt.Sprintf("%s (%s ago)", id, time.Duration(age*float64(time.Second)).Round(time.Second)))
			return nil
		}
		if live++; live == 1 {
			newest = age
		}
		return nil
	})
	if err != nil {
		v.failed("workers", err)
		return
	}
	if live == 0 {
		v.add(Finding{"workers", Problem, "no worker is alive", "invocations are accepted and wait; HTTP callers get 504 or 503", "bin/worker, with the same environment (or runnel dev)"})
	} else {
		v.ok("workers", "%d alive, the last heartbeat %s ago", live, time.Duration(newest*float64(time.Second)).Round(time.Millisecond))
	}
	if len(stale) > 0 {
		v.add(Finding{"workers", Warning, "went silent without saying goodbye: " + some(stale), "they were killed or lost the database; what they ran was settled as lost",
			"look at their logs for the reason (out of memory?); the entries go by themselves after a day"})
	}
	var due *float64
	err = v.db.Pool().QueryRow(ctx, query("waiting")).Scan(&due)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		v.failed("queue", err)
		return
	}
	if due == nil || *due < waits.Seconds() {
		v.ok("queue", "nothing has waited for longer than %s", waits)
		return
	}
	v.add(Finding{"queue", Warning, fmt.Sprintf("an invocation has been due for %s", time.Duration(*due*float64(time.Second)).Round(time.Second)), "there are too few workers, none, or the queue is paused",
		"start another bin/worker, or raise RUNNEL_WORKERS; /riverui/queues shows whether it is paused"})
}

// partitions looks whether the log's next days have a place.
func (v *visit) partitions(ctx context.Context) {
	rows, err := v.db.Pool().Query(ctx, query("partitions"))
	if err != nil {
		v.failed("partitions", err)
		return
	}
	least := 1 << 30
	var table string
	var days int
	var stray bool
	_, err = pgx.ForEachRow(rows, []any{&table, &days, &stray}, func() error {
		least = min(least, days)
		if days < ahead || stray {
			f := Finding{"partitions", Warning, fmt.Sprintf("%s has partitions for %d days ahead", table, days), "rows of a day without one go to the default partition, where no retention drops them at once",
				`psql "$DATABASE_URL" -c 'select runnel.ensure_partitions()'; workers do it by themselves`}
			if stray {
				f.What += ", and rows in its default partition"
			}
			v.add(f)
		}
		return nil
	})
	if err != nil {
		v.failed("partitions", err)
		return
	}
	if least >= ahead {
		v.ok("partitions", "made for %d days ahead", least)
	}
}
