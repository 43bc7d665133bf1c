// Package reactor makes a handler reactor of a function: a module that is
// initialised and then called, without standard input and output.
//
//	func init() { reactor.Handle(handle) }
//
//	func main() {}
//
// Build it with the standard toolchain, Go 1.24 or newer:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' -o function.wasm .
package reactor

import runnel "github.com/runnelhq/runnel/sdk/go"

var handler runnel.Handler

// Handle says which handler is called. An init function calls it: main of a reactor
// does not run.
func Handle(h runnel.Handler) { handler = h }
