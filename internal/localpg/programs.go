package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// oldest is the first PostgreSQL with everything Runnel's SQL uses.
const oldest = 13

// programs is a directory with initdb and postgres of one version.
type programs struct {
	dir   string
	libs  string // directory of shared libraries the system lacks, if any
	major int
}

// command prepares one of the programs. Its environment is its own: PG* variables
// would change what it does, and the rest is none of its business.
func (p programs) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.dir, name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	if p.libs != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+p.libs)
	}
	return cmd
}

// programs returns those of dir, which were asked for, or finds some.
func (m *machine) programs(ctx context.Context, log *slog.Logger, h *home, dir string) (programs, error) {
	if dir == "" {
		return m.find(ctx, log, h)
	}
	var a *account
	if m.root {
		var err error
		if a, err = m.unprivileged(); err != nil {
			return programs{}, err
		}
	}
	p := programs{dir: dir}
	if err := p.ask(ctx, a); err != nil {
		return programs{}, fmt.Errorf("the programs in %s cannot be used: %w", dir, err)
	}
	if want, err := h.major(); err != nil || want != 0 && want != p.major {
		return programs{}, errors.Join(err, fmt.Errorf("the programs in %s are PostgreSQL %d, the data is of %d", dir, p.major, want))
	}
	return p, nil
}

// find returns the programs for a home, installing or downloading them when
// there are none. Data must be opened by the major version that made it.
func (m *machine) find(ctx context.Context, log *slog.Logger, h *home) (programs, error) {
	want, err := h.major()
	if err != nil {
		return programs{}, err
	}
	if p, ok := m.installed(ctx, want); ok {
		return p, nil
	}
	unlock, err := m.lockStore(ctx)
	if err != nil {
		return programs{}, err
	}
	defer unlock()
	// Another process may have installed them while this one waited.
	if p, ok := m.installed(ctx, want); ok {
		return p, nil
	}
	var tried []error
	for _, get := range []func(context.Context, *slog.Logger, int) error{m.install, m.unpack, m.fetch} {
		err := get(ctx, log, want)
		if p, ok := m.installed(ctx, want); ok {
			return p, nil
		}
		if ctx.Err() != nil {
			return programs{}, context.Cause(ctx)
		}
		tried = append(tried, err)
	}
	return programs{}, m.nothing(ctx, h, want, tried)
}

// installed returns the newest usable programs of the known directories, else
// those on PATH. want is the major version, 0 for any.
func (m *machine) installed(ctx context.Context, want int) (programs, bool) {
	for _, p := range m.present(ctx) {
		if p.major == want || want == 0 && p.major >= oldest {
			return p, true
		}
	}
	return programs{}, false
}

// present returns all programs on this machine, whatever their version.
func (m *machine) present(ctx context.Context) []programs {
	var a *account
	if m.root {
		var err error
		if a, err = m.unprivileged(); err != nil {
			return nil
		}
	}
	var found []programs
	add := func(p programs) {
		if err := p.ask(ctx, a); err == nil {
			found = append(found, p)
		}
	}
	downloaded, unpacked := filepath.Join(m.store, "*", "bin"), filepath.Join(m.store, "*", "usr/lib/postgresql/*/bin")
	patterns := slices.Clone(m.directories)
	if info, err := os.Stat(m.store); err == nil && owns(m.store, info) == nil { // run nobody else's programs
		patterns = append(patterns, downloaded, unpacked)
	}
	for _, pattern := range patterns {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			p := programs{dir: dir}
			if pattern == unpacked {
				libs, _ := filepath.Glob(filepath.Join(dir, "../../../*-linux-gnu*"))
				p.libs = strings.Join(libs, ":")
			}
			add(p)
		}
	}
	slices.SortStableFunc(found, func(a, b programs) int { return b.major - a.major })
	if file, err := m.path("postgres"); err == nil {
		if file, err = filepath.EvalSymlinks(file); err == nil {
			add(programs{dir: filepath.Dir(file)})
		}
	}
	return found
}

// ask learns the version from postgres itself, as the account that is to run it.
func (p *programs) ask(ctx context.Context, a *account) error {
	if _, err := os.Stat(filepath.Join(p.dir, "initdb")); err != nil {
		return err
	}
	out, err := run(ctx, p.command("postgres", "--version"), a)
	if err != nil {
		return err
	}
	p.major, err = parseVersion(out)
	return err
}

// parseVersion reads "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)";
// betas look like "19beta1".
func parseVersion(text string) (int, error) {
	_, after, ok := strings.Cut(text, "(PostgreSQL) ")
	end := 0
	for end < len(after) && after[end] >= '0' && after[end] <= '9' {
		end++
	}
	major, err := strconv.Atoi(after[:end])
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is not a version of PostgreSQL", strings.TrimSpace(text))
	}
	return major, nil
}

// nothing explains what was looked for and ends with one command to type.
func (m *machine) nothing(ctx context.Context, h *home, want int, tried []error) error {
	var b strings.Builder
	if want == 0 {
		fmt.Fprintf(&b, "no PostgreSQL %d or newer here, and none could be had:", oldest)
	} else {
		fmt.Fprintf(&b, "the data in %s was made by PostgreSQL %d, which is not here and could not be had:", h.dir, want)
	}
	for _, p := range m.present(ctx) {
		fmt.Fprintf(&b, "\n  installed: version %d in %s cannot be used", p.major, p.dir)
	}
	for _, err := range tried {
		if err != nil {
			fmt.Fprintf(&b, "\n  %s", err)
		}
	}
	fmt.Fprintf(&b, "\nInstall it with\n  %s\nor set DATABASE_URL to a server you have.", m.command(want))
	return errors.New(b.String())
}
