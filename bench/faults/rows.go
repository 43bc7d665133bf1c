package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/runnelhq/runnel/internal/guests"
)

// scale is how large a run is.
type scale struct {
	burst     int
	callers   int           // over HTTP
	inFlight  int           // that a fault has to meet
	chaos     time.Duration // of everything at once
	kills     int           // at the same instant, one after another
	schedules time.Duration // of killing workers at random
	backlog   int
}

var (
	full  = scale{burst: 1200, callers: 12, inFlight: 2000, chaos: time.Minute, kills: 3, schedules: 10 * time.Minute, backlog: 1_000_000}
	brief = scale{burst: 200, callers: 4, inFlight: 400, chaos: 15 * time.Second, kills: 1, schedules: 20 * time.Second, backlog: 20_000}
)

// rows are all faults, in the order of the report.
func rows() []row {
	return []row{
		{
			name:     "worker killed (SIGKILL) while it runs",
			promised: "its attempts have a row `lost` within 30 s and are retried where their trigger allows it; the other worker goes on",
			fault: func(ctx context.Context, b *bed) error {
				return b.replaceWorker(ctx, 0, syscall.SIGKILL)
			},
		},
		{
			name:     "worker killed between the function's end and its settlement",
			promised: "as above: the function has run and its attempt is `lost`, never a success that nobody wrote down",
			set:      rigged,
			fault:    failpoints("ran:40"),
		},
		{
			name:     "worker killed between settlement and wake-up",
			promised: "the result is committed: nobody runs it again, and its caller gets it",
			set:      rigged,
			fault:    failpoints("settled:20"),
		},
		{
			name:     "worker stopped (SIGSTOP) longer than its lease, then continued",
			promised: "its attempts are `lost` and retried elsewhere; when it comes back it cannot settle them, nor start what it had fetched",
			fault:    zombie,
		},
		{
			name:     "api killed (SIGKILL) while callers wait, three times",
			promised: "the runs go on and are logged; callers see a broken connection",
			fault: func(ctx context.Context, b *bed) error {
				for range 3 {
					if err := b.api.end(syscall.SIGKILL, 5*time.Second); err != nil {
						return err
					}
					if err := b.startAPI(ctx); err != nil {
						return err
					}
					if err := pause(ctx, time.Second); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			name:     "Postgres stopped at once (pg_ctl stop -m immediate) and started",
			promised: "what had committed is there; outcomes are kept by the workers until the server is back; callers get 503 or their result",
			fault:    restartPostgres(2 * time.Second),
		},
		{
			name:     "Postgres away for twenty seconds, longer than any lease",
			promised: "nobody is taken for dead because the server was: attempts that ran meanwhile are settled as what they were",
			fault:    restartPostgres(20 * time.Second),
		},
		failoverRow(false),
		failoverRow(true),
		{
			name:     "backends terminated at random for ten seconds",
			promised: "statements are repeated where that is safe; nothing is stranded",
			fault: func(ctx context.Context, b *bed) error {
				killed := 0
				for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
					n, err := ask[int](ctx, b, `SELECT count(pg_terminate_backend(pid))::int FROM pg_stat_activity
						WHERE datname = current_database() AND application_name <> 'faults' AND random() < 0.4`)
					if err != nil {
						return err
					}
					killed += n
					if err := pause(ctx, 250*time.Millisecond); err != nil {
						return err
					}
				}
				b.note("%d backends terminated", killed)
				return nil
			},
		},
		{
			name:     "connections cut in the middle of statements for ten seconds",
			promised: "a statement whose answer was lost is not done twice, and what it took is not stranded",
			prepare:  behindProxy,
			fault: func(ctx context.Context, b *bed) error {
				b.proxy.cut.Store(40)
				defer b.proxy.cut.Store(0)
				err := pause(ctx, 10*time.Second)
				b.note("%d connections cut", b.proxy.severed.Load())
				return err
			},
		},
		{
			name:     "connections that carry nothing any more and stay open",
			promised: "a statement without an answer is given up and repeated on another connection",
			prepare:  behindProxy,
			fault: func(ctx context.Context, b *bed) error {
				b.note("%d connections silenced", b.proxy.blackhole(0.6))
				return pause(ctx, 5*time.Second)
			},
		},
		{
			name:     "LISTEN silently dropped: no notifications, then no LISTEN connections",
			promised: "callers get their results by looking again, at most a second late; workers poll twice a second",
			prepare:  behindProxy,
			fault: func(ctx context.Context, b *bed) error {
				b.proxy.deaf.Store(true)
				if err := pause(ctx, 8*time.Second); err != nil {
					return err
				}
				b.proxy.blind.Store(true)
				defer b.proxy.deaf.Store(false)
				defer b.proxy.blind.Store(false)
				return pause(ctx, 8*time.Second)
			},
		},
		{
			name:     "PgBouncer in transaction mode",
			promised: "calls, jobs and schedules work, with nothing to set; functions' SQL is refused, as their logins cannot be told apart there",
			options:  auditOptions{unrecorded: true},
			prepare:  behindPgBouncer,
			fault: func(ctx context.Context, b *bed) error {
				if err := b.replaceWorker(ctx, 0, syscall.SIGKILL); err != nil {
					return err
				}
				return pause(ctx, 5*time.Second)
			},
		},
		{
			name:     "two workers whose clocks are five minutes off, one ahead and one behind",
			promised: "times are the database's: nothing runs early, no tick is doubled or left out, retries are not late",
			set:      skewed,
			workers:  1,
			arm: func(ctx context.Context, b *bed) error {
				// The third, whose clock is right, dies: the other two do all the rest.
				for _, off := range []string{"300", "-300"} {
					if _, err := b.startWorker(ctx, "RUNNEL_FAULTS_CLOCK="+off); err != nil {
						return err
					}
				}
				return b.eventually(ctx, time.Minute, "three workers", func() bool {
					n, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.workers`)
					return err == nil && n == 3
				})
			},
			fault: func(ctx context.Context, b *bed) error {
				if err := b.workers[0].end(syscall.SIGKILL, 5*time.Second); err != nil {
					return err
				}
				if err := pause(ctx, 10*time.Second); err != nil {
					return err
				}
				skew, err := ask[float64](ctx, b, `SELECT coalesce(max(abs(extract(epoch FROM i.finished_at - j.finalized_at)))::float8, 0)
					FROM runnel.function_invocations i JOIN runnel.river_job j ON j.id = i.job_id AND j.attempt = i.attempt WHERE j.finalized_at IS NOT NULL`)
				b.note("log rows are at most %.1f s off the database's time", skew)
				return err
			},
		},
		{
			name:     "schedules, four workers killed at random",
			promised: "every match of every second is fired once, or recorded as skipped with a reason",
			workers:  4,
			long:     true,
			fault: func(ctx context.Context, b *bed) error {
				kills := 0
				for end := time.Now().Add(b.scale.schedules); time.Now().Before(end); kills++ {
					if err := pause(ctx, 500*time.Millisecond+rand.N(2500*time.Millisecond)); err != nil {
						return err
					}
					if err := b.replaceWorker(ctx, rand.IntN(4), syscall.SIGKILL); err != nil {
						return err
					}
				}
				ticks, err := ask[string](ctx, b, `SELECT string_agg(n || ' ' || outcome, ', ' ORDER BY n DESC) FROM (SELECT outcome, count(*) n FROM runnel.schedule_ticks GROUP BY 1) x`)
				b.note("%d kills in %s; ticks: %s", kills, b.scale.schedules, ticks)
				return err
			},
		},
		{
			name:     "fifty schedules that match every second, a worker killed",
			promised: "as above; a schedule is one sweep's at a time",
			arm: func(ctx context.Context, b *bed) error {
				_, err := b.pool.Exec(ctx, `SELECT runnel.schedule('crowd ' || n, '* * * * * *', 'quick', catch_up => 'all', overlap => CASE WHEN n % 2 = 0 THEN 'allow' ELSE 'skip' END)
					FROM generate_series(1, 50) n`)
				return err
			},
			fault: func(ctx context.Context, b *bed) error {
				if err := b.replaceWorker(ctx, 0, syscall.SIGKILL); err != nil {
					return err
				}
				return pause(ctx, 10*time.Second)
			},
		},
		{
			name:     "deploy, roll back, disable, enable, delete and deploy again, over and over",
			promised: "a job runs the version that is current when it starts; of a disabled or deleted function it is `skipped`, with a row; callers get 404",
			fault:    churn,
		},
		{
			name:     "SIGTERM to every process, in turn, twice",
			promised: "what runs finishes, what has not begun goes back uncounted: no attempt is lost and no caller is cut off by a worker's stop",
			fault: func(ctx context.Context, b *bed) error {
				for range 2 {
					for i := range b.workers {
						if err := b.replaceWorker(ctx, i, syscall.SIGTERM); err != nil {
							return err
						}
					}
					if err := b.api.end(syscall.SIGTERM, 30*time.Second); err != nil {
						return err
					}
					if err := b.startAPI(ctx); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			name:     "migrations while everything runs, then a new release beside the old one",
			promised: "`runnel migrate` may be run at any time and by many at once; the old release goes on after the new one's migrations",
			fault:    migrateUnderLoad,
		},
		{
			name:     "a function that always traps, and one that triggers itself",
			promised: "each attempt has its row, the job ends after its attempts; the loop ends at depth 8 with a row `LoopLimit`; the others go on",
			arm: func(ctx context.Context, b *bed) error {
				for name, wasm := range map[string][]byte{
					"trap": guests.QueryAndTrap(`SELECT 1`, `[]`),
					"loop": guests.Query(`INSERT INTO faults.loop (n) VALUES (1)`, `[]`),
				} {
					if err := b.upload(ctx, name, wasm, map[string]any{"max_attempts": 2}); err != nil {
						return err
					}
				}
				_, err := b.pool.Exec(ctx, `CREATE TABLE faults.loop (id bigserial, n int, key text DEFAULT 'loop-' || gen_random_uuid());
					GRANT INSERT ON faults.loop TO anon; GRANT USAGE ON SEQUENCE faults.loop_id_seq TO anon;
					SELECT runnel.create_trigger('faults.loop', 'loop', '{INSERT}')`)
				b.load.functions = append(b.load.functions, "trap")
				return err
			},
			fault: func(ctx context.Context, b *bed) error {
				if _, err := b.pool.Exec(ctx, `INSERT INTO faults.loop (n) SELECT 0 FROM generate_series(1, 30)`); err != nil {
					return err
				}
				if err := pause(ctx, 10*time.Second); err != nil {
					return err
				}
				ends, err := ask[string](ctx, b, `SELECT string_agg(n || ' ' || what, ', ' ORDER BY n DESC) FROM (
					SELECT function_name || ' ' || coalesce(error_code, status) what, count(*) n FROM runnel.function_invocations
					WHERE function_name IN ('trap', 'loop') GROUP BY 1) x`)
				b.note("%s", ends)
				return err
			},
		},
		{
			name:     "the log's disk is full, then is not",
			promised: "no job is marked done without its row; outcomes wait in the workers, and are written when there is room",
			prepare:  smallDisk,
			arm:      logOnSmallDisk,
			fault:    fillDisk,
		},
		{
			name:     "SIGTERM during all of it: kills, terminated backends, cut and silent connections, migrations, at random",
			promised: "all of the above",
			workers:  3,
			prepare:  behindProxy,
			fault:    everything,
		},
		backlogRow(),
		{
			name:     "the suite itself: a build that forgets the log row of one attempt in fifty",
			promised: "the audit sees it",
			set:      broken,
			sees:     true,
			fault:    func(ctx context.Context, _ *bed) error { return pause(ctx, 5*time.Second) },
		},
	}
}

// replaceWorker ends a worker and starts another in its place.
func (b *bed) replaceWorker(ctx context.Context, i int, sig syscall.Signal) error {
	if err := b.workers[i].end(sig, 30*time.Second); err != nil {
		return err
	}
	p, err := b.start(ctx, b.set, "worker")
	if err == nil {
		b.workers[i] = p
	}
	return err
}

// zombie stops a worker until others have settled its attempts, then lets it go on.
func zombie(ctx context.Context, b *bed) error {
	b.workers[0].signal(syscall.SIGSTOP)
	defer b.workers[0].signal(syscall.SIGCONT)
	return b.eventually(ctx, time.Minute, "the stopped worker's attempts are lost", func() bool {
		n, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.function_invocations WHERE status = 'lost'`)
		return err == nil && n > 0
	})
}

// failpoints has workers, one after another, end at the same instant.
func failpoints(where string) func(context.Context, *bed) error {
	return func(ctx context.Context, b *bed) error {
		for range b.scale.kills {
			p, err := b.start(ctx, b.set, "worker", "RUNNEL_FAILPOINT="+where)
			if err != nil {
				return err
			}
			if err := b.eventually(ctx, time.Minute, "the worker meets its end at "+where, func() bool { return !p.running() }); err != nil {
				return err
			}
			if state := p.cmd.ProcessState.String(); !strings.Contains(state, "killed") {
				b.note("the worker ended with %s", state)
			}
		}
		return nil
	}
}

// everything does at random what the other rows do one at a time.
func everything(ctx context.Context, b *bed) error {
	b.proxy.cut.Store(400)
	defer b.proxy.cut.Store(0)
	for end := time.Now().Add(b.scale.chaos); time.Now().Before(end); {
		var err error
		switch rand.IntN(6) {
		case 0:
			err = b.replaceWorker(ctx, rand.IntN(len(b.workers)), syscall.SIGKILL)
		case 1:
			err = b.replaceWorker(ctx, rand.IntN(len(b.workers)), syscall.SIGTERM)
		case 2:
			if err = b.api.end(syscall.SIGTERM, 30*time.Second); err == nil {
				err = b.startAPI(ctx)
			}
		case 3:
			_, err = ask[int](ctx, b, `SELECT count(pg_terminate_backend(pid))::int FROM pg_stat_activity
				WHERE datname = current_database() AND application_name <> 'faults' AND random() < 0.3`)
		case 4:
			b.proxy.blackhole(0.1)
		case 5:
			err = b.migrate(ctx, b.set)
		}
		if err == nil {
			err = pause(ctx, rand.N(2*time.Second))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func churn(ctx context.Context, b *bed) error {
	for i := range 6 {
		if err := b.deployRecorders(ctx); err != nil {
			return err
		}
		for _, step := range []struct {
			method, path string
			body         any
		}{
			{"POST", "/admin/v1/functions/quick/rollback", map[string]int{"version": 1}},
			{"PATCH", "/admin/v1/functions/slow", map[string]bool{"enabled": false}},
			{"PATCH", "/admin/v1/functions/slow", map[string]bool{"enabled": true}},
			{"DELETE", "/admin/v1/functions/slow", nil},
		} {
			if status, answer := b.admin(ctx, step.method, step.path, step.body); status >= http.StatusMultipleChoices || status == 0 {
				b.note("round %d: %s %s: %d %s", i, step.method, step.path, status, answer)
			}
			if err := pause(ctx, 300*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return b.deployRecorders(ctx)
}
