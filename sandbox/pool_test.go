package sandbox

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/runnelhq/runnel/sandbox/image"
)

// randomImage is an image with holes of all sizes.
func randomImage(r *rand.Rand, pages int) (*image.Image, []byte) {
	memory := make([]byte, pages*pageSize)
	for range r.IntN(12) {
		at := r.IntN(len(memory))
		b := memory[at:min(at+1+r.IntN(100_000), len(memory))]
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	return image.New(memory), memory
}

// Whatever one guest wrote, wherever it could, the next has its own image and zeros.
func TestFUNC_E2_MemoryFromThePoolIsThatOfTheNextGuest(t *testing.T) {
	t.Parallel()
	var p pool
	defer p.close()
	r := rand.New(rand.NewPCG(7, 11))
	const size = 8 << 20
	for round := range 60 {
		img, want := randomImage(r, 1+r.IntN(40))
		if round%3 == 0 {
			img, want = nil, nil
		}
		b, err := p.take(size, img)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b[:len(want)], want) {
			t.Fatalf("round %d: the memory is not the image", round)
		}
		if i := bytes.IndexFunc(b[len(want):], func(r rune) bool { return r != 0 }); i >= 0 {
			t.Fatalf("round %d: byte %d behind the image is not zero", round, i)
		}
		used := min(len(want)+r.IntN(40)*pageSize, size)
		for i := range used {
			b[i] = byte(i) | 1
		}
		p.put(b, used)
	}
}

func TestFUNC_F1_ThePoolIsBounded(t *testing.T) {
	t.Parallel()
	var p pool
	img := image.New(make([]byte, pageSize))
	var all [][]byte
	for range poolSlots + 5 {
		b, err := p.take(1<<20, img)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	for _, b := range all {
		p.put(b, pageSize)
	}
	if p.count != poolSlots {
		t.Errorf("%d slots are kept, want %d", p.count, poolSlots)
	}
	b, err := p.take(2*poolUsed, img)
	if err != nil {
		t.Fatal(err)
	}
	p.put(b, poolUsed+1)
	p.close()
	if p.count != 0 {
		t.Errorf("%d slots are left after close", p.count)
	}
}
