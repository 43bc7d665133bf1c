package main

import (
	"context"
	"fmt"

	"github.com/dop251/goja"
	extism "github.com/extism/go-sdk"
	quickjs "modernc.org/quickjs"
)

// helloBody is hello for engines without modules and without an event loop.
const helloBody = `(function (event) { return "hello " + event.name })({ name: "Ada" })`

const helloAnswer = "hello Ada"

// others are ways to run JavaScript that are not Runnel.
func others(b *bed) []*peer {
	return append([]*peer{
		{name: "modernc.org/quickjs, new VM", note: "the same engine in Go: in-process, no sandbox", open: anyone(func(context.Context) error {
			vm, err := quickjs.NewVM()
			if err != nil {
				return err
			}
			defer vm.Close()
			v, err := vm.Eval(helloBody, quickjs.EvalGlobal)
			return differs(fmt.Append(nil, v), []byte(helloAnswer), err)
		})},
		{name: "goja, new runtime", note: "in-process, no memory limit", open: anyone(func(context.Context) error {
			v, err := goja.New().RunString(helloBody)
			return differs(fmt.Append(nil, v), []byte(helloAnswer), err)
		})},
	}, processes(b)...)
}

// extism is a plug-in in Extism's Go SDK and in Runnel.
func (b *bed) extism() []*peer {
	const input, answer = "hello", "HELLO"
	wasm, err := b.compiled("../kits/plugin/c", nil, "clang", "--target=wasm32", "-Os", "-nostdlib", "-Wl,--no-entry", "-Wl,--strip-all", "-o", "OUT", "plugin.c")
	sdk := &peer{name: "Extism Go SDK, C plug-in", note: "with a timeout, so that it can be stopped", err: err}
	if err == nil {
		var compiled *extism.CompiledPlugin
		compiled, sdk.err = extism.NewCompiledPlugin(b.ctx, extism.Manifest{
			Wasm: []extism.Wasm{extism.WasmData{Data: wasm}}, Timeout: 60_000,
		}, extism.PluginConfig{EnableWasi: true}, nil)
		if sdk.err == nil {
			b.onClose(func() { _ = compiled.Close(b.ctx) })
			sdk.open = anyone(func(ctx context.Context) error {
				plugin, err := compiled.Instance(ctx, extism.PluginInstanceConfig{})
				if err != nil {
					return err
				}
				defer plugin.Close(ctx)
				_, out, err := plugin.Call("upper", []byte(input))
				return differs(out, []byte(answer), err)
			})
		}
	}
	return []*peer{b.function("Extism plug-in in C", "Extism's ABI", wasm, []byte(input), err), sdk}
}
