package confine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

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

// Apply sets the limits of this process, for ever. A soft limit of processor time
// equal to the hard one means SIGKILL, which needs no cooperation.
func (l Limits) Apply() error {
	// To be the first that the kernel kills. Not being allowed to is no reason not
	// to work.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	_ = syscall.Setpriority(syscall.PRIO_PGRP, 0, niceness)
	used, err := addressSpace()
	if err != nil {
		return err
	}
	for _, r := range []struct {
		resource int
		limit    uint64
	}{
		{syscall.RLIMIT_CPU, l.CPU},
		{syscall.RLIMIT_AS, used + l.Memory},
		{syscall.RLIMIT_FSIZE, l.Output},
		{syscall.RLIMIT_CORE, 0},
	} {
		if err := syscall.Setrlimit(r.resource, &syscall.Rlimit{Cur: r.limit, Max: r.limit}); err != nil {
			return fmt.Errorf("setrlimit %d: %w", r.resource, err)
		}
	}
	return nil
}

// addressSpace is what this process has reserved, in bytes. The Go runtime has
// reserved more than it will use.
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
