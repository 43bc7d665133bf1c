package js

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/confine"
)

// Argument is the first argument of the child that translates a script. A program
// that gives its own command to TranslateApart begins with
//
//	if js.IsChild() {
//		os.Exit(js.Child())
//	}
const Argument = "translate-script"

// Limits of the child. The bundler recurses as deep as a source nests, so that 100 KB
// of parentheses end the process they are read in, and it folds constants, so that
// 256 KB of "x"+"x"+... took 2.1 GB. What people write takes less than a fifth of
// childMemory: 250 KB of TypeScript 37 MB, 5 MB of JavaScript with its map 86 MB.
const (
	childStack   = 128 << 20
	childMemory  = 512 << 20
	childCPU     = 20 // seconds
	childTimeout = childCPU * time.Second
	maxAnswer    = 64 << 20
)

// request and response are what goes through the child's standard streams.
type request struct {
	Name   string
	Source []byte
}

type response struct {
	Script  Script
	Code    runnel.Code
	Message string
}

// IsChild tells whether this process was started by TranslateApart.
func IsChild() bool { return len(os.Args) > 1 && os.Args[1] == Argument }

// Child translates the script on standard input and returns the exit code.
func Child() int {
	runtime.GOMAXPROCS(1) // the other processors are for functions
	debug.SetMaxStack(childStack)
	debug.SetMemoryLimit(childMemory / 4 * 3)
	if err := (confine.Limits{CPU: childCPU, Memory: childMemory}).Apply(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var in request
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var out response
	var err error
	if out.Script, err = Translate(in.Name, in.Source); err != nil {
		out.Code, out.Message = runnel.CodeOf(err), err.Error()
		var known *runnel.Error
		if errors.As(err, &known) {
			out.Message = known.Message
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return 1
	}
	return 0
}

// TranslateApart is Translate for a source that may be anybody's: in a process of its
// own, which may end in any way. command is what starts this program again.
func TranslateApart(ctx context.Context, command []string, name string, source []byte) (Script, error) {
	if len(source) > MaxScript {
		return Translate(name, source) // says why not
	}
	in, err := json.Marshal(request{name, source})
	if err != nil {
		return Script{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, childTimeout)
	defer cancel()
	cmd := confine.Command(ctx, command, Argument)
	cmd.Stdin = bytes.NewReader(in)
	answer := &bounded{left: maxAnswer}
	var complained confine.Head
	cmd.Stdout, cmd.Stderr = answer, &complained
	err = confine.Run(cmd)
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return Script{}, runnel.Errorf(runnel.CodeInvalidModule, "the source takes longer than %s to translate: bundle it first, as \"runnel deploy\" does", childTimeout)
	case errors.As(err, &ended) && confine.OutOfMemory(complained.String()):
		return Script{}, runnel.Errorf(runnel.CodeInvalidModule, "the source needs more than %d MB of memory to translate: bundle it first, as \"runnel deploy\" does", childMemory>>20).Because(err)
	case errors.As(err, &ended):
		return Script{}, runnel.Errorf(runnel.CodeInvalidModule, "the source cannot be translated: it nests too deeply, or takes too long; bundle it first, as \"runnel deploy\" does").Because(err)
	case err != nil:
		return Script{}, runnel.Errorf(runnel.CodeUnavailable, "the source cannot be translated now: try again").Because(err)
	}
	var out response
	if err := json.Unmarshal(answer.b.Bytes(), &out); err != nil {
		return Script{}, runnel.Errorf(runnel.CodeInternal, "the source could not be translated").Because(err)
	}
	if out.Code != "" {
		return Script{}, runnel.Errorf(out.Code, "%s", out.Message)
	}
	return out.Script, nil
}

// bounded keeps what is written up to a number of bytes and fails after it.
type bounded struct {
	b    bytes.Buffer
	left int
}

func (w *bounded) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, io.ErrShortWrite
	}
	return w.b.Write(p)
}
