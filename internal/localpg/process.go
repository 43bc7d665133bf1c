package localpg

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is a child that does not outlive this process (on Linux).
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has been waited for
	err  error         // of Wait; read after done
}

// spawn starts a child that the kernel signals with last when this process dies.
//
// Linux sends that signal when the thread dies that started the child, not the
// process. A Go thread may end at any time, so the goroutine that starts the
// child keeps its thread for itself until the child has ended.
//
// The child has a process group of its own: an interrupt typed at the terminal
// reaches this process only, which can then finish its work before it stops the
// database.
func spawn(cmd *exec.Cmd, a *account, last syscall.Signal) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr, last)
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Not unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// end sends the signals in turn, each followed by a wait of at most limit, until
// the child has ended. It tells whether it has.
func (p *process) end(limit time.Duration, signals ...syscall.Signal) bool {
	for _, signal := range signals {
		_ = p.cmd.Process.Signal(signal) // fails only when the child has ended
		timer := time.NewTimer(limit)
		select {
		case <-p.done:
			timer.Stop()
			return true
		case <-timer.C:
		}
	}
	return false
}

// run runs a command to its end and returns what it printed. When the context
// ends, so do the command and its children.
func run(ctx context.Context, cmd *exec.Cmd, a *account) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe
	p, err := spawn(cmd, a, syscall.SIGKILL)
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
		<-p.done
		return "", context.Cause(ctx)
	}
	text := strings.TrimSpace(out.String())
	if p.err != nil {
		return text, fmt.Errorf("%s: %w\n%s", cmd.Path, p.err, tail(text))
	}
	return text, nil
}

// tail returns the last lines of a long text.
func tail(text string) string {
	const limit = 2000
	if len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return text
}
