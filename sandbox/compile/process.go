package compile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/runnelhq/runnel/sandbox/confine"
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

// run has a child compile into dir and waits for its end.
func (c *Compiler) run(ctx context.Context, wasm []byte, dir string) (Report, verdict) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limits.Wall, errWall)
	defer cancel()
	cmd := confine.Command(ctx, c.command, c.limits.arguments()...)
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(wasm)
	var said, complained confine.Head
	cmd.Stdout, cmd.Stderr = &said, &complained
	began := time.Now()
	err := confine.Run(cmd)
	state := cmd.ProcessState
	report := Report{Wall: time.Since(began)}
	if state != nil {
		report.CPU = state.UserTime() + state.SystemTime()
		report.MaxMemory = confine.MaxMemory(state)
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
