package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sandbox"
)

const hello = `export async function handler(event) { return "hello " + event.name }`

// functions are Runnel's functions in each language, each beside the same module in
// other runtimes.
func functions(b *bed) []*peer {
	script, err := b.build(hello)
	peers := []*peer{
		b.function("JavaScript", "sandboxed, stoppable, memory-limited", script, event, err),
		{name: "Runnel, JavaScript without the snapshot", note: "engine, prelude and script from scratch, and the snapshot written: a deploy", open: anyone(func(context.Context) error {
			_, err := b.build(hello)
			return err
		})},
		b.plain("JavaScript", script, event, err), b.wasmtime("JavaScript", script, event, err),
	}
	goGuest, err := b.goGuest()
	peers = append(peers, b.function("Go", "starts Go's runtime for each call", goGuest, event, err), b.plain("Go", goGuest, event, err))
	var shot []byte
	if err == nil {
		shot, _, err = b.runtime.Snapshot(b.ctx, sandbox.Snapshot{Wasm: goGuest})
	}
	peers = append(peers, b.function("Go with a snapshot", "begins where _initialize ended", shot, event, err))
	for _, g := range []struct {
		name, note string
		load       func() (wasm, event []byte, err error)
	}{
		{"C", "the work of examples/kits/c-rollup", b.cGuest},
		{"AssemblyScript", "the work of examples/kits/as-iban", b.asGuest},
		{"a few instructions", "the floor", func() ([]byte, []byte, error) { return tiny(), event, nil }},
	} {
		wasm, event, err := g.load()
		peers = append(peers, b.function(g.name, g.note, wasm, event, err), b.plain(g.name, wasm, event, err), b.wasmtime(g.name, wasm, event, err))
	}
	return append(peers, b.extism()...)
}

func (b *bed) function(name, note string, wasm, event []byte, err error) *peer {
	p := &peer{name: "Runnel, " + name, note: note, err: err}
	if err == nil {
		var call func(context.Context) error
		call, _, p.err = b.caller(wasm, event)
		p.open = anyone(call)
	}
	return p
}

// plain is the same module in wazero, which the sandbox has to be no slower than.
func (b *bed) plain(name string, wasm, event []byte, err error) *peer {
	p := &peer{name: "plain wazero, " + name, note: "the same module: no limits, not stoppable", err: err}
	if err != nil {
		return p
	}
	var want []byte
	if _, want, p.err = b.caller(wasm, event); p.err != nil {
		return p
	}
	var engine *plain
	if engine, p.err = newPlain(b.ctx, wasm); p.err != nil {
		return p
	}
	b.onClose(func() { _ = engine.runtime.Close(b.ctx) })
	p.open = anyone(func(ctx context.Context) error {
		got, _, err := engine.call(ctx, event)
		return differs(got, want, err)
	})
	return p
}

func (b *bed) wasmtime(name string, wasm, event []byte, err error) *peer {
	p := &peer{name: "wasmtime-go, " + name, note: "the same module, stoppable by epochs", err: err}
	if err != nil {
		return p
	}
	var want []byte
	if _, want, p.err = b.caller(wasm, event); p.err != nil {
		return p
	}
	var call func(context.Context) error
	call, p.err = wasmtimeCaller(wasm, event, want)
	p.open = anyone(call)
	return p
}

// tiny is the least module that is a function: it answers "hello".
func tiny() []byte {
	const answer = `"hello"`
	m := wasmtest.New()
	i32, i64 := byte(wasmtest.I32), byte(wasmtest.I64)
	m.Export("memory", wasmtest.KindMemory, m.Memory(1))
	m.Data(8, []byte(answer))
	m.ExportFunc("runnel_alloc", m.Func(m.Type(wasmtest.Types(i32), wasmtest.Types(i32)), nil, wasmtest.Body().I32Const(1024).End()))
	m.ExportFunc("handler", m.Func(m.Type(wasmtest.Types(i32, i32), wasmtest.Types(i64)), nil, wasmtest.Body().I64Const(8<<32|int64(len(answer))).End()))
	return m.Bytes()
}

func (b *bed) goGuest() ([]byte, error) {
	const source = `package main

import "unsafe"

func main() {}

var buffer []byte

//go:wasmexport runnel_alloc
func alloc(n int32) uintptr {
	buffer = make([]byte, n+1)
	return uintptr(unsafe.Pointer(&buffer[0]))
}

var answer = []byte("\"hello\"")

//go:wasmexport handler
func handler(ptr, n int32) int64 {
	return int64(uintptr(unsafe.Pointer(&answer[0])))<<32 | int64(len(answer))
}
`
	file := filepath.Join(b.dir, "main.go")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		return nil, err
	}
	return b.compiled(b.dir, []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off"},
		"go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "OUT", file)
}

// compiled runs a compiler, with the file it has to write for OUT, and returns what
// it wrote.
func (b *bed) compiled(dir string, env []string, command ...string) ([]byte, error) {
	out, err := os.CreateTemp(b.dir, "*.wasm")
	if err != nil {
		return nil, err
	}
	_ = out.Close()
	for i, arg := range command {
		if arg == "OUT" {
			command[i] = out.Name()
		}
	}
	if _, err := exec.LookPath(command[0]); err != nil {
		return nil, fmt.Errorf("%s is not installed", command[0])
	}
	cmd := exec.CommandContext(b.ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", command[0], err, text)
	}
	return os.ReadFile(out.Name())
}

const kits = "../../examples/kits/"

// firstEvent is the event of an example's first case.
func firstEvent(dir string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cases.json"))
	if err != nil {
		return nil, err
	}
	var cases []struct{ Event json.RawMessage }
	if err := json.Unmarshal(text, &cases); err != nil {
		return nil, err
	}
	return cases[0].Event, nil
}

// cGuest is what make kits left there, or is built.
func (b *bed) cGuest() (wasm, event []byte, err error) {
	dir := kits + "c-rollup"
	if event, err = firstEvent(dir); err != nil {
		return nil, nil, err
	}
	if wasm, err = os.ReadFile(dir + "/reactor.wasm"); err == nil {
		return wasm, event, nil
	}
	if wasm, err = b.compiled(dir, nil, "clang", "--target=wasm32-wasi", "-Os", "-I../../../sdk/c", "-Wl,--strip-all",
		"-mexec-model=reactor", "-DRUNNEL_REACTOR", "-o", "OUT", "rollup.c"); err != nil {
		err = fmt.Errorf("apt-get install clang lld wasi-libc libclang-rt-dev-wasm32 has what it needs: %w", err)
	}
	return wasm, event, err
}

func (b *bed) asGuest() (wasm, event []byte, err error) {
	dir := kits + "as-iban"
	if event, err = firstEvent(dir); err != nil {
		return nil, nil, err
	}
	if wasm, err = os.ReadFile(dir + "/iban.wasm"); err == nil {
		return wasm, event, nil
	}
	installed, err := install(b.ctx, "assemblyscript", "0.28.20")
	if err != nil {
		return nil, nil, err
	}
	wasm, err = b.compiled(dir, nil, "node", filepath.Join(installed, "node_modules/assemblyscript/bin/asc.js"), "iban.ts", "-o", "OUT",
		"--config", "../../../sdk/assemblyscript/asconfig.json", "--use", "abort=../../../sdk/assemblyscript/runnel/abort")
	return wasm, event, err
}
