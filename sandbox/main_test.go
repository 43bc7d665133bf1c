package sandbox

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sandbox/compile"
)

func TestMain(m *testing.M) {
	if compile.IsChild() {
		os.Exit(compile.Child())
	}
	goleak.VerifyTestMain(m)
}

// newRuntime returns a Runtime that is closed, with nothing mapped, when the test
// ends.
func newRuntime(t testing.TB, config Config) *Runtime {
	t.Helper()
	r, err := New(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := r.Mapped(); n != 0 {
			t.Errorf("%d bytes of guest memory are still mapped after Close", n)
		}
	})
	return r
}

// callOf is a call of this module with limits that suit most tests.
func callOf(wasm []byte) Call {
	return Call{
		Hash: hash(wasm), Revision: "1",
		Load:  func(context.Context) ([]byte, error) { return wasm, nil },
		Event: []byte(`{"trigger":"sql","payload":{"n":1}}`), Timeout: 10 * time.Second, Memory: 16 << 20,
	}
}

// run runs a module once.
func run(t testing.TB, r *Runtime, wasm []byte) (Outcome, error) {
	t.Helper()
	return r.Run(context.Background(), callOf(wasm))
}

// wantCode fails the test unless err is a *runnel.Error of this code.
func wantCode(t testing.TB, err error, want runnel.Code) {
	t.Helper()
	if got := runnel.CodeOf(err); err == nil || got != want {
		t.Fatalf("got error %v, want code %s", err, want)
	}
}

// guest is a module under construction with the host functions tests use often.
type guest struct {
	*wasmtest.Module
	imports map[string]uint32
}

// newGuest imports the named host functions; names are unique over both modules.
func newGuest(imports ...string) guest {
	g := guest{wasmtest.New(), map[string]uint32{}}
	for _, name := range imports {
		for _, f := range hostFunctions() {
			if f.name == name {
				t := f.meterType()
				g.imports[name] = g.ImportFunc(f.module, f.name, g.Type([]byte(t.Params), []byte(t.Results)))
			}
		}
	}
	return g
}

// command makes a WASI command of a body, with one page of memory to start with.
func (g guest) command(locals []byte, body *wasmtest.Code) []byte {
	g.Export("memory", wasmtest.KindMemory, g.Memory(1))
	g.ExportFunc("_start", g.Func(g.Type(nil, nil), locals, body.End()))
	return g.Bytes()
}

// body is short for wasmtest.Body, which most tests chain from.
func body() *wasmtest.Code { return wasmtest.Body() }

// hello is a command that writes {"hello":"world"}.
func hello() []byte {
	g := newGuest("fd_write")
	g.Data(0, []byte("\x08\x00\x00\x00\x11\x00\x00\x00"+`{"hello":"world"}`))
	return g.command(nil, body().
		I32Const(1).I32Const(0).I32Const(1).I32Const(64).Call(g.imports["fd_write"]).Op(wasmtest.Drop))
}

// spin is a command that never ends.
func spin() []byte {
	return newGuest().command(nil, body().Loop(wasmtest.Empty).Br(0).End())
}

var goGuest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "goguest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", out, "./testdata/goguest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
})

// buildGoGuest returns testdata/goguest, built once by the Go toolchain.
func buildGoGuest(t testing.TB) []byte {
	t.Helper()
	wasm, err := goGuest()
	if err != nil {
		t.Fatalf("building testdata/goguest: %v", err)
	}
	return wasm
}
