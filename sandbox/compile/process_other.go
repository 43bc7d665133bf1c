//go:build !linux

package compile

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Without Linux the child has a time limit and no environment. It has no limit of
// memory and does not die with its parent: this is for development.

const selfPath = ""

func attributes() *syscall.SysProcAttr { return nil }

func killGroup(p *os.Process) error { return p.Kill() }

func confine(cpu, memory, output uint64) error { return nil }

func maxMemory(*os.ProcessState) int64 { return 0 }

func checkOwner(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("compile: %w", err)
	case !info.IsDir():
		return errOpenDir(dir, "is not a directory")
	case info.Mode().Perm()&writableByOthers != 0:
		return errOpenDir(dir, fmt.Sprintf("is writable by others (%s)", info.Mode().Perm()))
	}
	return nil
}

// canLock is false: what processes that died left behind stays.
const canLock = false

func lockDir(dir string) (io.Closer, error) { return os.Open(dir) }
