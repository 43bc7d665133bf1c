package js

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/image"
)

// evaluate returns the module that a script becomes, and its memory.
func evaluate(t *testing.T, rt *sandbox.Runtime, script string) (wasm, memory []byte, img *image.Image) {
	t.Helper()
	wasm, _, err := Build(t.Context(), rt, Script{Code: []byte(script)})
	if err != nil {
		t.Fatal(err)
	}
	_, img, ok := image.Split(wasm)
	if !ok {
		t.Fatal("the module cannot be taken apart")
	}
	memory = make([]byte, img.Pages*image.PageSize)
	img.Restore(memory)
	return wasm, memory, img
}

// left is what the test scripts make and drop: 4 MB of it.
const left = `
	for (let i = 0; i < 40; i++) ("left over " + i).repeat(10_000);
	export const handler = () => 1;`

func TestAnImageHasNothingThatWasFreed(t *testing.T) {
	t.Parallel()
	rt, err := sandbox.New(context.Background(), sandbox.Config{Ask: Ask})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rt.Close(context.Background()) }()

	wasm, memory, img := evaluate(t, rt, left)
	free, ok := freeChunks(memory)
	if !ok || len(free) == 0 {
		t.Fatalf("the heap cannot be walked (%d free chunks)", len(free))
	}
	for _, c := range free {
		if len(bytes.Trim(memory[c[0]:c[1]], "\x00")) > 0 {
			t.Errorf("a free chunk at %d of %d bytes is not zero", c[0], c[1]-c[0])
		}
	}
	if n := bytes.Count(memory, []byte("left over 7left over")); n > 0 {
		t.Errorf("what was dropped is there %d times", n)
	}
	// 428 KB when this was written, 1.1 MB with what was freed.
	if img.Bytes() > 560<<10 {
		t.Errorf("the image has %d KiB", img.Bytes()>>10)
	}
	if again, _, _ := evaluate(t, rt, left); !bytes.Equal(wasm, again) {
		t.Error("the same script made another module")
	}
}

// heap is a heap of chunks of these sizes, every other one free, and of one to grow from.
func heap(sizes ...uint32) []byte {
	memory := make([]byte, firstChunk)
	front := uint32(frontInUse)
	add := func(size, flag uint32) {
		chunk := make([]byte, size)
		binary.LittleEndian.PutUint32(chunk[4:], size|flag|front)
		memory = append(memory, chunk...)
		front = flag / chunkInUse
	}
	for i, size := range sizes {
		add(size, uint32(i%2)*chunkInUse)
	}
	add(1024, 0)
	add(56, 0)
	return memory
}

func TestAHeapThatIsNotAsExpectedIsLeftAlone(t *testing.T) {
	t.Parallel()
	memory := heap(64, 128, 32, 48)
	if free, ok := freeChunks(memory); !ok || len(free) != 2 {
		t.Fatalf("%v, %t", free, ok) // 64 and the last; 32 is all fields
	}
	for _, head := range []uint32{0, 8, 3, 1 << 31, 0xffffffff, 64, 67, 72 | frontInUse, uint32(len(memory))} {
		broken := bytes.Clone(memory)
		binary.LittleEndian.PutUint32(broken[firstChunk+4:], head)
		if _, ok := freeChunks(broken); ok {
			t.Errorf("a first chunk with the head %#x was taken", head)
		}
	}
	for _, n := range []int{0, newHeap, newHeap + 1, firstChunk + 7, firstChunk + chunkFields, len(memory) - 56, len(memory) - 1} {
		if _, ok := freeChunks(memory[:n]); ok {
			t.Errorf("%d bytes of a memory were taken", n)
		}
	}
}
