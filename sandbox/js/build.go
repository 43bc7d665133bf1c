package js

import (
	"context"
	"time"

	"github.com/runnelhq/runnel/sandbox"
)

// Limits of evaluating a module at deploy. They are those of a small invocation:
// what takes longer belongs into the handler.
const (
	buildTimeout = 10 * time.Second
	buildMemory  = 128 << 20
)

// Build evaluates a script and returns the module that runs its handler, and what it
// logged. The script is evaluated in rt, under limits; the errors are those of
// sandbox.Runtime.Snapshot.
func Build(ctx context.Context, rt *sandbox.Runtime, script Script) (wasm []byte, out sandbox.Outcome, err error) {
	engine, err := Engine()
	if err != nil {
		return nil, out, err
	}
	boot, err := bootScript()
	if err != nil {
		return nil, out, err
	}
	return rt.Snapshot(ctx, sandbox.Snapshot{
		Wasm: engine, Boot: boot, Source: script.Code, Map: script.Map, Again: true,
		Timeout: buildTimeout, Memory: buildMemory,
		Clean: clean,
	})
}
