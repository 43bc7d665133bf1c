package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/runnelhq/runnel"
)

// trapFrames is how many frames of the guest's stack a trap's message shows.
const trapFrames = 8

// exit is what proc_exit panics with.
type exit struct{ code uint32 }

func (e exit) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// failure turns what wazero returned for a call into a *runnel.Error. An exit is
// an error here too; runCommand looks for it first.
func (inv *invocation) failure(err error) error {
	var (
		stopped *runnel.Error
		exited  exit
		bug     runtime.Error
	)
	switch {
	case errors.As(err, &stopped):
		return stopped
	case errors.As(err, &exited):
		return inv.exitError(exited.code)
	case errors.As(err, &bug):
		return internal(err)
	case innermost(err).Error() == "stack overflow":
		return inv.stackOverflow() // wazero's own limit, for a frame larger than ours
	}
	if late := inv.interrupted(time.Now()); late != nil {
		return late
	}
	if inv.overflow != nil && inv.overflow.Type() == api.ValueTypeI32 && inv.overflow.Get() != 0 {
		return inv.stackOverflow()
	}
	message, stack := splitTrap(err)
	inv.logs.flush()
	if why := inv.logs.panic; why != "" {
		message = why // what a language prints before it traps says more
	}
	return runnel.Errorf(runnel.CodeFunctionError, "the function trapped: %s%s", message, stack)
}

// exitError is the error of a guest that ended itself with this exit code.
func (inv *invocation) exitError(code uint32) error {
	inv.logs.flush()
	if code == 0 {
		return runnel.Errorf(runnel.CodeFunctionError, "the function called proc_exit(0) where a result was expected: return from the handler instead")
	}
	if why := inv.logs.reason(); why != "" {
		return runnel.Errorf(runnel.CodeFunctionError, "the function exited with code %d: %s", code, why)
	}
	return runnel.Errorf(runnel.CodeFunctionError, "the function exited with code %d and wrote nothing to stderr: write the reason there", code)
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// splitTrap takes wazero's error apart: what happened, and where in the guest.
func splitTrap(err error) (message, stack string) {
	text := err.Error()
	_, trace, _ := strings.Cut(text, "wasm stack trace:")
	if cause := innermost(err); cause != err {
		text = cause.Error()
	}
	message, _, _ = strings.Cut(text, "\n")
	message = excerpt(strings.TrimSuffix(message, " (recovered by wazero)"), 300)

	var b strings.Builder
	frames := 0
	for frame := range strings.Lines(trace) {
		if frame = strings.TrimSpace(frame); frame == "" {
			continue
		}
		if frames++; frames > trapFrames {
			b.WriteString("\n\t...")
			break
		}
		b.WriteString("\n\tat " + excerpt(frameName(frame), 120))
	}
	return message, b.String()
}

// frameName is a line of wazero's stack trace as the author of the module knows it.
// A function without a name appears as .$index, one more than its index in the
// deployed module because the meter's import stands before it.
func frameName(frame string) string {
	name := strings.TrimPrefix(frame, ".")
	digits, ok := strings.CutPrefix(name, "$")
	if !ok {
		return name
	}
	digits, rest, _ := strings.Cut(digits, "(")
	index, err := strconv.Atoi(digits)
	if err != nil || index == 0 {
		return name
	}
	return fmt.Sprintf("$%d(%s", index-1, rest)
}

// fromPanic is the error of a call that panicked outside of wazero's recover.
func fromPanic(p any) error {
	var stopped *runnel.Error
	if err, ok := p.(error); ok && errors.As(err, &stopped) {
		return stopped
	}
	return internal(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
}

func internal(cause error) error {
	return runnel.Errorf(runnel.CodeInternal, "the sandbox failed, not the function: run it again, and report it if it fails again").Because(cause)
}
