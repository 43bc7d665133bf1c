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
	for round := range 60 {
		size, pages := 8<<20, 40
		if round%5 == 4 { // more than stays resident
			size, pages = 24<<20, 300
		}
		img, want := randomImage(r, 1+r.IntN(pages))
		if round%3 == 0 {
			img, want = nil, nil
		}
		b, err := p.take(int64(size), img)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b[:len(want)], want) {
			t.Fatalf("round %d: the memory is not the image", round)
		}
		if i := bytes.IndexFunc(b[len(want):], func(r rune) bool { return r != 0 }); i >= 0 {
			t.Fatalf("round %d: byte %d behind the image is not zero", round, i)
		}
		used := min(len(want)+r.IntN(pages)*pageSize, size)
		for i := range used {
			b[i] = byte(i) | 1
		}
		p.put(b, used, img)
	}
}

func TestFUNC_F1_OfALargeInstanceThePoolKeepsWhatItsImageTakes(t *testing.T) {
	t.Parallel()
	for _, pages := range []int{3, 2 * poolUsed / pageSize} {
		var p pool
		img, _ := randomImage(rand.New(rand.NewPCG(1, 2)), pages)
		b, err := p.take(3*poolUsed, img)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] = 1
		}
		p.put(b, len(b), img)
		s := p.idle[int64(len(b))][0]
		if want := min(pages*pageSize+hotZeros, poolUsed); s.used != want {
			t.Errorf("%d bytes are kept as written to, want %d", s.used, want)
		}
		if i := bytes.IndexByte(s.reserved[s.used:], 1); i >= 0 {
			t.Errorf("byte %d behind what is kept is not zero", i)
		}
		p.close()
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
		p.put(b, pageSize, img)
	}
	if p.count != poolSlots {
		t.Errorf("%d slots are kept, want %d", p.count, poolSlots)
	}
	b, err := p.take(2*poolUsed, img)
	if err != nil {
		t.Fatal(err)
	}
	p.put(b, 2*poolUsed, img)
	if p.count != poolSlots {
		t.Errorf("%d slots are kept, want %d", p.count, poolSlots)
	}
	p.close()
	if p.count != 0 {
		t.Errorf("%d slots are left after close", p.count)
	}
}
