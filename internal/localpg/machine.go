package localpg

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// machine is what this package uses of the computer it runs on.
type machine struct {
	os   string // runtime.GOOS
	root bool   // may do everything but run postgres

	// unprivileged returns who runs postgres for root.
	unprivileged func() (*account, error)
	// path is exec.LookPath.
	path func(file string) (string, error)
	// run runs an installer's command.
	run func(ctx context.Context, argv ...string) error
	// download fetches a version from the repository into temp/programs.
	download func(ctx context.Context, repository string, version embedded.PostgresVersion, temp string) error

	directories []string // patterns of directories that may hold postgres
	repository  string   // where downloads come from
	store       string   // directory for what was downloaded or unpacked
	shelter     string   // directory for homes that root's stand-in can enter
	temp        []string // directories for temporary homes, best first
}

func thisMachine() *machine {
	m := &machine{
		os:           runtime.GOOS,
		root:         os.Geteuid() == 0,
		unprivileged: unprivileged,
		directories: []string{
			"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
			"/usr/pgsql-*/bin",          // postgresql.org's RPMs
			"/usr/libexec/postgresql*",  // Alpine
			"/opt/homebrew/opt/postgresql*/bin",
			"/usr/local/opt/postgresql*/bin",
			"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
		},
		path:       exec.LookPath,
		run:        runInstaller,
		download:   download,
		repository: repository,
		shelter:    "/var/lib/runnel",
		temp:       []string{os.TempDir(), "/tmp", "/var/tmp"},
	}
	// Root's stand-in must be able to read the programs, so not below /root.
	m.store = filepath.Join(m.shelter, "programs")
	if !m.root {
		cache, err := os.UserCacheDir()
		if err != nil { // neither HOME nor XDG_CACHE_HOME
			cache = filepath.Join(os.TempDir(), "runnel-"+strconv.Itoa(os.Geteuid()))
		}
		m.store = filepath.Join(cache, "runnel", "programs")
	}
	return m
}
