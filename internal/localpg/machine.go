package localpg

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// machine is what this package uses of the computer it runs on.
type machine struct {
	os           string // runtime.GOOS
	uid          int
	unprivileged func() (*account, error)                                                                          // who runs postgres when uid is 0
	directories  []string                                                                                          // patterns of directories that may hold postgres
	path         func(file string) (string, error)                                                                 // exec.LookPath
	run          func(ctx context.Context, argv ...string) error                                                   // runs an installer's command
	download     func(ctx context.Context, repository string, version embedded.PostgresVersion, temp string) error // unpacks into temp/programs
	repository   string
	store        string   // directory for what was downloaded
	shelter      string   // directory for homes that root's stand-in can enter
	temp         []string // directories for temporary homes, best first
}

func thisMachine() *machine {
	m := &machine{
		os:           runtime.GOOS,
		uid:          os.Geteuid(),
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
	if m.uid != 0 {
		cache, err := os.UserCacheDir()
		if err != nil { // neither HOME nor XDG_CACHE_HOME
			cache = os.TempDir()
		}
		m.store = filepath.Join(cache, "runnel", "programs")
	}
	return m
}
