package sandbox

import "sync"

// ballast makes Go collect garbage less often than it would in a process as small as
// a worker: when there are 32 MB more than the last time, not when the heap of 5 MB has
// doubled. A call leaves 36 KB, nearly all of it wazero's, so that was after 150 calls,
// and a small call that met a collection took three times as long: the slowest in a
// hundred. It is address space that nobody touches; what it costs is the garbage
// that lies about, which may be 32 MB more.
var ballast = sync.OnceValue(func() []byte { return make([]byte, 32<<20) })
