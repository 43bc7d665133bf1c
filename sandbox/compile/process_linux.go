package compile

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// selfPath is this program even after its file was replaced, as deployments do.
const selfPath = "/proc/self/exe"

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
