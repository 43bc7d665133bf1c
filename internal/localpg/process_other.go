//go:build !linux

package localpg

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent does nothing: only Linux tells a child of its parent's death.
// The next Start on the same home stops what was left over.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// runsIn tells whether the process is a server on the data directory, which
// stands in its arguments.
func runsIn(pid int, data string, _ *account) bool {
	out, err := exec.Command("ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "-D "+data+" ")
}
