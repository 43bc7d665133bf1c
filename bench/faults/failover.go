package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/runnelhq/runnel/internal/localpg"
)

const (
	// behind is how long the standby hears nothing before the primary stops: longer
	// than Runnel waits for a statement (15 s), so that there are commits that wait for
	// the standby and commits that gave up.
	behind = 20 * time.Second
	// noticed is how long the primary is away before its standby is promoted, as
	// whoever watches over the two would need to notice.
	noticed = 3 * time.Second
)

// failoverRow loses the server and goes on with another.
//
// Replication is synchronous (synchronous_standby_names, synchronous_commit = on):
// a client hears of a COMMIT only when the standby has it on disk. With asynchronous
// replication Postgres itself forgets the last commits, those of log rows and jobs
// alike, and no client can prevent it.
//
// The standby is out of reach for a while before. A COMMIT that waits for it is
// nobody's to see yet. One whose wait is cancelled, by a client's limit, is there for
// all to see on the primary, and gone after the failover. So a settlement is not
// cancelled: its caller hears of it when the standby has it, or not at all. What else
// is cancelled so (a fetch, a heartbeat) nobody outside has heard of. The workers may
// die in the same failover: what ended on them is `lost` on the standby, and no caller
// had a result of it. What a function wrote into faults.ran is as gone as the rest: the
// audit sees what is true of the server that is left.
func failoverRow(killed bool) row {
	name, also := "", ""
	if killed {
		name, also = ", the workers killed with the primary", "; no caller has a result whose attempt is `lost`"
	}
	return row{
		name: "replication failover: the synchronous standby hears nothing for twenty seconds, the primary is stopped at once, the standby promoted" + name,
		promised: "what a COMMIT confirmed is on the standby (`synchronous_standby_names = '*'`; asynchronously Postgres itself may lose the last commits, which no client can prevent); " +
			"every caller gets its result, or 503 or 504 with the invocation's id, or 503 that says that nothing ran" + also,
		prepare: behindProxy,
		arm:     followPrimary,
		fault:   func(ctx context.Context, b *bed) error { return failOver(ctx, b, killed) },
		after:   everyCallerHeard,
	}
}

// standby follows the primary until it is promoted.
type standby struct {
	server  *localpg.Server
	between *proxy // it reaches the primary through
	data    string
	bin     string               // the directory of the programs that both servers run from
	owner   *syscall.SysProcAttr // who they run as; nil: as we do
}

