package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// keptOutput is how much of a program's output is kept for a failure's report.
const keptOutput = 64 << 10

// program is a running binary of ours.
type program struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has exited

	mu  sync.Mutex
	out bytes.Buffer // the end of what it wrote; guarded by mu
}

// start runs a binary with exactly these settings besides PATH and HOME.
func start(path string, env []string, args ...string) (*program, error) {
	p := &program{name: filepath.Base(path), cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Write keeps the end of the output.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b)
	if over := p.out.Len() - keptOutput; over > 0 {
		p.out.Next(over)
	}
	return len(b), nil
}

func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *program) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// end sends sig and waits until the program has gone.
func (p *program) end(sig syscall.Signal, limit time.Duration) error {
	p.signal(sig)
	select {
	case <-p.done:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%s still runs %s after %v", p.name, limit, sig)
	}
}

func (p *program) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}
