// Package confine keeps a child process that works on an attacker's bytes within
// limits.
//
// The parent starts it with Command and Run: without an environment, in a process
// group of its own, which ends when its parent does. The child's main calls
// Limits.Apply before it reads anything. Its memory is limited as address space,
// which the kernel counts when it is asked for: nothing that the Go runtime or a
// library does in one step can exceed it first.
package confine

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Limits of a process.
type Limits struct {
	CPU    uint64 // seconds of processor time
	Memory uint64 // bytes of address space beyond what it has when they are applied
	Output uint64 // bytes of a file that it writes
}

// niceness is a child's: functions that run go first.
const niceness = 5

// killDelay is how long a killed child may take to be gone before its pipes are
// closed.
const killDelay = 5 * time.Second

// Command is a child, to be started with Run and killed when ctx ends. Set its
// streams and its directory.
func Command(ctx context.Context, command []string, arg ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], arg...)...)
	cmd.Env = []string{} // not nil: that would be this process's environment
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = killDelay
	return cmd
}

// Run starts a Command and waits for its end.
func Run(cmd *exec.Cmd) error {
	// The kernel kills the child when the thread that started it ends, so the
	// thread must be this goroutine's until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

// OutOfMemory recognizes what Go's runtime, the race detector's and system calls
// say at the limit.
func OutOfMemory(text string) bool {
	for _, s := range []string{"out of memory", "cannot allocate", "cannot map pages", "failed to create new OS thread", "failed to reserve", "failed to allocate", "address space collisions"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// maxHead is how much a Head keeps.
const maxHead = 4 << 10

// Head keeps the beginning of what is written: enough to know why a child ended.
type Head struct{ text []byte }

// Write implements io.Writer. It takes everything.
func (h *Head) Write(b []byte) (int, error) {
	h.text = append(h.text, b[:min(len(b), maxHead-len(h.text))]...)
	return len(b), nil
}

func (h *Head) String() string { return string(h.text) }

// MaxMemory is what a process that has ended had resident at its peak, in bytes, and
// no less than its parent had when it started; 0 where that is not known.
func MaxMemory(state *os.ProcessState) int64 { return maxMemory(state) }
