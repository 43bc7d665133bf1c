// Package js turns JavaScript and TypeScript into modules that the sandbox runs like
// any other: QuickJS-NG, the prelude with the web's interfaces, and the function's
// own code, evaluated once at deploy and kept as the memory that instances start
// with.
//
// Such a module is a handler reactor (memory, runnel_alloc, handler) that needs the
// port of package sandbox and a few functions of WASI. It carries its own code, so
// its hash says all that will run, also after Runnel was updated. The sandbox takes
// it apart into the engine, which all such modules share compiled, and its memory.
// Nothing depends on the module being one that this package made: a forged one is a
// guest like any other.
//
// The pieces: link.go and glue.go make the engine out of QuickJS; channel.js is the
// boot script, prelude/ what functions find in their global scope; bundle.go makes
// one script of a function's sources; build.go evaluates it; trace.go maps stacks
// back to the sources.
package js
