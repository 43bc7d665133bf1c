package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// memory watches what this process and its children have resident. It reads /proc;
// elsewhere than on Linux it sees nothing.
type memory struct {
	end  chan struct{}
	done chan struct{}

	process, child int64
}

func watchMemory() *memory {
	m := &memory{end: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(m.done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			m.look()
			select {
			case <-m.end:
				return
			case <-tick.C:
			}
		}
	}()
	return m
}

func (m *memory) stop() (process, child int64) {
	close(m.end)
	<-m.done
	return m.process, m.child
}

func (m *memory) look() {
	m.process = max(m.process, status("self", "VmRSS:"))
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, file := range files {
		pids, _ := os.ReadFile(file)
		for pid := range strings.FieldsSeq(string(pids)) {
			m.child = max(m.child, status(pid, "VmHWM:"))
		}
	}
}

// load is processor time so far: of the whole machine, and of this process and the
// children that have ended.
type load struct{ all, own time.Duration }

func lookAtLoad() (l load) {
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	for i, field := range strings.Fields(line) {
		// user nice system - - irq softirq steal, in hundredths of a second
		if n, err := strconv.ParseInt(field, 10, 64); err == nil && i <= 8 && i != 4 && i != 5 {
			l.all += time.Duration(n) * 10 * time.Millisecond
		}
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			l.own += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return l
}

// others is how many processors everybody else on the machine kept busy since.
func (l load) others(took time.Duration) float64 {
	now := lookAtLoad()
	return max(0, ((now.all-l.all)-(now.own-l.own)).Seconds()/took.Seconds())
}

// status reads one of a process's figures, in bytes.
func status(pid, name string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%s/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), name)
	kb, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseInt(kb, 10, 64)
	return n << 10
}
