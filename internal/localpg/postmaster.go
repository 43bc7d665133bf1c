package localpg

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pollEvery is how often a state that nothing announces is looked at: readiness,
// and the end of a process that is not our child.
const pollEvery = 5 * time.Millisecond

// postmaster is what postmaster.pid says of the server that wrote it.
type postmaster struct {
	pid   int
	ready bool // accepts connections
}

// postmaster reads postmaster.pid; ok is false when there is none, or only part
// of one.
func (h *home) postmaster() (p postmaster, ok bool) {
	b, err := h.root.ReadFile("data/postmaster.pid")
	if err != nil {
		return postmaster{}, false
	}
	return parsePostmaster(string(b))
}

// parsePostmaster reads the format of PostgreSQL 10 and newer: a line each for
// pid, directory, start time, port, socket directory, address, shared memory and
// state.
func parsePostmaster(text string) (p postmaster, ok bool) {
	lines := strings.Split(text, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 {
		return postmaster{}, false
	}
	return postmaster{pid: pid, ready: len(lines) >= 8 && strings.TrimSpace(lines[7]) == "ready"}, true
}

// stopOrphan ends a server that outlived the process that started it. The caller
// holds the lock, so no other process of ours runs this server.
//
// The pid of a dead server may belong to somebody else by now (in a container
// that is usual), or to a zombie. Then postmaster.pid is removed, or postgres
// would refuse to start. The file of a server that is simply dead is left to
// postgres, which finds in it the shared memory that the server's last children
// may still use.
func (h *home) stopOrphan(a *account, log *slog.Logger) error {
	p, ok := h.postmaster()
	if !ok || errors.Is(syscall.Kill(p.pid, 0), syscall.ESRCH) {
		return nil
	}
	running := func() bool { return runsIn(p.pid, h.path("data"), a) }
	if !running() {
		if err := h.root.Remove("data/postmaster.pid"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	log.Info("stopping a database left over from a process that was killed", "pid", p.pid)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := syscall.Kill(p.pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop left-over postgres %d: %w", p.pid, err)
		}
		if waitWhile(running, stopLimit) {
			return nil
		}
	}
	return fmt.Errorf("%s is in use by postgres %d, which does not end: kill it first", h.dir, p.pid)
}

// waitWhile polls until the condition is false; it tells whether it became so.
// Only a parent is told of a process's end, and we are not this one's.
func waitWhile(condition func() bool, limit time.Duration) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		}
	}
	return true
}
