package sandbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
)

// Any module may say that it can say where it was. Whatever it does then, its error is
// the one that it was stopped with, and nothing of it leaves the sandbox but a text.
func TestFUNC_I2_AStoppedGuestCanOnlySayWhereItWas(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	const text = "it was\x00 here\xff"
	for name, c := range map[string]struct {
		where func(g guest) *wasmtest.Code
		says  string
	}{
		"a text":      {func(g guest) *wasmtest.Code { return put(g, int32(len(text))) }, "it was\x00 here\uFFFD"},
		"a long text": {func(g guest) *wasmtest.Code { return put(g, 60_000) }, "\nit was"},
		"an endless":  {func(g guest) *wasmtest.Code { return body().Loop(wasmtest.Empty).Br(0).End() }, ""},
		"a trap":      {func(g guest) *wasmtest.Code { return body().Op(wasmtest.Unreachable) }, ""},
		"memory":      {func(g guest) *wasmtest.Code { return body().I32Const(30_000).MemoryGrow().Op(wasmtest.Drop) }, ""},
		"a query": {func(g guest) *wasmtest.Code {
			return body().I32Const(0).I32Const(1).I32Const(0).I32Const(0).Call(g.imports["db_query"]).Op(wasmtest.Drop)
		}, ""},
		"a log": {func(g guest) *wasmtest.Code { return body().I32Const(1).I32Const(0).I32Const(1).Call(g.imports["log"]) }, ""},
		"another call": {func(g guest) *wasmtest.Code {
			return body().I32Const(3).I32Const(0).I32Const(0).Call(g.imports["port_call"]).Op(wasmtest.Drop)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuest("db_query", "log", "port_put", "port_call")
			g.Data(0, []byte(text))
			g.ExportFunc(whereExport, g.Func(g.Type(nil, nil), nil, c.where(g).End()))
			wasm := g.reactor(at(1024), body().Loop(wasmtest.Empty).Br(0).End().I64Const(0))
			out, err := r.Run(t.Context(), Call{
				Hash: hash(wasm), Load: func(context.Context) ([]byte, error) { return wasm, nil }, Event: []byte("1"), Timeout: 50 * time.Millisecond,
				Query: func(context.Context, string, []byte) []byte { t.Error("a query"); return nil },
			})
			var stopped *runnel.Error
			if !errors.As(err, &stopped) || stopped.Code != runnel.CodeTimeout || !strings.Contains(stopped.Message, c.says) || c.says == "" && strings.Contains(stopped.Message, "\n") {
				t.Errorf("ended with %v", err)
			}
			if len(stopped.Message) > maxWhere+1024 || len(out.Logs) > 0 {
				t.Errorf("%d bytes of text, logs %v", len(stopped.Message), out.Logs)
			}
			t.Log(out.Duration)
		})
	}
}

// put puts n bytes from the start of the memory as the text of where it was.
func put(g guest, n int32) *wasmtest.Code {
	return body().
		I32Const(0).I32Const(n).I32Const(0).Call(g.imports["port_put"]).Op(wasmtest.Drop).
		I32Const(portWhere).I32Const(0).I32Const(0).Call(g.imports["port_call"]).Op(wasmtest.Drop)
}
