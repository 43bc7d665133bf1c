package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// restartPostgres stops the server at once, then starts it.
func restartPostgres(away time.Duration) func(context.Context, *bed) error {
	return func(ctx context.Context, b *bed) error {
		if err := b.stopPostgres(); err != nil {
			return err
		}
		if err := pause(ctx, away); err != nil {
			return err
		}
		was := b.url
		if err := b.startPostgres(ctx); err != nil {
			return err
		}
		if b.url != was {
			return fmt.Errorf("postgres came back at another address")
		}
		return nil
	}
}

// stopPostgres does what pg_ctl stop -m immediate does.
func (b *bed) stopPostgres() error {
	pid, err := b.postmaster()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		return err
	}
	select {
	case <-b.server.Done():
	case <-time.After(30 * time.Second):
		return fmt.Errorf("postgres %d still runs 30 s after SIGQUIT", pid)
	}
	_ = b.server.Stop() // it has ended: this gives its home back
	return nil
}

func (b *bed) postmaster() (int, error) {
	text, err := os.ReadFile(filepath.Join(b.dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(strings.TrimSpace(first))
}

// behindProxy puts a proxy between Postgres and everybody but the suite itself.
func behindProxy(_ context.Context, b *bed) error {
	u, err := url.Parse(b.url)
	if err != nil {
		return err
	}
	if b.proxy, err = newProxy(u.Host); err != nil {
		return err
	}
	b.later(b.proxy.close)
	return b.via(b.proxy.addr())
}

// behindPgBouncer puts PgBouncer in transaction mode in the proxy's place.
func behindPgBouncer(ctx context.Context, b *bed) error {
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		return skip("there is no pgbouncer: apt-get install pgbouncer")
	}
	u, err := url.Parse(b.url)
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	password, _ := u.User.Password()
	config := filepath.Join(b.dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
runnel = host=127.0.0.1 port=%s dbname=runnel user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
`, u.Port(), u.User.Username(), password, port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	cmd := exec.Command(path, config)
	if os.Getuid() == 0 { // it refuses to run as root
		cmd = exec.Command(path, "-u", "nobody", config)
	}
	p := &program{name: "pgbouncer", cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		return err
	}
	b.bouncer = p
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	b.later(func() { _ = p.end(syscall.SIGKILL, 5*time.Second) })
	if err := b.via(fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		return err
	}
	pool, err := b.connect(ctx, b.through, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	return b.eventually(ctx, 10*time.Second, "pgbouncer answers", func() bool { return pool.Ping(ctx) == nil })
}

// skip is why a row cannot be seen here.
type skip string

func (s skip) Error() string { return "skipped: " + string(s) }

// smallDiskSize holds a few thousand log rows.
const smallDiskSize = 64 << 20

// smallDisk mounts a small file system of memory for the log.
func smallDisk(_ context.Context, b *bed) error {
	b.small = filepath.Join(b.dir, "small")
	if err := os.Mkdir(b.small, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", b.small, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", smallDiskSize)); err != nil {
		return skip("a small disk cannot be mounted: run as root, where mount is allowed: " + err.Error())
	}
	b.later(func() { _ = syscall.Unmount(b.small, syscall.MNT_DETACH) })
	data, err := os.Stat(filepath.Join(b.dir, "postgres", "data"))
	if err != nil {
		return err
	}
	owner := data.Sys().(*syscall.Stat_t)
	dir := filepath.Join(b.small, "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return os.Chown(dir, int(owner.Uid), int(owner.Gid))
}

// logOnSmallDisk moves the log there, today's partition and its indexes included.
func logOnSmallDisk(ctx context.Context, b *bed) error {
	if _, err := b.pool.Exec(ctx, `CREATE TABLESPACE small LOCATION '`+filepath.Join(b.small, "log")+`'`); err != nil {
		return err
	}
	_, err := b.pool.Exec(ctx, `DO $$ DECLARE r record; BEGIN
		FOR r IN SELECT c.oid::regclass AS name, c.relkind FROM pg_class c
		         WHERE c.relnamespace = 'runnel'::regnamespace AND c.relkind IN ('r', 'i') AND c.relname LIKE 'function_invocations\_%'
		LOOP EXECUTE format('ALTER %s %s SET TABLESPACE small', CASE r.relkind WHEN 'r' THEN 'TABLE' ELSE 'INDEX' END, r.name); END LOOP;
	END $$`)
	return err
}

// fillDisk leaves no room for a while.
func fillDisk(ctx context.Context, b *bed) error {
	ballast := filepath.Join(b.small, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		return err
	}
	defer os.Remove(ballast)
	chunk := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(chunk)
	}
	f.Close()
	// What Postgres has room for in pages that it has already is soon used up.
	last := -1
	if err := b.eventually(ctx, time.Minute, "nothing is logged any more", func() bool {
		n, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.function_invocations`)
		_ = pause(ctx, time.Second)
		stuck := err == nil && n == last
		last = n
		return stuck
	}); err != nil {
		return err
	}
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	unlogged, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.river_job j WHERE j.finalized_at IS NOT NULL
		AND NOT EXISTS (SELECT FROM runnel.function_invocations i WHERE i.job_id = j.id)`)
	if err != nil {
		return err
	}
	stuck, err := ask[int](ctx, b, `SELECT count(*)::int FROM runnel.river_job WHERE state = 'running'`)
	b.note("while it was full: %d jobs finished without a row, %d ran or waited for their row", unlogged, stuck)
	return err
}

// migrateUnderLoad runs runnel migrate over and over, then upgrades.
func migrateUnderLoad(ctx context.Context, b *bed) error {
	for range 3 {
		errs := make([]error, 2)
		var both sync.WaitGroup
		for i := range errs {
			both.Go(func() { errs[i] = b.migrate(ctx, b.set) })
		}
		both.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
	}
	if err := b.migrate(ctx, upgraded); err != nil {
		return err
	}
	old := b.set
	b.set = upgraded
	if _, err := b.startWorker(ctx); err != nil {
		return err
	}
	if err := pause(ctx, 5*time.Second); err != nil { // old and new side by side
		return err
	}
	if err := b.replaceWorker(ctx, 0, syscall.SIGTERM); err != nil {
		return err
	}
	b.set = old
	// The old release's runnel migrate must not undo or refuse anything.
	if err := b.migrate(ctx, old); err != nil {
		b.note("the old release's migrate afterwards: %v", err)
	}
	// A rollback: the old worker starts again on the new schema.
	return b.replaceWorker(ctx, 0, syscall.SIGTERM)
}
