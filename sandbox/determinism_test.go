package sandbox

import (
	"testing"

	"github.com/runnelhq/runnel/internal/wasmtest"
)

// dice is a command that prints 16 random letters as a JSON string.
func dice() []byte {
	g := newGuest("random_get", "fd_write")
	g.Data(0, []byte("\x08\x00\x00\x00\x12\x00\x00\x00\"________________\""))
	letter := func(c *wasmtest.Code) *wasmtest.Code { // at 9 + local 0
		return c.LocalGet(0).LocalGet(0).I32Load8(9).I32Const(15).Op(wasmtest.I32And).I32Const('A').Op(wasmtest.I32Add).I32Store8(9)
	}
	return g.command(wasmtest.Types(wasmtest.I32), letter(body().
		I32Const(9).I32Const(16).Call(g.imports["random_get"]).Op(wasmtest.Drop).
		Loop(wasmtest.Empty)).
		LocalGet(0).I32Const(1).Op(wasmtest.I32Add).LocalTee(0).I32Const(16).Op(wasmtest.I32LtU).BrIf(0).End().
		I32Const(1).I32Const(0).I32Const(1).I32Const(64).Call(g.imports["fd_write"]).Op(wasmtest.Drop))
}

// The same module with the same event gives another result each time: nothing
// seeds or records what a function draws from, so running an invocation again is
// a new invocation and not a replay of the first.
func TestFUNC_E3_TheSameEventTwiceIsTwoInvocations(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	wasm := dice()
	seen := make(map[string]bool)
	for range 20 {
		out, err := run(t, r, wasm)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Output) != 18 || seen[string(out.Output)] {
			t.Fatalf("got %s after %d others", out.Output, len(seen))
		}
		seen[string(out.Output)] = true
	}
}
