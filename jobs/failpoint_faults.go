//go:build faults

package jobs

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	failpointName, failpointAfter = parseFailpoint(os.Getenv("RUNNEL_FAILPOINT"))
	failpointHits                 atomic.Int64
)

// parseFailpoint reads "name:n": the n-th time that name is reached is the last.
func parseFailpoint(s string) (name string, after int64) {
	name, n, _ := strings.Cut(s, ":")
	after, _ = strconv.ParseInt(n, 10, 64)
	return name, max(after, 1)
}

// failpoint kills this process with SIGKILL where RUNNEL_FAILPOINT says so.
func failpoint(name string) {
	if name == failpointName && failpointHits.Add(1) == failpointAfter {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}
