//go:build wasip1

package reactor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"unsafe"

	runnel "github.com/runnelhq/runnel/sdk/go"
)

// What the host writes and reads has to stay where it is until the end.
var event, result []byte

//go:wasmexport runnel_alloc
func alloc(size uint32) uint32 {
	event = make([]byte, size)
	return address(event)
}

//go:wasmexport handler
func handle(_, _ uint32) uint64 {
	var err error
	if handler == nil {
		err = errors.New("no handler: call reactor.Handle in an init function")
	} else {
		result, err = runnel.Invoke(context.Background(), handler, event)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // Runnel takes the last line for the error's message
		os.Exit(1)
	}
	return uint64(address(result))<<32 | uint64(len(result))
}

//go:wasmexport runnel_snapshot
func snapshot() {
	runnel.Prepare()
	for _, prepare := range prepares {
		prepare()
	}
}

func address(b []byte) uint32 { return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
