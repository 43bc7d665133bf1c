package localpg

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// repository is where the library finds its archives by default.
const repository = "https://repo1.maven.org/maven2"

// fetch downloads programs into the store.
func (m *machine) fetch(ctx context.Context, log *slog.Logger, major int) error {
	version, ok := map[int]embedded.PostgresVersion{
		0: embedded.V18, 13: embedded.V13, 14: embedded.V14, 15: embedded.V15, 16: embedded.V16, 17: embedded.V17, 18: embedded.V18,
	}[major]
	if !ok {
		return fmt.Errorf("download: there is none of version %d", major)
	}
	log.Info("downloading PostgreSQL", "version", version, "from", m.repository, "to", m.store)
	begin := time.Now()
	temp, err := os.MkdirTemp(m.store, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := m.download(ctx, m.repository, version, temp); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	if err := readable(filepath.Join(temp, "programs")); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(temp, "programs"), filepath.Join(m.store, string(version))); err != nil {
		return err
	}
	log.Info("PostgreSQL is downloaded", "took", time.Since(begin).Round(time.Second))
	return nil
}

// download fetches the programs and unpacks them into temp/programs.
//
// The library has no call for that alone, so it is told to start a server on a
// directory that looks like data and is not. It downloads, checks the sum,
// unpacks, fails to start, and what counts is whether postgres is there. It
// knows no context: when ours ends, its request goes on until it ends by itself.
func download(ctx context.Context, repository string, version embedded.PostgresVersion, temp string) error {
	defer http.DefaultClient.CloseIdleConnections() // the library's client
	port, err := freePort()
	if err != nil {
		return err
	}
	data := filepath.Join(temp, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	major, _, _ := strings.Cut(string(version), ".")
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(major+"\n"), 0o600); err != nil {
		return err
	}
	programs := filepath.Join(temp, "programs")
	server := embedded.NewDatabase(embedded.DefaultConfig().
		BinaryRepositoryURL(repository).
		Version(version).
		Port(uint32(port)).
		BinariesPath(programs).
		CachePath(filepath.Join(temp, "cache")).
		RuntimePath(filepath.Join(temp, "runtime")).
		DataPath(data).
		Logger(io.Discard))
	ended := make(chan error, 1)
	go func() { ended <- server.Start() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if _, missing := os.Stat(filepath.Join(programs, "bin", "postgres")); missing == nil {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("the archive of version %s holds no postgres", version)
	}
	return err
}

// readable lets every account run what was unpacked, whatever the umask.
func readable(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm()
		return os.Chmod(path, mode|(mode&0o500)>>3|(mode&0o500)>>6)
	})
}
