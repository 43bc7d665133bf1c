package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// plain runs a module in wazero as it comes: nothing can stop it.
type plain struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	config   wazero.ModuleConfig
	memory   *memory // nil: wazero's
}

type hostKey struct{}

func newPlain(ctx context.Context, wasm []byte) (*plain, error) {
	p := &plain{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, p.runtime); err != nil {
		return nil, err
	}
	compiled, err := p.runtime.CompileModule(ctx, wasm)
	if err != nil {
		return nil, err
	}
	builder := p.runtime.NewHostModuleBuilder("runnel")
	for _, f := range compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if module != "runnel" {
			continue
		}
		builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			memory, _ := m.Memory().Read(0, m.Memory().Size())
			v, err := ctx.Value(hostKey{}).(*host).call(name, memory, stack)
			if err != nil {
				panic(err)
			}
			if len(stack) > 0 {
				stack[0] = uint64(v)
			}
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		return nil, err
	}
	p.compiled = compiled
	p.config = wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader).WithSysWalltime().WithSysNanotime()
	return p, nil
}

// call returns the answer, and how long the handler took without the instance's start.
func (p *plain) call(ctx context.Context, event []byte) (answer []byte, took time.Duration, err error) {
	h := &host{}
	ctx = context.WithValue(ctx, hostKey{}, h)
	if p.memory != nil {
		ctx = experimental.WithMemoryAllocator(ctx, p.memory)
	}
	m, err := p.runtime.InstantiateModule(ctx, p.compiled, p.config)
	if err != nil {
		return nil, 0, err
	}
	defer m.Close(ctx)
	if f := m.ExportedFunction("_initialize"); f != nil {
		if _, err := f.Call(ctx); err != nil {
			return nil, 0, err
		}
	}
	at, err := m.ExportedFunction("runnel_alloc").Call(ctx, uint64(len(event)))
	if err != nil {
		return nil, 0, err
	}
	m.Memory().Write(uint32(at[0]), event)
	began := time.Now()
	result, err := m.ExportedFunction("handler").Call(ctx, at[0], uint64(len(event)))
	took = time.Since(began)
	if err != nil || h.done {
		return h.output, took, orFirst(h.err, err)
	}
	b, ok := m.Memory().Read(uint32(result[0]>>32), uint32(result[0]))
	if !ok {
		return nil, took, fmt.Errorf("the handler returned %#x", result[0])
	}
	return bytes.Clone(b), took, nil
}

func orFirst(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// memory is linear memory that stays resident from one instance to the next, as the
// sandbox's does, so that of two engines only the engines differ. One at a time.
type memory struct {
	bytes []byte
	used  uint64
}

func newMemory() (*memory, error) {
	b, err := syscall.Mmap(-1, 0, 256<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	return &memory{bytes: b}, err
}

func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

func (m *memory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.bytes)) {
		return nil
	}
	m.used = max(m.used, size)
	return m.bytes[:size]
}

func (m *memory) Free() { clear(m.bytes[:m.used]); m.used = 0 }
