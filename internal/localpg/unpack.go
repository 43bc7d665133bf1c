package localpg

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// unpackScript downloads a package with what it needs and the system lacks, and
// unpacks it all into ./programs. apt-get checks the archive's signatures as
// always, but keeps its state in ./state and ./cache, which takes no privilege.
const unpackScript = `set -e; cd "$0"; mkdir -p state/lists/partial cache/archives/partial; apt="apt-get -q -o Dir::State=$PWD/state -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache=$PWD/cache -o Debug::NoLocking=1 -o Acquire::http::Timeout=20"; $apt update; $apt install -y --download-only --no-install-recommends %s; for deb in cache/archives/*.deb; do dpkg-deb -x "$deb" programs; done`

// unpack gets PostgreSQL for this user alone from the archive of Debian or
// Ubuntu, where only root may install it. Nobody updates what was unpacked; it is
// removed with the store.
func (m *machine) unpack(ctx context.Context, log *slog.Logger, major int) error {
	if m.root {
		return nil // would have installed it
	}
	for _, program := range []string{"apt-get", "dpkg-deb"} {
		if _, err := m.path(program); err != nil {
			return nil
		}
	}
	temp, err := os.MkdirTemp(m.store, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	argv := []string{"sh", "-c", fmt.Sprintf(unpackScript, debian.named(major)), temp}
	log.Info("unpacking PostgreSQL from the system's package archive, for this user alone", "command", strings.Join(argv, " "))
	begin := time.Now()
	if err := m.run(ctx, argv...); err != nil {
		log.Warn("PostgreSQL could not be unpacked", "error", err)
		return fmt.Errorf("apt-get --download-only: %w", err)
	}
	name := "debian-" + strings.TrimPrefix(filepath.Base(temp), "new-")
	if err := os.Rename(filepath.Join(temp, "programs"), filepath.Join(m.store, name)); err != nil {
		return err
	}
	log.Info("PostgreSQL is unpacked", "took", time.Since(begin).Round(time.Second))
	return nil
}
