//go:build cgo && linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"math"

	"github.com/bytecodealliance/wasmtime-go/v39"
)

// wasmtimeCaller runs a module in Wasmtime in a store and an instance of its own, as
// one that can be stopped (by epochs), and compares with an answer.
func wasmtimeCaller(wasm, event, answer []byte) (func(context.Context) error, error) {
	config := wasmtime.NewConfig()
	config.SetEpochInterruption(true)
	engine := wasmtime.NewEngineWithConfig(config)
	module, err := wasmtime.NewModule(engine, wasm)
	if err != nil {
		return nil, err
	}
	linker := wasmtime.NewLinker(engine)
	if err := linker.DefineWasi(); err != nil {
		return nil, err
	}
	for _, i := range module.Imports() {
		if i.Module() != "runnel" {
			continue
		}
		name, typ := *i.Name(), i.Type().FuncType()
		results := len(typ.Results())
		err := linker.FuncNew("runnel", name, typ, func(c *wasmtime.Caller, args []wasmtime.Val) ([]wasmtime.Val, *wasmtime.Trap) {
			a := make([]uint64, len(args))
			for i, v := range args {
				if v.Kind() == wasmtime.KindI64 {
					a[i] = uint64(v.I64())
				} else {
					a[i] = uint64(uint32(v.I32()))
				}
			}
			v, err := c.Data().(*host).call(name, c.GetExport("memory").Memory().UnsafeData(c), a)
			if err != nil {
				return nil, wasmtime.NewTrap(err.Error())
			}
			if results == 0 {
				return nil, nil
			}
			return []wasmtime.Val{wasmtime.ValI32(int32(v))}, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return func(context.Context) error {
		h := &host{}
		store := wasmtime.NewStoreWithData(engine, h)
		defer store.Close()
		store.SetWasi(wasmtime.NewWasiConfig())
		store.SetEpochDeadline(math.MaxInt32)
		instance, err := linker.Instantiate(store, module)
		if err != nil {
			return err
		}
		if f := instance.GetFunc(store, "_initialize"); f != nil {
			if _, err := f.Call(store); err != nil {
				return err
			}
		}
		at, err := instance.GetFunc(store, "runnel_alloc").Call(store, int32(len(event)))
		if err != nil {
			return err
		}
		memory := instance.GetExport(store, "memory").Memory()
		copy(memory.UnsafeData(store)[uint32(at.(int32)):], event)
		result, err := instance.GetFunc(store, "handler").Call(store, at, int32(len(event)))
		if err != nil || h.done {
			return differs(h.output, answer, orFirst(h.err, err))
		}
		r, b := uint64(result.(int64)), memory.UnsafeData(store)
		if r>>32+uint64(uint32(r)) > uint64(len(b)) {
			return fmt.Errorf("the handler returned %#x", r)
		}
		return differs(bytes.Clone(b[r>>32:][:uint32(r)]), answer, nil)
	}, nil
}
