package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"

	"github.com/runnelhq/runnel"
)

// The import modules of Extism plug-ins: Extism's own, and ours, which follow its
// rules for functions that a host adds.
const (
	extismModule     = "extism:host/env"
	extismUserModule = "extism:host/user"
)

// Bounds of what a plug-in keeps with the host.
const (
	maxVars        = 1 << 20 // bytes of all names and values, Extism's own default
	varCost        = 64      // what a variable counts besides them
	maxErrorText   = 2 << 10 // bytes of error_set that are shown
	maxExtismQuery = maxQuery + maxParams
)

// plugin is what an Extism plug-in has on the host's side for one invocation.
// Addresses are those of its blocks.
type plugin struct {
	blocks  *blocks
	input   span
	output  span
	failure span // of error_set
	vars    map[string][]byte
	varSize int
	status  int    // of the last http_request
	headers []byte // of its response, a JSON object
}

// span is a range of blocks' memory.
type span struct{ address, length uint64 }

// startPlugin hands over the event.
func (inv *invocation) startPlugin() {
	p := &plugin{blocks: newBlocks(inv.memory, inv.memory.mapped), vars: map[string][]byte{}}
	inv.plugin = p // before what may panic, so that the memory is freed
	p.input = span{p.blocks.put(inv.call.Event), uint64(len(inv.call.Event))}
}

// runExtism calls an Extism plug-in's function. Languages that have to be set up
// first are, as Extism does it: _initialize, then hs_init (Haskell), or
// __wasm_call_ctors where there is neither.
func (inv *invocation) runExtism(ctx context.Context, instance api.Module, entry string) ([]byte, error) {
	haskell := instance.ExportedFunction(haskellInit)
	initialize := instance.ExportedFunction(reactorInit)
	if initialize == nil && haskell == nil {
		initialize = instance.ExportedFunction(constructors)
	}
	if entry == commandStart {
		initialize, haskell = nil, nil // _start does it
	}
	if initialize != nil {
		if _, err := inv.invoke(ctx, initialize); err != nil {
			return nil, err
		}
	}
	if haskell != nil {
		if _, err := inv.invoke(ctx, haskell, 0, 0); err != nil {
			return nil, err
		}
	}
	results, err := instance.ExportedFunction(entry).Call(ctx)
	var exited exit
	if errors.As(err, &exited) && exited.code == 0 {
		err = nil
	}
	if err != nil {
		return nil, inv.failure(err)
	}
	if err := inv.interrupted(time.Now()); err != nil {
		return nil, err
	}
	p := inv.plugin
	if p.failure.length > 0 {
		text, _ := p.blocks.view(p.failure.address, p.failure.length)
		return nil, runnel.Errorf(runnel.CodeFunctionError, "%s", excerpt(string(text[:min(len(text), maxErrorText+1)]), maxErrorText))
	}
	if len(results) > 0 && uint32(results[0]) != 0 {
		return nil, runnel.Errorf(runnel.CodeFunctionError, "%s returned %d and set no error: return 0, or say what failed with error_set", entry, int32(uint32(results[0])))
	}
	if p.output.length > runnel.MaxPayloadSize {
		return nil, resultTooLarge()
	}
	output, _ := p.blocks.view(p.output.address, p.output.length)
	return extismResult(output)
}

// extismResult makes JSON of a plug-in's output, which Extism leaves free: what is
// JSON already stays, other text becomes a string.
func extismResult(output []byte) ([]byte, error) {
	trimmed := bytes.TrimSpace(output)
	switch {
	case len(trimmed) == 0:
		return nil, nil
	case !utf8.Valid(output):
		return nil, runnel.Errorf(runnel.CodeFunctionError, `the plug-in's output is neither JSON nor text: for other bytes answer {"statusCode":200,"headers":{"content-type":"..."},"body":"<base64>","is_base64":true}`)
	case json.Valid(trimmed):
		return bytes.Clone(trimmed), nil
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(string(output)); err != nil {
		return nil, internal(err)
	}
	if text.Len() > runnel.MaxPayloadSize {
		return nil, resultTooLarge()
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}
