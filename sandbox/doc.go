// Package sandbox runs one WebAssembly module once, inside limits.
//
// Check decides at deploy whether a module can run. A Runtime compiles modules,
// keeps them in a bounded cache and runs each call in a fresh instance with a
// memory limit, a timeout, a stack limit, capped output and capped logs. The
// package knows nothing of Postgres or HTTP.
//
// # What a guest can reach
//
// Its own memory, and the host functions in wasi.go and host.go. Nothing else
// links: a module that imports any other name is refused. There are no files and
// no sockets; the three standard streams are the event, the result and the log.
//
// # How a guest is stopped
//
// Stopping is always in-thread. The meter rewrites every module so that it calls
// mr.tick after a slice of work; tick looks at the deadline, the caller's context
// and the depth of the native stack, and panics with a *runnel.Error to end the
// guest. wazero unwinds its own stack and returns that error. A host function
// looks at the deadline before it works, and the ones that wait (poll_oneoff) wait
// no longer than it. Only a single bulk instruction (memory.fill) cannot be
// interrupted; the memory limit bounds it.
//
// # Who compiles
//
// Compiling cannot be stopped, so with a Compiler (package compile) all but small
// modules are compiled by a child process with limits, and only loaded here.
//
// # Who owns guest memory
//
// Every instance has one anonymous mapping, held by the invocation and not only
// by wazero, so that it is given back exactly once however the call ends. Host
// functions read guest memory through that handle, which is empty after Free.
package sandbox
