//go:build !linux

package confine

import (
	"os"
	"syscall"
)

// Without Linux a child has a time limit, if its parent gives it one, and no
// environment. It has no limit of memory and does not die with its parent: this is
// for development.

func attributes() *syscall.SysProcAttr { return nil }

func killGroup(p *os.Process) error { return p.Kill() }

// Apply does nothing here.
func (l Limits) Apply() error { return nil }

func maxMemory(*os.ProcessState) int64 { return 0 }
