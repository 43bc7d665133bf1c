package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// packager is a package manager this package knows how to ask for PostgreSQL.
type packager struct {
	program string
	pkg     string // with %s for the major version, or nothing
	script  string // run by sh as root, with %s for the package
}

// debian's package makes a cluster "main" and starts it, unless a setting says no.
// The setting is there only while the package is being installed.
var debian = packager{"apt-get", "postgresql%s", `set -e; d=/etc/postgresql-common/createcluster.d; mkdir -p $d; trap "rm -f $d/zz-runnel.conf; rmdir --ignore-fail-on-non-empty $d" EXIT; echo "create_main_cluster = off" >$d/zz-runnel.conf; apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 %s`}

var packagers = []packager{
	debian,
	{"dnf", "postgresql%s-server", "dnf install -y %s"},
	{"apk", "postgresql%s", "apk add --no-cache %s"},
}

func (m *machine) packager() (packager, bool) {
	for _, p := range packagers {
		if _, err := m.path(p.program); err == nil {
			return p, true
		}
	}
	return packager{}, false
}

// named returns the package of a major version, 0 for the system's own choice.
func (p packager) named(major int) string {
	version := ""
	if major != 0 {
		version = fmt.Sprint(major)
		if p == debian {
			version = "-" + version
		}
	}
	return fmt.Sprintf(p.pkg, version)
}

// install asks the system's package manager for PostgreSQL when that takes no
// password. It tells the log first what it will run.
func (m *machine) install(ctx context.Context, log *slog.Logger, major int) error {
	p, ok := m.packager()
	if !ok {
		return errors.New("package manager: none of apt-get, dnf, apk here")
	}
	var argv []string
	if !m.root {
		if _, err := m.path("sudo"); err != nil {
			return fmt.Errorf("%s: needs root, and there is no sudo", p.program)
		}
		if err := m.run(ctx, "sudo", "-n", "true"); err != nil {
			return fmt.Errorf("%s: needs root, and sudo asks for a password", p.program)
		}
		argv = []string{"sudo", "-n"}
	}
	argv = append(argv, "sh", "-c", fmt.Sprintf(p.script, p.named(major)))
	log.Info("no PostgreSQL here: installing it with the system's package manager, which takes a minute", "command", strings.Join(argv, " "))
	begin := time.Now()
	// Not interrupted: a package manager that is killed leaves the system's
	// packages half installed.
	if err := m.run(context.WithoutCancel(ctx), argv...); err != nil {
		log.Warn("the package manager could not install PostgreSQL", "error", err)
		return fmt.Errorf("%s: %w", p.program, err)
	}
	log.Info("PostgreSQL is installed", "took", time.Since(begin).Round(time.Second))
	return nil
}

// command is what a person types to install PostgreSQL.
func (m *machine) command(major int) string {
	sudo := "sudo "
	if m.root {
		sudo = ""
	}
	if p, ok := m.packager(); ok {
		verb := "install"
		if p.program == "apk" {
			verb = "add"
		}
		return fmt.Sprintf("%s%s %s %s", sudo, p.program, verb, p.named(major))
	}
	if m.os == "darwin" {
		return "brew install postgresql@" + fmt.Sprint(max(major, 17))
	}
	return "see https://www.postgresql.org/download/"
}

func runInstaller(ctx context.Context, argv ...string) error {
	_, err := run(ctx, exec.Command(argv[0], argv[1:]...), nil)
	return err
}

// lockStore lets one process at a time install or download.
func (m *machine) lockStore(ctx context.Context) (unlock func(), err error) {
	if m.root {
		if err := m.makeShared(m.shelter); err != nil { // the store is in it
			return nil, err
		}
	}
	if err := m.makeShared(m.store); err != nil {
		return nil, err
	}
	store, err := openOwn(m.store)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	f, err := store.OpenFile("lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		}
	}
}
