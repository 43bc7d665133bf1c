package compile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
)

// selfPath is this program even after its file was replaced, as deployments do.
const selfPath = "/proc/self/exe"

// attributes put the child into a group of its own, which signals of a terminal do
// not reach, and have the kernel kill it when its parent dies.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(p *os.Process) error {
	err := syscall.Kill(-p.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// confine sets the limits of this process, for ever. Memory is address space beyond
// what the Go runtime has reserved already. A soft limit of processor time equal to
// the hard one means SIGKILL, which needs no cooperation.
func confine(cpu, memory, output uint64) error {
	// To be the first that the kernel kills. Not being allowed to is no reason not
	// to compile.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	_ = syscall.Setpriority(syscall.PRIO_PGRP, 0, niceness)
	used, err := addressSpace()
	if err != nil {
		return err
	}
	for _, l := range []struct {
		resource int
		limit    uint64
	}{
		{syscall.RLIMIT_CPU, cpu},
		{syscall.RLIMIT_AS, used + memory},
		{syscall.RLIMIT_FSIZE, output},
		{syscall.RLIMIT_CORE, 0},
	} {
		if err := syscall.Setrlimit(l.resource, &syscall.Rlimit{Cur: l.limit, Max: l.limit}); err != nil {
			return fmt.Errorf("setrlimit %d: %w", l.resource, err)
		}
	}
	return nil
}

// addressSpace is what this process has reserved, in bytes.
func addressSpace() (uint64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	pages, _, _ := bytes.Cut(b, []byte(" "))
	n, err := strconv.ParseUint(string(pages), 10, 64)
	return n * uint64(os.Getpagesize()), err
}

func maxMemory(state *os.ProcessState) int64 {
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return 0
}

// checkOwner refuses a directory that anybody else could put code into.
func checkOwner(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return errOpenDir(dir, "is not a directory")
	case !ok || int(stat.Uid) != os.Geteuid():
		return errOpenDir(dir, "belongs to another user")
	case info.Mode().Perm()&writableByOthers != 0:
		return errOpenDir(dir, fmt.Sprintf("is writable by others (%s)", info.Mode().Perm()))
	}
	return nil
}

const canLock = true

// lockDir marks a directory as in use until the process ends, however it ends.
func lockDir(dir string) (io.Closer, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
