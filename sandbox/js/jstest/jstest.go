// Package jstest runs JavaScript in the sandbox for tests.
package jstest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"testing"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js"
)

// Runtime returns a runtime that all tests of the process share: the engine is
// compiled once. Nobody closes it.
func Runtime(t testing.TB) *sandbox.Runtime {
	t.Helper()
	rt, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

var shared = sync.OnceValues(func() (*sandbox.Runtime, error) {
	return sandbox.New(context.Background(), sandbox.Config{Ask: js.Ask, Trace: js.Trace})
})

// Build evaluates a script as a deploy does.
func Build(t testing.TB, script string) (wasm []byte, out sandbox.Outcome, err error) {
	t.Helper()
	return js.Build(t.Context(), Runtime(t), js.Script{Code: []byte(script), Map: []byte(`{"sources":["function.js"],"mappings":""}`)})
}

// Run evaluates a script and calls it once. The event is call.Event, null when it is
// empty; call.Hash and call.Load are filled in.
func Run(t testing.TB, script string, call sandbox.Call) (sandbox.Outcome, error) {
	t.Helper()
	wasm, out, err := Build(t, script)
	if err != nil {
		return out, err
	}
	return RunModule(t, wasm, call)
}

// RunModule calls a module that Build made.
func RunModule(t testing.TB, wasm []byte, call sandbox.Call) (sandbox.Outcome, error) {
	t.Helper()
	sum := sha256.Sum256(wasm)
	call.Hash = hex.EncodeToString(sum[:])
	call.Load = func(context.Context) ([]byte, error) { return wasm, nil }
	if call.Event == nil {
		call.Event = []byte("null")
	}
	return Runtime(t).Run(t.Context(), call)
}

// Eval runs an async function body with the prelude in scope and returns the JSON of
// what it returns. It fails the test when the body throws.
func Eval(t testing.TB, body string) string {
	t.Helper()
	out, err := Run(t, "export async function handler(event, context) {"+body+"\n}", sandbox.Call{})
	if err != nil {
		for _, l := range out.Logs {
			t.Logf("%s: %s", l.Level, l.Message)
		}
		t.Fatal(err)
	}
	return string(out.Output)
}
