package sandbox

import (
	"bytes"
	"encoding/binary"
	"math"
	"sync/atomic"
	"testing"

	"github.com/runnelhq/runnel"
)

// newTestBlocks returns blocks beside a memory of one page.
func newTestBlocks(t testing.TB, limit int64) *blocks {
	var mapped atomic.Int64
	guest := newMemory(limit, nil, nil, &mapped)
	guest.Allocate(0, math.MaxUint64)
	guest.Reallocate(pageSize)
	b := newBlocks(guest, &mapped)
	t.Cleanup(func() {
		guest.Free()
		b.memory.Free()
		if n := mapped.Load(); n != 0 {
			t.Errorf("%d bytes are still mapped", n)
		}
	})
	return b
}

func TestSizeClassesFit(t *testing.T) {
	t.Parallel()
	last, room := int32(-1), uint64(0)
	for n := uint32(1); n < 1<<17; n++ {
		class, size := sizeClass(n)
		if size < uint64(n) || size%8 != 0 || n > 32 && size > uint64(n)+uint64(n)/4+8 {
			t.Fatalf("%d bytes get %d", n, size)
		}
		if class != last && class != last+1 || class == last && size != room || class != last && size <= room {
			t.Fatalf("%d bytes are of class %d with %d bytes, after class %d with %d", n, class, size, last, room)
		}
		last, room = class, size
	}
	if class, size := sizeClass(math.MaxInt32); class >= blockClasses || size < math.MaxInt32 {
		t.Errorf("the largest block is of class %d of %d, with %d bytes", class, blockClasses, size)
	}
}

func TestFUNC_I2_ExtismMemoryCountsTowardsTheLimit(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{1 << 20, 1<<20 - pageSize, 1 << 31, 1<<32 + 1, 1 << 63, math.MaxUint64} {
		b := newTestBlocks(t, 1<<20)
		err := catch(func() { b.alloc(n) })
		wantCode(t, err, runnel.CodeOutOfMemory)
	}
	// What the guest takes is not there for blocks, and the other way around.
	b := newTestBlocks(t, 1<<20)
	b.alloc(512 << 10)
	wantCode(t, catch(func() { b.memory.beside.Reallocate(512 << 10) }), runnel.CodeOutOfMemory)
	b.memory.beside.Reallocate(256 << 10)
	wantCode(t, catch(func() { b.alloc(300 << 10) }), runnel.CodeOutOfMemory)
	if got := max(b.memory.peak, b.memory.beside.peak); got < 768<<10 || got > 1<<20 {
		t.Errorf("the peak is %d bytes", got)
	}
	// Small blocks are counted with what the host keeps of them.
	b = newTestBlocks(t, 1<<20)
	n := 0
	wantCode(t, catch(func() {
		for ; ; n++ {
			b.alloc(1)
		}
	}), runnel.CodeOutOfMemory)
	if kept := cap(b.all) * 16; kept > 1<<20 {
		t.Errorf("the host keeps %d bytes for %d blocks of one byte", kept, n)
	}
}

// catch returns the error that f panics with.
func catch(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fromPanic(p)
		}
	}()
	f()
	return nil
}

func TestFreedBlocksAreUsedAgain(t *testing.T) {
	t.Parallel()
	b := newTestBlocks(t, 1<<20)
	for i := range uint64(100_000) {
		b.release(b.alloc(1 + i%5000))
	}
	if b.next > 100<<10 {
		t.Errorf("blocks of at most 5000 bytes, one at a time, took %d bytes", b.next)
	}
	one := b.alloc(100)
	b.release(one)
	b.release(one)
	if two, three := b.alloc(100), b.alloc(100); two == three {
		t.Error("a block that was freed twice was given out twice")
	}
}

func TestExtismResetFreesAndZeroes(t *testing.T) {
	t.Parallel()
	b := newTestBlocks(t, 1<<20)
	at := b.put([]byte("secret"))
	b.alloc(600 << 10)
	b.reset()
	if n := len(b.memory.bytes); n != 0 || b.length(at) != 0 {
		t.Errorf("%d bytes and a block of %d after reset", n, b.length(at))
	}
	again := b.alloc(6)
	if v, _ := b.view(again, 6); !bytes.Equal(v, make([]byte, 6)) {
		t.Errorf("a block holds %q after reset", v)
	}
	b.alloc(600 << 10) // there is room again
}

// FuzzFUNC_I1_ExtismMemory plays a hostile plug-in and compares with a model: blocks
// in use never overlap and keep what was written, whatever else was freed, looked up
// or named at any address; memory stays within its limit.
func FuzzFUNC_I1_ExtismMemory(f *testing.F) {
	step := func(op byte, n uint64) []byte { return binary.LittleEndian.AppendUint64([]byte{op}, n) }
	f.Add(bytes.Join([][]byte{step(0, 10), step(0, 0), step(1, 0), step(0, 9), step(2, math.MaxUint64), step(3, 64)}, nil))
	f.Add(bytes.Join([][]byte{step(0, 33), step(0, 1<<19), step(2, 32), step(2, 32), step(0, 1<<63), step(4, 0), step(0, 1)}, nil))
	f.Add(bytes.Join([][]byte{step(0, 1), step(1, 0), step(1, 0), step(0, 1), step(0, 1), step(3, math.MaxUint64-7)}, nil))
	f.Fuzz(func(t *testing.T, program []byte) {
		const limit = 1 << 20
		b := newTestBlocks(t, limit)
		type entry struct {
			address uint64
			data    []byte
		}
		var live []entry
		forget := func(address uint64) {
			for i, e := range live {
				if e.address == address {
					live = append(live[:i], live[i+1:]...)
					return
				}
			}
		}
		for i := byte(1); len(program) >= 9; i++ {
			op, n := program[0]%5, binary.LittleEndian.Uint64(program[1:9])
			program = program[9:]
			switch op {
			case 0:
				var at uint64
				err := catch(func() { at = b.alloc(n) })
				if err != nil {
					wantCode(t, err, runnel.CodeOutOfMemory)
					continue
				}
				v, ok := b.view(at, n)
				if !ok || n > 0 && at == 0 {
					t.Fatalf("alloc(%d) gave %d, outside", n, at)
				}
				for j := range v {
					v[j] = i
				}
				if n > 0 {
					live = append(live, entry{at, bytes.Clone(v)})
				}
			case 1: // an honest free
				if len(live) > 0 {
					at := live[n%uint64(len(live))].address
					b.release(at)
					forget(at)
				}
			case 2: // of anything
				b.release(n)
				forget(n)
			case 3:
				if v, ok := b.view(n, 8); ok != (n <= uint64(len(b.memory.bytes))-8 && len(b.memory.bytes) >= 8) || ok && len(v) != 8 {
					t.Fatalf("8 bytes at %d of %d: %v", n, len(b.memory.bytes), ok)
				}
				want := uint64(0)
				for _, e := range live {
					if e.address == n {
						want = uint64(len(e.data))
					}
				}
				if got := b.length(n); got != want {
					t.Fatalf("the block at %d has %d bytes, want %d", n, got, want)
				}
			case 4:
				b.reset()
				live = nil
			}
			for _, e := range live {
				if v, ok := b.view(e.address, uint64(len(e.data))); !ok || !bytes.Equal(v, e.data) || b.length(e.address) != uint64(len(e.data)) {
					t.Fatalf("the block at %d changed", e.address)
				}
			}
			if total := len(b.memory.bytes) + len(b.memory.beside.bytes); total > limit {
				t.Fatalf("%d bytes of memory, the limit is %d", total, limit)
			}
		}
	})
}