// followPrimary makes a standby of the primary, and has every COMMIT wait for it.
func followPrimary(ctx context.Context, b *bed) error {
	home, primary := filepath.Join(b.dir, "standby"), filepath.Join(b.dir, "postgres")
	s := &standby{data: filepath.Join(home, "data")}
	pid, err := b.postmaster()
	if err != nil {
		return err
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return skip("the server's programs cannot be found: " + err.Error())
	}
	s.bin = filepath.Dir(program)
	if _, err := os.Stat(filepath.Join(s.bin, "pg_basebackup")); err != nil {
		return skip("there is no pg_basebackup beside " + program)
	}
	// The home that localpg would have made, with the primary's password.
	if err := os.Mkdir(home, 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(s.data, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(primary, "data"))
	if err != nil {
		return err
	}
	if as := info.Sys().(*syscall.Stat_t); int(as.Uid) != os.Getuid() {
		s.owner = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: as.Uid, Gid: as.Gid}}
		if err := os.Chown(s.data, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
	}
	password, err := os.ReadFile(filepath.Join(primary, "password"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(home, "password"), password, 0o600); err != nil {
		return err
	}
	hba, err := os.OpenFile(filepath.Join(primary, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer hba.Close()
	if _, err := hba.WriteString("host replication all 127.0.0.1/32 scram-sha-256\n"); err != nil {
		return err
	}
	if _, err := b.pool.Exec(ctx, `SELECT pg_reload_conf()`); err != nil {
		return err
	}
	u, err := url.Parse(b.url)
	if err != nil {
		return err
	}
	if s.between, err = newProxy(u.Host); err != nil {
		return err
	}
	b.later(s.between.close)
	if err := b.eventually(ctx, 10*time.Second, "the primary's own rules let a standby in", func() bool {
		n, err := ask[int](ctx, b, `SELECT count(*)::int FROM pg_hba_file_rules WHERE 'replication' = ANY (database)`)
		return err == nil && n > 0
	}); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(s.between.addr())
	if err != nil {
		return err
	}
	// What it is told here, the standby remembers.
	env := []string{"PGPASSWORD=" + string(password), "PGSSLMODE=disable", "PGGSSENCMODE=disable"}
	if err := s.run(ctx, env, "pg_basebackup", "-D", s.data, "-h", host, "-p", port,
		"-U", u.User.Username(), "-X", "stream", "-c", "fast", "--write-recovery-conf"); err != nil {
		return err
	}
	if s.server, err = localpg.Start(ctx, localpg.Options{Dir: home, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	b.later(func() { _ = s.server.Stop() })
	b.standby = s
	// Only now, so that it is not among what the standby has copied: it has none.
	for _, statement := range []string{`ALTER SYSTEM SET synchronous_standby_names = '*'`, `SELECT pg_reload_conf()`} {
		if _, err := b.pool.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return b.eventually(ctx, 30*time.Second, "commits wait for the standby", func() bool {
		ok, err := ask[bool](ctx, b, `SELECT current_setting('synchronous_standby_names') = '*' AND current_setting('synchronous_commit') = 'on'
			AND EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync')`)
		return err == nil && ok
	})
}

// run runs one of the server's programs as the server's account.
func (s *standby) run(ctx context.Context, env []string, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH")}, env...)
	cmd.SysProcAttr = s.owner
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}

// failOver stops the primary, promotes the standby and points the proxy at it.
func failOver(ctx context.Context, b *bed, killed bool) error {
	s := b.standby
	if s.between.blackhole(1) == 0 {
		return errors.New("nothing goes from the primary to the standby")
	}
	if err := pause(ctx, behind); err != nil {
		return err
	}
	waiting, err := ask[int](ctx, b, `SELECT count(*)::int FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := b.stopPostgres(); err != nil {
		return err
	}
	if killed {
		for _, w := range b.workers {
			w.signal(syscall.SIGKILL)
		}
	}
	said, err := os.ReadFile(filepath.Join(b.dir, "postgres", "log"))
	if err != nil {
		return err
	}
	cancelled := strings.Count(string(said), "canceling wait for synchronous replication due to user request")
	if err := pause(ctx, noticed); err != nil {
		return err
	}
	if err := s.run(ctx, nil, "pg_ctl", "promote", "-w", "-t", "30", "-D", s.data); err != nil {
		return err
	}
	b.server, b.url = s.server, s.server.URL("runnel")
	u, err := url.Parse(b.url)
	if err != nil {
		return err
	}
	if b.pool, err = b.connect(ctx, b.url, 8); err != nil {
		return err
	}
	b.later(b.pool.Close)
	b.proxy.point(net.JoinHostPort(u.Hostname(), u.Port()))
	b.note("no primary for %s; when it was stopped, %d commits waited for the standby, which never heard of them; %d had given up waiting", time.Since(begun).Round(100*time.Millisecond), waiting, cancelled)
	if killed {
		for i := range b.workers {
			if err := b.replaceWorker(ctx, i, syscall.SIGKILL); err != nil {
				return err
			}
		}
	}
	following, err := ask[bool](ctx, b, `SELECT pg_is_in_recovery()`)
	if err == nil && following {
		err = errors.New("the standby was not promoted")
	}
	return err
}

// everyCallerHeard fails when a caller over HTTP had no answer, or was told that
// nobody knows without the id to ask for later. One that was told that nothing ran
// has no id, and the audit sees to it that nothing did. It notes what became of
// transactions in doubt.
func everyCallerHeard(ctx context.Context, b *bed) error {
	wrong, err := ask[string](ctx, b, `SELECT coalesce(string_agg(key || ' ' || status || ' ' || code, ', '), '') FROM faults.sent
		WHERE trigger = 'http' AND (status = 0 OR status IN (503, 504) AND id IS NULL AND NOT unrun)`)
	if err != nil {
		return err
	}
	if wrong != "" {
		n := 1 + strings.Count(wrong, ", ")
		return fmt.Errorf("%d callers had no answer, or no id to ask for: %.500s", n, wrong)
	}
	heard, err := ask[string](ctx, b, `SELECT format('of callers with 503 or 504, %s have the id to ask for and %s were told that nothing ran',
		count(*) FILTER (WHERE id IS NOT NULL AND NOT unrun), count(*) FILTER (WHERE unrun)) FROM faults.sent WHERE status IN (503, 504)`)
	if err != nil {
		return err
	}
	b.note("%s", heard)
	doubt, err := ask[string](ctx, b, `SELECT format('%s events were of transactions whose client heard no outcome, %s of them had been committed', count(*), count(e)) FROM faults.sent s
		LEFT JOIN runnel.invocation_events e ON faults.key(convert_from(e.event, 'UTF8')::jsonb) = s.key WHERE s.trigger <> 'http' AND s.outcome = 'unknown'`)
	b.note("%s", doubt)
	return err
}
