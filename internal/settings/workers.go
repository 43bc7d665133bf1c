package settings

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/runnelhq/runnel"
)

// workersPerCPU is a guess between two kinds of functions: those that compute,
// for which 1 would do, and those that wait, for which 100 would.
const workersPerCPU = 8

// defaultWorkers is how many invocations a worker runs at once unless told: as
// many as the CPUs can serve, and no more than fit into three quarters of the
// memory if each of them takes the default limit.
func defaultWorkers() int { return workersFor(runtime.GOMAXPROCS(0), memory()) }

func workersFor(cpus int, memory int64) int {
	n := workersPerCPU * cpus
	if memory > 0 {
		n = min(n, int(memory/4*3/runnel.DefaultMemory))
	}
	return max(n, 2)
}

// memory is what this process may use, in bytes: its cgroup's limit, else the
// machine's memory, else 0 for unknown.
func memory() int64 {
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// "max", or a number beyond any machine, means no limit.
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 && n < 1<<50 {
			return n
		}
	}
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return memTotal(b)
}

func memTotal(meminfo []byte) int64 {
	lines := bufio.NewScanner(bytes.NewReader(meminfo))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemTotal:"); ok {
			fields := strings.Fields(rest)
			if len(fields) == 2 && fields[1] == "kB" {
				if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
					return n << 10
				}
			}
		}
	}
	return 0
}
