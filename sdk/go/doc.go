// Package runnel is for functions written in Go that run on Runnel.
//
//	package main
//
//	import (
//		"context"
//
//		runnel "github.com/runnelhq/runnel/sdk/go"
//	)
//
//	func handle(ctx context.Context, e runnel.Event) (any, error) {
//		name := e.HTTP.Query.Get("name")
//		return map[string]string{"hello": name}, nil
//	}
//
//	func main() { runnel.Handle(handle) }
//
// Build it as a WASI command, which `runnel deploy DIR` does by itself:
//
//	GOOS=wasip1 GOARCH=wasm go build -ldflags='-s -w' -o function.wasm .
//
// Package reactor is the other form: its module is initialised and then called.
//
// On other platforms the package compiles too, so that handlers are tested like any
// Go code: Fake plays the host.
package runnel
