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

var (
	handler  runnel.Handler
	prepares []func()
)

// Handle says which handler is called. An init function calls it: main of a reactor
// does not run.
func Handle(h runnel.Handler) { handler = h }

// Prepare adds to what is done when a snapshot is taken, which is when a function with
// "snapshot": true is deployed; each of its calls then begins where that ended. Do
// there what the first call of a process pays for: compile regular expressions,
// encode and decode a value of each type with encoding/json. The host's functions,
// environment included, are not there.
//
// Without a snapshot nothing of it is done: a handler must not depend on it.
func Prepare(f func()) { prepares = append(prepares, f) }
