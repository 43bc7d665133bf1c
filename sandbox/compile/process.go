package compile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Self is the command that starts this program again.
func Self() ([]string, error) {
	if selfPath != "" {
		return []string{selfPath}, nil
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	return []string{exe}, nil
}

// killDelay is how long a killed child may take to be gone before its pipes are
// closed.
const killDelay = 5 * time.Second

// run has a child compile into dir and waits for its end.
func (c *Compiler) run(ctx context.Context, wasm []byte, dir string) (Report, verdict) {
	// The kernel kills the child when the thread that started it ends, so the
	// thread must be this goroutine's until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	ctx, cancel := context.WithTimeoutCause(ctx, c.limits.Wall, errWall)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.command[0], append(c.command[1:len(c.command):len(c.command)], c.limits.arguments()...)...)
	cmd.Env = []string{} // not nil: that would be this process's environment
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(wasm)
	var said, complained head
	cmd.Stdout, cmd.Stderr = &said, &complained
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = killDelay

	began := time.Now()
	err := cmd.Run()
	state := cmd.ProcessState
	report := Report{Wall: time.Since(began)}
	if state != nil {
		report.CPU = state.UserTime() + state.SystemTime()
		report.MaxMemory = maxMemory(state)
	}
	switch {
	case err == nil:
		return report, verdict{}
	case errors.Is(context.Cause(ctx), errWall):
		return report, verdict{reason: fmt.Sprintf("it took longer than %s to compile: split it into smaller functions", c.limits.Wall), after: 10 * time.Minute} // the machine may have been busy
	case ctx.Err() != nil:
		return report, verdict{failed: cancelled(ctx)}
	case state == nil || state.Success():
		return report, verdict{failed: unavailable(fmt.Errorf("compile: the child could not be started: %w", err))}
	}
	return report, c.limits.judge(state, strings.TrimSpace(said.String()), complained.String())
}

// head keeps the beginning of what is written.
type head struct{ text []byte }

func (h *head) Write(b []byte) (int, error) {
	h.text = append(h.text, b[:min(len(b), maxReason-len(h.text))]...)
	return len(b), nil
}

func (h *head) String() string { return string(h.text) }
