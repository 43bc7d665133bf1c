package sandbox

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
)

// blocks is the memory that an Extism plug-in shares with its host, Extism's
// "kernel": blocks that either side allocates and both name by their address. It
// lies outside of the guest's linear memory and counts towards the same limit.
//
// All addresses come from the guest and can be anything. What keeps the books is
// here and not in the shared memory, so that a guest that writes outside of its
// blocks harms only what it wrote. Every call takes a bounded time, whatever the
// guest did before: a search in a sorted list at most.
type blocks struct {
	memory *memory
	next   uint64              // where what was never allocated begins
	all    []block             // by address
	free   [blockClasses]int32 // of each class, one more than the index of the first free block
}

// block is one allocation, and stays one when it is freed: it is used again for a
// block of the same class.
type block struct {
	address uint32
	used    uint32 // bytes asked for; 0: free
	next    int32  // of the free ones of its class, as in blocks.free
	class   int32
}

const (
	// blockGap lies in front of every block, unused. It pays for what the host
	// keeps of a block, twice over because a slice grows by copying.
	blockGap = 32
	// blockClasses is four for each power of two from 32 bytes on.
	blockClasses = 1 + 4*27
)

// newBlocks reserves the memory. It has the same limit as beside, the guest's own,
// and counts against it.
func newBlocks(beside *memory, mapped *atomic.Int64) *blocks {
	b := &blocks{memory: newMemory(beside.limit, nil, beside.pool, mapped)}
	b.memory.beside, beside.beside = beside, b.memory
	b.memory.Allocate(0, math.MaxUint64)
	return b
}

// sizeClass returns the class of a block of n bytes, at least 1, and the room that
// blocks of it have: at most a quarter more than was asked for, from 32 bytes on.
func sizeClass(n uint32) (class int32, size uint64) {
	if n <= 32 {
		return 0, 32
	}
	power := bits.Len32(n-1) - 1 // n is over 2^power, and at most twice that
	step := uint64(1) << (power - 2)
	quarter := (uint64(n-1) - 1<<power) / step
	return int32(1 + 4*(power-5) + int(quarter)), 1<<power + (quarter+1)*step
}

// alloc returns the address of n bytes, 0 for none. They hold what an earlier block
// left in them, or zeroes. Over the limit it ends the guest.
func (b *blocks) alloc(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	if n > uint64(b.memory.limit) || n > math.MaxInt32 {
		panic(outOfMemory(b.memory.limit))
	}
	class, size := sizeClass(uint32(n))
	if head := b.free[class]; head != 0 {
		found := &b.all[head-1]
		b.free[class] = found.next
		found.used = uint32(n)
		return uint64(found.address)
	}
	address := b.next + blockGap
	if end := address + size; end > uint64(len(b.memory.bytes)) {
		b.memory.Reallocate((end + pageSize - 1) / pageSize * pageSize)
	}
	b.next = address + size
	b.all = append(b.all, block{address: uint32(address), used: uint32(n), class: class})
	return address
}

// find returns the index of the block in use at exactly this address.
func (b *blocks) find(address uint64) (i int, ok bool) {
	i, ok = slices.BinarySearchFunc(b.all, address, func(e block, address uint64) int {
		return cmp.Compare(uint64(e.address), address)
	})
	return i, ok && b.all[i].used > 0
}

// release frees the block at this address. What is no block in use is left alone.
func (b *blocks) release(address uint64) {
	i, ok := b.find(address)
	if !ok {
		return
	}
	freed := &b.all[i]
	freed.used, freed.next = 0, b.free[freed.class]
	b.free[freed.class] = int32(i + 1)
}

// length is how many bytes the block at this address has, 0 when there is none.
func (b *blocks) length(address uint64) uint64 {
	if i, ok := b.find(address); ok {
		return uint64(b.all[i].used)
	}
	return 0
}

// view returns n bytes at any address, not a copy. It is false for a range that is
// not wholly inside.
func (b *blocks) view(address, n uint64) ([]byte, bool) {
	size := uint64(len(b.memory.bytes))
	if n > size || address > size-n {
		return nil, false
	}
	return b.memory.bytes[address : address+n : address+n], true
}

// put makes a block of these bytes.
func (b *blocks) put(data []byte) uint64 {
	address := b.alloc(uint64(len(data)))
	if room, ok := b.view(address, uint64(len(data))); ok {
		copy(room, data)
	}
	return address
}

// reset frees all blocks and makes all bytes zero, by giving the memory back and
// reserving it anew: clearing what a guest allocated and never touched would take
// memory and time.
func (b *blocks) reset() {
	mapped, beside := b.memory.mapped, b.memory.beside
	peak := b.memory.peak
	b.memory.Free()
	*b = *newBlocks(beside, mapped)
	b.memory.peak = peak
}
