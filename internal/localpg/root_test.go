package localpg

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestStart_AsNormalUser(t *testing.T) {
	needRoot(t) // anybody else is a normal user in every other test
	a := &account{uid: 65534, gid: 65534}
	dir := filepath.Join(openDir(t), "project")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, int(a.uid), int(a.gid)); err != nil {
		t.Fatal(err)
	}
	c := startChild(t, filepath.Join(dir, ".runnel", "postgres"), a)
	query(t, c.url, "CREATE TABLE kept AS SELECT 42 AS n")
	info, err := os.Stat(filepath.Join(c.home, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if uid, _ := owner(info); uid != a.uid {
		t.Errorf("data belongs to %d, want %d", uid, a.uid)
	}
	c.kill(t)
	c.postgresEnds(t)
	c = startChild(t, filepath.Join(dir, ".runnel", "postgres"), a)
	if got := query(t, c.url, "SELECT n FROM kept"); got != "42" {
		t.Errorf("kept = %q, want 42", got)
	}

	t.Run("another user is refused", func(t *testing.T) {
		c.kill(t)
		_, err := Start(t.Context(), Options{Dir: c.home})
		if err == nil || !strings.Contains(err.Error(), "belongs to user 65534 and this is user 0") {
			t.Errorf("got %v", err)
		}
	})
}

func TestStart_AsRootWherePostgresCannotEnter(t *testing.T) {
	needRoot(t)
	private := filepath.Join(openDir(t), "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(private, ".runnel", "postgres")
	m := thisMachine()
	m.shelter = openDir(t)
	for range 2 { // the second start finds the data of the first
		s, err := m.start(t.Context(), Options{Dir: dir, Fast: true})
		if err != nil {
			t.Fatal(err)
		}
		query(t, s.URL(database), "CREATE TABLE IF NOT EXISTS kept (n int)", "INSERT INTO kept VALUES (1)")
		if filepath.Dir(s.home.dir) != m.shelter {
			t.Errorf("home is %s, want it in %s", s.home.dir, m.shelter)
		}
		note, err := os.ReadFile(filepath.Join(dir, "location"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(note), s.home.dir+"\n") {
			t.Errorf("location says %q, want %s", note, s.home.dir)
		}
		if got := query(t, s.URL(database), "SELECT count(*) FROM kept"); got == "2" {
			stop(t, s)
			return
		}
		stop(t, s)
	}
	t.Error("the second start did not find the first one's data")
}

func TestStart_AsRootWithTightUmask(t *testing.T) {
	needRoot(t)
	parent := openDir(t)
	before := syscall.Umask(0o077)
	defer syscall.Umask(before)
	m := thisMachine()
	m.shelter = filepath.Join(parent, "shelter")
	m.store = filepath.Join(m.shelter, "programs")
	s, err := m.start(t.Context(), Options{Dir: filepath.Join(parent, ".runnel", "postgres"), Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	query(t, s.URL(database), "SELECT 1")
}

func TestStart_AsRootTemporaryWherePostgresCannotEnter(t *testing.T) {
	needRoot(t)
	private, open := t.TempDir(), openDir(t)
	m := thisMachine()
	m.temp = []string{private, open}
	h, err := m.openHome("", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if filepath.Dir(h.dir) != open {
		t.Errorf("home is %s, want it in %s", h.dir, open)
	}
}

// Postgres's account owns data and may put a symbolic link anywhere in it.
func TestHome_LinkOutOfDataIsNotFollowed(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(openDir(t), "postgres")
	s := start(t, Options{Dir: dir, Fast: true})
	stop(t, s)
	secret := filepath.Join(t.TempDir(), "postmaster.pid")
	if err := os.WriteFile(secret, []byte("1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, s.home.path("data/postmaster.pid")); err != nil {
		t.Fatal(err)
	}
	h, err := thisMachine().lockHome(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if p, ok := h.postmaster(); ok {
		t.Errorf("read %+v through a link", p)
	}
}
