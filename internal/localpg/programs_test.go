package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// bareMachine has no PostgreSQL and no way to get one.
func bareMachine(t *testing.T, commands ...string) *machine {
	dir := openDir(t)
	return &machine{
		os:           "linux",
		root:         os.Geteuid() == 0,
		unprivileged: unprivileged,
		directories:  []string{filepath.Join(dir, "lib", "*", "bin")},
		path: func(file string) (string, error) {
			for _, c := range commands {
				if c == file {
					return "/usr/bin/" + file, nil
				}
			}
			return "", exec.ErrNotFound
		},
		run: func(context.Context, ...string) error { return errors.New("exit status 1") },
		download: func(context.Context, string, embedded.PostgresVersion, string) error {
			return errors.New("unable to connect to https://repo1.maven.org/maven2")
		},
		store:   filepath.Join(dir, "store"),
		shelter: filepath.Join(dir, "shelter"),
		temp:    []string{dir},
	}
}

// pretend puts programs of some version where the machine looks.
func pretend(t *testing.T, dir, version string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s (Debian)'\n", version)
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind_NothingAvailable(t *testing.T) {
	const refused = "\n  download: unable to connect to https://repo1.maven.org/maven2"
	for _, tt := range []struct {
		name     string
		root     bool
		commands []string
		want     string
	}{
		{"root, installer fails", true, []string{"apt-get"},
			"\n  apt-get: exit status 1" + refused + "\nInstall it with\n  apt-get install postgresql\n"},
		{"user, no sudo", false, []string{"apt-get"},
			"\n  apt-get: needs root, and there is no sudo" + refused + "\nInstall it with\n  sudo apt-get install postgresql\n"},
		{"user, sudo asks", false, []string{"dnf", "sudo"},
			"\n  dnf: needs root, and sudo asks for a password" + refused + "\nInstall it with\n  sudo dnf install postgresql-server\n"},
		{"alpine", false, []string{"apk"},
			"\n  apk: needs root, and there is no sudo" + refused + "\nInstall it with\n  sudo apk add postgresql\n"},
		{"no package manager", false, nil,
			"\n  package manager: none of apt-get, dnf, apk here" + refused + "\nInstall it with\n  see https://www.postgresql.org/download/\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := bareMachine(t, tt.commands...)
			h, err := m.openHome("", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer h.close()
			m.root = tt.root
			_, err = m.find(t.Context(), slog.New(slog.DiscardHandler), h)
			want := "no PostgreSQL 13 or newer here, and none could be had:" + tt.want + "or set DATABASE_URL to a server you have."
			if err == nil || err.Error() != want {
				t.Errorf("got:\n%v\nwant:\n%s", err, want)
			}
		})
	}
}

func TestFind_Version(t *testing.T) {
	find := func(t *testing.T, m *machine, data string) (programs, error) {
		h, err := m.openHome("", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()
		if data != "" {
			if err := h.root.Mkdir("data", 0o700); err != nil {
				t.Fatal(err)
			}
			if err := h.root.WriteFile("data/PG_VERSION", []byte(data+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return m.find(t.Context(), slog.New(slog.DiscardHandler), h)
	}
	for _, tt := range []struct {
		name      string
		installed []string
		path      string // version on PATH
		data      string // version of the data
		want      int
		err       string
	}{
		{name: "newest", installed: []string{"9.6.24", "15.18", "17.2"}, want: 17},
		{name: "oldest usable", installed: []string{"13.0"}, want: 13},
		{name: "beta", installed: []string{"19beta1"}, want: 19},
		{name: "path is last", installed: []string{"14.1"}, path: "17.2", want: 14},
		{name: "path only", path: "17.2", want: 17},
		{name: "data decides", installed: []string{"15.18", "17.2"}, data: "15", want: 15},
		{name: "too old", installed: []string{"12.22"}, err: "installed: version 12 in "},
		{name: "too old on path", path: "9.6", err: "installed: version 9 in "},
		{name: "data of a missing version", installed: []string{"17.2"}, data: "15", err: "was made by PostgreSQL 15, which is not here"},
		{name: "data of a missing version: package", installed: []string{"17.2"}, data: "15", err: "apt-get install postgresql-15\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := bareMachine(t, "apt-get")
			for _, version := range tt.installed {
				pretend(t, strings.Replace(m.directories[0], "*", version, 1), version)
			}
			if tt.path != "" {
				dir := openDir(t)
				pretend(t, dir, tt.path)
				other := m.path
				m.path = func(file string) (string, error) {
					if file == "postgres" {
						return filepath.Join(dir, file), nil
					}
					return other(file)
				}
			}
			got, err := find(t, m, tt.data)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got %+v, %v; want an error with %q", got, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.major != tt.want {
				t.Errorf("got %+v, want version %d", got, tt.want)
			}
		})
	}
}

// A command that changes the machine is in the log, word for word, before it runs.
func TestInstall_IsAnnounced(t *testing.T) {
	for _, tt := range []struct {
		name     string
		root     bool
		commands []string
		want     []string // of the log
		argv     []string // how the command begins
	}{
		{"root", true, []string{"apt-get"}, []string{"apt-get install -y", "create_main_cluster = off"}, []string{"sh", "-c"}},
		{"sudo", false, []string{"apt-get", "sudo"}, []string{"sudo -n sh -c", "--no-install-recommends"}, []string{"sudo", "-n", "sh", "-c"}},
		{"dnf", true, []string{"dnf"}, []string{"dnf install -y postgresql-server"}, []string{"sh", "-c"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := bareMachine(t, tt.commands...)
			h, err := m.openHome("", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer h.close()
			if !tt.root {
				m.root = false
			}
			if tt.root && os.Geteuid() != 0 {
				t.Skip("needs root: the installer is not asked otherwise")
			}
			var log bytes.Buffer
			ran := 0
			m.run = func(_ context.Context, argv ...string) error {
				if strings.Join(argv, " ") == "sudo -n true" {
					return nil
				}
				ran++
				if got := argv[:len(tt.argv)]; strings.Join(got, " ") != strings.Join(tt.argv, " ") {
					t.Errorf("runs %q, want %q", got, tt.argv)
				}
				for _, want := range tt.want {
					if !strings.Contains(log.String(), want) {
						t.Errorf("before the command ran, the log says %q and not %q", &log, want)
					}
				}
				pretend(t, strings.Replace(m.directories[0], "*", "15", 1), "15.18")
				return nil
			}
			got, err := m.find(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), h)
			if err != nil {
				t.Fatal(err)
			}
			if got.major != 15 || ran != 1 {
				t.Errorf("got %+v after %d commands", got, ran)
			}
			if _, err := m.find(t.Context(), slog.New(slog.DiscardHandler), h); err != nil || ran != 1 {
				t.Errorf("second time: %v, %d commands in all", err, ran)
			}
		})
	}
}

// Where only root may install, Debian's packages are unpacked beside the project.
func TestFind_Unpacks(t *testing.T) {
	m := bareMachine(t, "apt-get", "dpkg-deb")
	h, err := m.openHome("", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	m.root = false
	var log bytes.Buffer
	m.run = func(_ context.Context, argv ...string) error {
		if !strings.Contains(log.String(), "apt-get") || !strings.Contains(log.String(), "--download-only") {
			t.Errorf("before the command ran, the log says only %q", &log)
		}
		lib := filepath.Join(argv[len(argv)-1], "programs", "usr", "lib")
		pretend(t, filepath.Join(lib, "postgresql", "15", "bin"), "15.18")
		return os.MkdirAll(filepath.Join(lib, "x86_64-linux-gnu"), 0o755)
	}
	got, err := m.find(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), h)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(got.dir, "../../../x86_64-linux-gnu"); got.major != 15 || got.libs != want {
		t.Errorf("got %+v, want libraries in %s", got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(m.store, "new-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFind_Downloads(t *testing.T) {
	m := bareMachine(t)
	h, err := m.openHome("", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	m.download = func(_ context.Context, _ string, version embedded.PostgresVersion, temp string) error {
		pretend(t, filepath.Join(temp, "programs", "bin"), string(version))
		// As under umask 077.
		return os.Chmod(filepath.Join(temp, "programs"), 0o700)
	}
	var log bytes.Buffer
	got, err := m.find(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), h)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(m.store, string(embedded.V18), "bin"); got.dir != want {
		t.Errorf("programs are in %s, want %s", got.dir, want)
	}
	if !strings.Contains(log.String(), "downloading PostgreSQL") {
		t.Errorf("the log does not say so: %s", &log)
	}
	if left, _ := filepath.Glob(filepath.Join(m.store, "new-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 9.6.24":                           9,
		"postgres (PostgreSQL) 19beta1":                          19,
	} {
		if got, err := parseVersion(text); got != want || err != nil {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "postgres (PostgreSQL) ", "postgres (PostgreSQL) devel", "15.18"} {
		if got, err := parseVersion(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestShelterName(t *testing.T) {
	long := "/root/" + strings.Repeat("a/", 200) + ".runnel"
	for _, dir := range []string{"/root/shop/.runnel/postgres", long, "/"} {
		name := shelterName(dir)
		if len(name) > 100 || strings.Contains(name, "/") || name == "" {
			t.Errorf("%s: %q", dir, name)
		}
	}
	if shelterName("/a/b-c") == shelterName("/a-b/c") {
		t.Error("two directories, one name")
	}
}

// Whoever can write to the store decides what this user runs.
func TestFind_IgnoresAnothersStore(t *testing.T) {
	needRoot(t)
	m := bareMachine(t)
	pretend(t, filepath.Join(m.store, "18.3.0", "bin"), "18.3")
	if _, ok := m.installed(t.Context(), 0); !ok {
		t.Fatal("own programs are not found")
	}
	if err := os.Chown(m.store, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if p, ok := m.installed(t.Context(), 0); ok {
		t.Errorf("would run %+v", p)
	}
}

func TestInstall_IsNotInterrupted(t *testing.T) {
	m := bareMachine(t, "apt-get")
	m.root = true
	ctx, cancel := context.WithCancel(t.Context())
	m.run = func(ctx context.Context, _ ...string) error {
		cancel()
		return ctx.Err()
	}
	if err := m.install(ctx, slog.New(slog.DiscardHandler), 0); err != nil {
		t.Errorf("the package manager would be killed half-way: %v", err)
	}
}
