package localpg

import (
	"fmt"
	"os"
	"syscall"
)

func dieWithParent(attr *syscall.SysProcAttr, signal syscall.Signal) {
	attr.Pdeathsig = signal
}

// runsIn tells whether the process is a server on the data directory: postgres
// makes it its working directory, and only a's processes can be there.
func runsIn(pid int, data string, a *account) bool {
	proc := fmt.Sprintf("/proc/%d", pid)
	info, err := os.Stat(proc)
	if err != nil {
		return false
	}
	if uid, _ := owner(info); a != nil && uid != a.uid {
		return false
	}
	cwd, err := os.Readlink(proc + "/cwd")
	return err == nil && cwd == data
}
