package compile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/confine"
)

// Argument is the first argument of the child. A program that gives Self to a
// Compiler begins as follows, or it would start itself without end:
//
//	if compile.IsChild() {
//		os.Exit(compile.Child())
//	}
const Argument = "compile-module"

const (
	// exitRefused is the child's exit code when it says on standard output why
	// there is no code. Go uses 1 and 2.
	exitRefused = 3
	// maxInput is what the child reads: rewriting makes a module larger.
	maxInput = 8 * runnel.MaxModuleSize
)

// IsChild tells whether this process was started by a Compiler.
func IsChild() bool { return len(os.Args) > 1 && os.Args[1] == Argument }

// Child compiles the module on standard input into the current directory and
// returns the exit code. Its arguments, after Argument, are the limits: seconds of
// processor time, bytes of memory, bytes of output.
func Child() int {
	if err := child(os.Args[2:]); err != nil {
		reason, _, _ := strings.Cut(err.Error(), "\n")
		fmt.Println(reason)
		return exitRefused
	}
	return 0
}

func child(args []string) (err error) {
	if len(args) != 3 {
		return errors.New("it is compiled by the worker only")
	}
	var limits [3]int64
	for i, arg := range args {
		n, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || n <= 0 {
			return fmt.Errorf("the limit %q is no number", arg)
		}
		limits[i] = n
	}
	runtime.GOMAXPROCS(1) // the other processors are for functions
	debug.SetMemoryLimit(limits[1] / 4 * 3)
	if err := (confine.Limits{CPU: uint64(limits[0]), Memory: uint64(limits[1]), Output: uint64(limits[2])}).Apply(); err != nil {
		return fmt.Errorf("the limits of the compiler cannot be set: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the compiler failed on it: %v", p)
		}
	}()
	wasm, err := io.ReadAll(io.LimitReader(os.Stdin, maxInput+1))
	if err != nil {
		return err
	}
	if len(wasm) > maxInput {
		return fmt.Errorf("it is larger than %d MB after it was rewritten", maxInput>>20)
	}
	return build(context.Background(), wasm, ".")
}

// arguments are what Child reads.
func (l Limits) arguments() []string {
	return []string{
		Argument,
		strconv.FormatInt(max(1, int64(l.CPU/time.Second)), 10),
		strconv.FormatInt(l.Memory, 10),
		strconv.FormatInt(l.Output, 10),
	}
}

// judge says from how a child ended whether its module is to blame.
func (l Limits) judge(state *os.ProcessState, said, complained string) verdict {
	status, _ := state.Sys().(syscall.WaitStatus)
	cpu := state.UserTime() + state.SystemTime() // the kernel's limit counts ticks, and can be off by some percent
	fatal := state.ExitCode() == 2               // of the Go runtime
	switch {
	case state.ExitCode() == exitRefused && confine.OutOfMemory(said), fatal && confine.OutOfMemory(complained):
		return verdict{reason: fmt.Sprintf("it needs more than %s of memory to compile: make its functions smaller", size(l.Memory))}
	case state.ExitCode() == exitRefused && strings.Contains(said, syscall.EFBIG.Error()), strings.Contains(complained, "SIGXFSZ"):
		return verdict{reason: fmt.Sprintf("it compiles to more than %s of native code: make it smaller", size(l.Output))}
	case state.ExitCode() == exitRefused:
		return verdict{reason: said}
	case !state.Exited() && cpu >= l.CPU/10*9, strings.Contains(complained, "SIGXCPU"):
		return verdict{reason: fmt.Sprintf("it took longer than %s of processor time to compile: split it into smaller functions", l.CPU)}
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		// By the kernel, which was out of memory, or by somebody. The next try may
		// meet a larger machine.
		return verdict{reason: "the compiler was killed, most likely because the machine has too little memory for it: make its functions smaller, or give the machine more memory", after: time.Hour}
	}
	return verdict{reason: fmt.Sprintf("the compiler crashed on it (%s): report the module", state), detail: complained}
}

func size(n int64) string {
	if n >= 1<<30 && n%(1<<30) == 0 {
		return strconv.FormatInt(n>>30, 10) + " GB"
	}
	return strconv.FormatInt(n>>20, 10) + " MB"
}
