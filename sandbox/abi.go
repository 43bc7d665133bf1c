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

// The names a guest exports.
const (
	commandStart  = "_start"
	reactorInit   = "_initialize"
	reactorShot   = "runnel_snapshot" // optional: called before a snapshot is taken
	reactorAlloc  = "runnel_alloc"
	reactorHandle = "handler"
	memoryExport  = "memory"

	// overflowExport is a global that a guest with a stack in its own memory sets
	// before it traps because that is full.
	overflowExport = "runnel_overflow"
)

// runCommand runs a WASI command: the event on stdin, the result on stdout. It
// succeeds by returning from _start or with proc_exit(0).
func (inv *invocation) runCommand(ctx context.Context, instance api.Module) ([]byte, error) {
	_, err := instance.ExportedFunction(commandStart).Call(ctx)
	var exited exit
	if errors.As(err, &exited) && exited.code == 0 {
		err = nil
	}
	if err != nil {
		return nil, inv.failure(err)
	}
	return inv.stdout, inv.interrupted(time.Now())
}

// runReactor runs a handler reactor: runnel_alloc gives the event a place, handler
// returns where the result is as ptr<<32 | len.
func (inv *invocation) runReactor(ctx context.Context, instance api.Module) ([]byte, error) {
	if f := instance.ExportedFunction(reactorInit); f != nil {
		if _, err := inv.invoke(ctx, f); err != nil {
			return nil, err
		}
	}
	event := inv.call.Event
	size := uint32(len(event))
	results, err := inv.invoke(ctx, instance.ExportedFunction(reactorAlloc), uint64(size))
	if err != nil {
		return nil, err
	}
	ptr := uint32(results[0])
	room, ok := inv.memory.view(ptr, size)
	if !ok {
		return nil, runnel.Errorf(runnel.CodeFunctionError, "%s(%d) returned %d, and the event does not fit there: return the address of that many free bytes", reactorAlloc, size, ptr)
	}
	copy(room, event)
	results, err = inv.invoke(ctx, instance.ExportedFunction(reactorHandle), uint64(ptr), uint64(size))
	if err != nil {
		return nil, err
	}
	if inv.port.ended {
		return inv.port.result, inv.port.failure
	}
	ptr, size = uint32(results[0]>>32), uint32(results[0])
	if size > runnel.MaxPayloadSize {
		return nil, resultTooLarge()
	}
	result, ok := inv.memory.view(ptr, size)
	if !ok {
		return nil, runnel.Errorf(runnel.CodeFunctionError, "%s returned a result of %d bytes at address %d, outside of its memory: return ptr<<32 | len", reactorHandle, size, ptr)
	}
	return bytes.Clone(result), nil
}

// checkResult returns the result a caller gets: JSON, or nil for nothing.
func checkResult(b []byte, kind Kind) ([]byte, error) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return nil, nil
	}
	if json.Valid(b) && utf8.Valid(b) {
		return b, nil
	}
	// Cut before quoting: quoting 6 MB to show 80 bytes is work for nothing.
	start := excerpt(string(b[:min(len(b), 81)]), 80)
	if kind == Command {
		return nil, runnel.Errorf(runnel.CodeFunctionError, "the function wrote %q to stdout, which is not JSON: write only the result there, as UTF-8 JSON, and everything else to stderr", start)
	}
	return nil, runnel.Errorf(runnel.CodeFunctionError, "the function returned %q, which is not JSON: return the result as UTF-8 JSON, or a length of 0 for none", start)
}

func resultTooLarge() *runnel.Error {
	return runnel.Errorf(runnel.CodeFunctionError, "the function's result is larger than %s: return less, or store it and return where", byteSize(runnel.MaxPayloadSize))
}
