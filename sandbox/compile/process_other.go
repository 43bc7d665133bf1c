//go:build !linux

package compile

import (
	"fmt"
	"io"
	"os"
)

const selfPath = ""

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
