package localpg

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	temporaryPrefix = "runnel-postgres-"
	// temporaryAge keeps the sweep from a home that is being made right now and
	// not locked yet, which takes microseconds.
	temporaryAge = time.Minute
)

// home is an open and locked home directory. Files in it are reached through
// root: postgres's account can write below data, and must not be able to lead
// a privileged process elsewhere with a symbolic link.
type home struct {
	dir       string // absolute, no symbolic links
	root      *os.Root
	lock      *os.File
	temporary bool
}

// openHome makes, opens and locks the home for dir.
func (m *machine) openHome(dir string, log *slog.Logger) (*home, error) {
	if dir == "" {
		return m.temporaryHome(log)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if m.root {
		if dir, err = m.sheltered(dir, log); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return m.lockHome(dir)
}

// sheltered returns dir, or the place that stands in for it when root's stand-in
// cannot enter dir.
func (m *machine) sheltered(dir string, log *slog.Logger) (string, error) {
	if info, err := os.Stat(dir); err == nil {
		if err := owns(dir, info); err != nil { // not a second database beside that user's
			return "", err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { // before the question: the umask has a say
		return "", err
	}
	a, err := m.unprivileged()
	if err != nil {
		return "", err
	}
	ok, err := a.canEnter(filepath.Dir(dir))
	if err != nil || ok {
		return dir, err
	}
	if err := m.makeShared(m.shelter); err != nil {
		return "", err
	}
	place := filepath.Join(m.shelter, shelterName(dir))
	root, err := openOwn(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	note := fmt.Sprintf("%s\n\nThe database is there because the account %q, which runs postgres for root,\ncannot enter this directory. To start empty, remove that directory.\n", place, a.name)
	if err := root.WriteFile("location", []byte(note), 0o644); err != nil {
		return "", err
	}
	log.Info("database is kept outside the project: postgres does not run as root and its account cannot enter the project", "data", place, "account", a.name)
	return place, nil
}

// makeShared makes a directory that root's stand-in can enter whatever the umask.
func (m *machine) makeShared(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil || !m.root {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// shelterName makes one name of a path: its end for people, a hash for the rest.
func shelterName(dir string) string {
	name := strings.ReplaceAll(strings.Trim(dir, "/"), "/", "-")
	if over := len(name) - 80; over > 0 {
		name = strings.ToValidUTF8(name[over:], "")
	}
	return fmt.Sprintf("%s-%x", name, sha256.Sum256([]byte(dir)))[:len(name)+1+12]
}

func (m *machine) temporaryHome(log *slog.Logger) (*home, error) {
	parent, err := m.temporaryParent()
	if err != nil {
		return nil, err
	}
	m.sweep(parent, log)
	dir, err := os.MkdirTemp(parent, temporaryPrefix)
	if err != nil {
		return nil, err
	}
	h, err := m.lockHome(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	h.temporary = true
	return h, nil
}

func (m *machine) temporaryParent() (string, error) {
	if !m.root {
		return m.temp[0], nil
	}
	a, err := m.unprivileged()
	if err != nil {
		return "", err
	}
	for _, dir := range m.temp {
		if ok, err := a.canEnter(dir); err == nil && ok {
			return dir, nil
		}
	}
	return "", fmt.Errorf("the account %q, which runs postgres for root, can enter none of %s: set TMPDIR to a directory it can enter", a.name, strings.Join(m.temp, ", "))
}

// sweep removes the temporary homes of processes that were killed.
func (m *machine) sweep(parent string, log *slog.Logger) {
	dirs, _ := filepath.Glob(filepath.Join(parent, temporaryPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < temporaryAge {
			continue
		}
		if uid, _ := owner(info); int(uid) != os.Geteuid() {
			continue
		}
		h, err := m.lockHome(dir)
		if err != nil {
			continue // in use
		}
		h.temporary = true
		account, err := m.accountFor(h)
		if err == nil {
			err = h.stopOrphan(account, log)
		}
		if err := errors.Join(err, h.close()); err != nil {
			log.Warn("cannot remove an abandoned temporary database", "dir", dir, "error", err)
		}
	}
}

// openOwn opens a directory of this user. Opened, it cannot be exchanged.
func openOwn(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil {
		err = owns(dir, info)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

func owns(dir string, info fs.FileInfo) error {
	if uid, _ := owner(info); int(uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d and this is user %d: run as that user, or remove the directory to start empty", dir, uid, os.Geteuid())
	}
	return nil
}

// lockHome opens an existing directory as a home that nobody else uses.
func (m *machine) lockHome(dir string) (_ *home, err error) {
	dir, err = filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	h := &home{dir: dir}
	if h.root, err = openOwn(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	mode := fs.FileMode(0o700)
	if m.root {
		mode = 0o711 // postgres's account passes through to data
	}
	if err := h.root.Chmod(".", mode); err != nil {
		return nil, err
	}
	if h.lock, err = h.root.OpenFile("lock", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	err = syscall.Flock(int(h.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, h.inUse()
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", h.path("lock"), err)
	}
	if err := h.root.WriteFile("lock", []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *home) inUse() error {
	who := "another process"
	if b, err := h.root.ReadFile("lock"); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			who = fmt.Sprintf("process %d", pid)
		}
	}
	if p, ok := h.postmaster(); ok {
		who += fmt.Sprintf(" (postgres is process %d)", p.pid)
	}
	return fmt.Errorf("%s is in use by %s: stop it first, or set DATABASE_URL to use its server", h.dir, who)
}

// path returns the absolute path of a file in the home.
func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

// major returns the version of PostgreSQL that made the data, 0 when there is none.
func (h *home) major() (int, error) {
	b, err := h.root.ReadFile("data/PG_VERSION")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	major, _, _ := strings.Cut(strings.TrimSpace(string(b)), ".") // "9.6" or "15"
	n, err := strconv.Atoi(major)
	if err != nil {
		return 0, fmt.Errorf("%s is not a version number: %w", h.path("data/PG_VERSION"), err)
	}
	return n, nil
}

// close unlocks the home and removes a temporary one.
func (h *home) close() error {
	var errs []error
	if h.temporary {
		errs = append(errs, os.RemoveAll(h.dir))
	}
	if h.lock != nil {
		errs = append(errs, h.lock.Close())
	}
	return errors.Join(append(errs, h.root.Close())...)
}
