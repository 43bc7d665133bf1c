package js

import (
	"encoding/binary"

	"github.com/runnelhq/runnel/sandbox/image"
)

// The heap is that of dlmalloc, as wasi-libc has it: chunks one behind the other,
// each with its size and two flags in front.
//
//	at+0  size of the chunk in front of it, when that one is free
//	at+4  size of this one, a multiple of 8, and the flags
//	at+8  what the program has there; of a free one, its neighbours in lists and trees
//
// The last free chunk is what the heap grows from; behind it is a foot that ends with
// the memory.
const (
	firstChunk  = newHeap + 8 // so that what the program has begins at a multiple of 16
	chunkInUse  = 2           // flag
	frontInUse  = 1           // flag: the chunk in front of this one is in use
	chunkFlags  = 7
	chunkLeast  = 16
	chunkFields = 32 // of a free chunk: bytes that the allocator reads
)

// clean sets to zero what a call has no use for: the stack, which is empty, and what
// was freed, two thirds of the heap after a script was compiled. What is zero is not
// copied for each call.
func clean(memory []byte) {
	clear(memory[hardLimit-hardZone : newHeap])
	free, ok := freeChunks(memory)
	if !ok {
		return // the image works as well, and is larger
	}
	for _, c := range free {
		clear(memory[c[0]:c[1]])
	}
}

// freeChunks returns where free chunks hold nothing that the allocator reads. It is
// false for a heap that is not one chunk behind the other up to its end.
func freeChunks(memory []byte) (free [][2]int, ok bool) {
	at, front := firstChunk, true
	for at+chunkFields <= len(memory) {
		head := binary.LittleEndian.Uint32(memory[at+4:])
		size, used := int(head&^chunkFlags), head&chunkInUse != 0
		if size < chunkLeast || size > len(memory)-at || (head&frontInUse != 0) != front {
			return nil, false
		}
		if at+size == len(memory) {
			return free, !used && !front && size < image.PageSize // the foot
		}
		if !used && size > chunkFields {
			free = append(free, [2]int{at + chunkFields, at + size})
		}
		at, front = at+size, used
	}
	return nil, false
}
