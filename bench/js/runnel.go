package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js"
)

const (
	metered   = "runnel"
	unmetered = "the same engine, unstoppable"
)

var event = []byte(`{"name":"Ada"}`)

// newRuntime is a worker's sandbox.
func newRuntime(ctx context.Context) (*sandbox.Runtime, error) {
	return sandbox.New(ctx, sandbox.Config{Ask: js.Ask, Trace: js.Trace})
}

// built is a script as a deploy makes it.
func built(ctx context.Context, rt *sandbox.Runtime, source string) ([]byte, error) {
	script, err := js.Translate("function.js", []byte(source))
	if err != nil {
		return nil, err
	}
	wasm, _, err := js.Build(ctx, rt, script)
	return wasm, err
}

// caller calls a module as a worker does.
func caller(rt *sandbox.Runtime, wasm []byte, timeout time.Duration) func(context.Context) error {
	sum := sha256.Sum256(wasm)
	call := sandbox.Call{
		Hash: hex.EncodeToString(sum[:]), Event: event, Timeout: timeout,
		Load: func(context.Context) ([]byte, error) { return wasm, nil },
	}
	return func(ctx context.Context) error {
		_, err := rt.Run(ctx, call)
		return err
	}
}

// plain runs a module of a script in a wazero of its own: without the meter, so that
// nothing can stop it, and with the few host functions that a handler without host
// calls needs. It is what "runs in another runtime" takes.
type plain struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
}

type plainState struct {
	args [][]byte
	text []byte
	done bool
	err  error
}

type plainKey struct{}

func newPlain(ctx context.Context, wasm []byte) (*plain, error) {
	p := &plain{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())}
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	type function struct {
		params []api.ValueType
		call   func(s *plainState, m api.Memory, a []uint64) uint32
	}
	runnel := map[string]function{
		"port_put": {[]api.ValueType{i32, i32, i32}, func(s *plainState, m api.Memory, a []uint64) uint32 {
			b, _ := m.Read(uint32(a[0]), uint32(a[1]))
			s.args = append(s.args, append([]byte(nil), b...))
			return 0
		}},
		"port_call": {[]api.ValueType{i32, i32, i32}, func(s *plainState, m api.Memory, a []uint64) uint32 { return s.portCall(uint32(a[0])) }},
		"result_read": {[]api.ValueType{i32, i32}, func(s *plainState, m api.Memory, a []uint64) uint32 {
			m.Write(uint32(a[0]), s.text)
			return uint32(len(s.text))
		}},
	}
	wasi := map[string]function{
		"random_get": {[]api.ValueType{i32, i32}, func(s *plainState, m api.Memory, a []uint64) uint32 {
			b, _ := m.Read(uint32(a[0]), uint32(a[1]))
			rand.Read(b)
			return 0
		}},
		"clock_time_get": {[]api.ValueType{i32, i64, i32}, func(s *plainState, m api.Memory, a []uint64) uint32 {
			b, _ := m.Read(uint32(a[2]), 8)
			binary.LittleEndian.PutUint64(b, uint64(time.Now().UnixNano()))
			return 0
		}},
	}
	compiled, err := p.runtime.CompileModule(ctx, wasm)
	if err != nil {
		return nil, err
	}
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		b := builders[module]
		if b == nil {
			b = p.runtime.NewHostModuleBuilder(module)
			builders[module] = b
		}
		known, ok := map[string]map[string]function{"runnel": runnel, "wasi_snapshot_preview1": wasi}[module][name]
		if !ok {
			known.call = func(*plainState, api.Memory, []uint64) uint32 { return 8 } // BADF
		}
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			v := known.call(ctx.Value(plainKey{}).(*plainState), m.Memory(), stack)
			if len(stack) > 0 {
				stack[0] = uint64(v)
			}
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return nil, err
		}
	}
	p.compiled = compiled
	return p, nil
}

func (s *plainState) portCall(what uint32) uint32 {
	args := s.args
	s.args = nil
	none := ^uint32(0)
	answer := func(text string) uint32 {
		s.text = []byte(text)
		return uint32(len(text))
	}
	switch what {
	case 3: // wait
		if s.done {
			return 0
		}
		s.err, s.done = errors.New("the handler does not end"), true
		return 0
	case 5:
		panic(fmt.Errorf("thrown: %s", args))
	case 7: // bytes at which to collect garbage
		return 32 << 20
	case 8: // bytes of stack
		return 640 << 10
	}
	if len(args) == 0 {
		return none
	}
	switch string(args[0]) {
	case "env", "call":
		return answer("{}")
	case "done":
		s.done = true
	case "fail":
		s.done, s.err = true, fmt.Errorf("failed: %s", args[1])
	}
	return 0
}

func (p *plain) call(ctx context.Context) error {
	s := &plainState{}
	ctx = context.WithValue(ctx, plainKey{}, s)
	m, err := p.runtime.InstantiateModule(ctx, p.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader))
	if err != nil {
		return err
	}
	defer m.Close(ctx)
	at, err := m.ExportedFunction("runnel_alloc").Call(ctx, uint64(len(event)))
	if err != nil {
		return err
	}
	m.Memory().Write(uint32(at[0]), event)
	if _, err := m.ExportedFunction("handler").Call(ctx, at[0], uint64(len(event))); err != nil {
		return err
	}
	return s.err
}
