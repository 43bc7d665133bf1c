// Package compile turns modules into native code in a child process that can be
// killed, and keeps the code on disk.
//
// Compiling cannot be interrupted from within, and what it costs is decided by
// whoever wrote the module. So a Compiler starts this program again, with limits
// on processor time, wall time, memory and output, without an environment and in a
// process group of its own, and gives it the module on standard input. The child
// leaves one file, which the Compiler takes over into its store. A Loader then has
// wazero read that file instead of compiling.
//
// A module that exceeds a limit or kills the child is refused with
// CodeInvalidModule. The refusal is kept in the store, so that no process that
// shares it tries again.
//
// # The store
//
//	DIR/ENGINE/MODULE.KEY.SUM   native code; wazero's name for it is KEY
//	DIR/ENGINE/MODULE.refused   why a module is not compiled
//	DIR/process-*/              one for each running process: children write here
//
// MODULE is the sha256 of the module's bytes and SUM that of the file. ENGINE names
// the version of wazero and, through the name that wazero gives to a module known
// to all, whatever else decides whether code can be used: a store may be shared by
// machines with different processors.
//
// Entries are executed. wazero protects them with a checksum of the code only, so
// the whole file is compared with SUM before it is used, which finds damage. It
// does not find malice: who can write to DIR owns the process. DIR must therefore
// belong to the user of this process and be writable by nobody else.
package compile
