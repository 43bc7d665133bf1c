package sandbox

import (
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/image"
)

// pageSize is the WebAssembly page.
const pageSize = 64 << 10

// memory is the linear memory of one instance. It implements wazero's
// MemoryAllocator and LinearMemory: address space for the limit is reserved once,
// so growing moves nothing and costs nothing.
//
// wazero forgets to free the memory of an instance that failed to start, so the
// invocation holds it too and frees it whatever happened.
type memory struct {
	limit    int64
	image    *image.Image  // what it holds at the start; nil: nothing
	pool     *pool         // where it comes from and goes; nil: the system
	mapped   *atomic.Int64 // of the Runtime: bytes reserved by live instances
	reserved []byte        // the whole reservation
	bytes    []byte        // the part the guest has; nil before Reallocate and after Free
	peak     int64         // of this and beside together; stays readable after Free
	beside   *memory       // counts towards the same limit; nil: nothing
	freed    atomic.Bool
}

func newMemory(limit int64, img *image.Image, p *pool, mapped *atomic.Int64) *memory {
	return &memory{limit: limit - limit%pageSize, image: img, pool: p, mapped: mapped}
}

// Allocate reserves the address space. wazero calls it once per instance, and
// outside of its own recover: a panic here leaves InstantiateModule.
func (m *memory) Allocate(_, maximum uint64) experimental.LinearMemory {
	size := min(maximum, uint64(m.limit))
	if size > 0 {
		var b []byte
		var err error
		if m.pool != nil {
			b, err = m.pool.take(int64(size), m.image)
		} else {
			b, err = reserve(int(size))
		}
		if err != nil {
			panic(runnel.Errorf(runnel.CodeUnavailable, "the worker has no address space for another instance: try again later, or lower RUNNEL_WORKERS").Because(err))
		}
		m.reserved = b
		m.mapped.Add(int64(size))
	}
	return m
}

// Reallocate makes size bytes visible to the guest. Over the limit it panics with
// OutOfMemory rather than let memory.grow answer -1: FUNC-I2 asks for the error,
// and most languages turn -1 into an anonymous trap.
func (m *memory) Reallocate(size uint64) []byte {
	if m.freed.Load() {
		return nil
	}
	if m.bytes == nil && m.image != nil {
		// The core's own memory starts empty: wazero takes what it is given.
		size = max(size, uint64(m.image.Pages)*pageSize)
	}
	total := size
	if m.beside != nil {
		total += uint64(len(m.beside.bytes))
	}
	if total > uint64(m.limit) {
		panic(outOfMemory(m.limit))
	}
	if size > uint64(len(m.reserved)) {
		return nil // over the module's own declared maximum: wazero has refused this already
	}
	m.bytes = m.reserved[:size:size]
	m.peak = max(m.peak, int64(total))
	return m.bytes
}

// Free returns the memory to the pool or the system. Freeing twice is a no-op.
func (m *memory) Free() {
	if !m.freed.CompareAndSwap(false, true) {
		return
	}
	b, used := m.reserved, m.bytes
	m.reserved, m.bytes = nil, nil
	if b != nil {
		if m.pool != nil && (m.image != nil || len(used) <= poolPlain) {
			m.pool.put(b, len(used), m.image) // memory never shrinks
		} else {
			giveBack(used)
			release(b)
		}
		m.mapped.Add(-int64(len(b)))
	}
}

// view returns n bytes of guest memory at ptr, not a copy. It is false for any
// range that is not wholly inside, and for every range of a freed memory.
func (m *memory) view(ptr, n uint32) ([]byte, bool) {
	end := uint64(ptr) + uint64(n)
	if end > uint64(len(m.bytes)) {
		return nil, false
	}
	return m.bytes[ptr:end:end], true
}

func outOfMemory(limit int64) *runnel.Error {
	return runnel.Errorf(runnel.CodeOutOfMemory, "the function needs more than its memory limit of %s: raise max_memory, or use less memory", byteSize(limit))
}
