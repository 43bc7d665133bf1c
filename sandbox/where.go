package sandbox

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/runnelhq/runnel"
)

// An interpreter can say where a script was that was stopped. It exports whereExport,
// a function () -> (), which is called after the guest has ended, on what it left in
// its memory, and puts a text for portWhere. Nothing depends on it: the guest may have
// been stopped in the middle of changing what is read, so that it may as well trap.
// All it can do is compute, for whereTime at most; a call of the host that looks at
// the deadline ends it.
const (
	whereExport = "runnel_where"
	whereTime   = 50 * time.Millisecond // it takes some 50 µs
	maxWhere    = 8 << 10               // bytes of text
)

// lastWords are those of a guest that was stopped.
type lastWords struct {
	until time.Time
	text  string
}

var errEnded = errors.New("sandbox: the guest was stopped")

func (w *lastWords) say(args [][]byte) {
	if len(args) > 0 {
		w.text = strings.TrimRight(validText(args[0][:min(len(args[0]), maxWhere)]), "\n")
	}
}

// explained adds to the error of a guest that was stopped where it was, when it says
// so.
func (inv *invocation) explained(ctx context.Context, instance api.Module, err error) error {
	var stopped *runnel.Error
	if !errors.As(err, &stopped) {
		return err
	}
	switch stopped.Code {
	case runnel.CodeTimeout, runnel.CodeCancelled, runnel.CodeOutOfMemory, runnel.CodeStackOverflow:
	default:
		return err
	}
	f := instance.ExportedFunction(whereExport)
	if f == nil || len(f.Definition().ParamTypes()) != 0 {
		return err
	}
	inv.ended = &lastWords{until: time.Now().Add(whereTime)}
	inv.port.args = nil
	if inv.native != nil {
		defer inv.stacks.lend(f, inv.native)()
	}
	_, _ = f.Call(ctx) // how it ends says nothing
	if inv.ended.text == "" {
		return err
	}
	more := *stopped
	more.Message += "\n" + inv.explain(inv.ended.text)
	return &more
}
