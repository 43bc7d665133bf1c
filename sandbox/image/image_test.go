package image

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// module is a module with a memory of pages and these data segments.
func module(pages uint32, data ...[]byte) []byte {
	section := AppendU32(nil, uint32(len(data)))
	for _, d := range data {
		section = append(section, d...)
	}
	return Encode([]Section{
		{Type, []byte{1, 0x60, 0, 0}},
		{Memory, AppendU32([]byte{1, 0}, pages)},
		{Global, []byte{2, 0x7f, 1, 0x41, 7, 0x0b, 0x7e, 0, 0x42, 9, 0x0b}},
		{Data, section},
		CustomSection("extra", []byte("x")),
	})
}

func segment(at int32, b []byte) []byte {
	return AppendBytes(append(AppendS64([]byte{0, 0x41}, int64(at)), 0x0b), b)
}

func TestSplitAndJoinAreInverse(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	memory := make([]byte, 3*PageSize)
	for range 40 {
		at := r.IntN(len(memory) - 1000)
		for i := range r.IntN(1000) {
			memory[at+i] = byte(r.Uint32())
		}
	}
	memory[0], memory[len(memory)-1] = 1, 2
	joined, err := Join(module(1), New(memory), []Value{{Set: true, Bits: 42}, {}}, "", CustomSection("map", []byte("m")))
	if err != nil {
		t.Fatal(err)
	}
	core, img, ok := Split(joined)
	if !ok {
		t.Fatal("not taken apart")
	}
	restored := make([]byte, img.Pages*PageSize)
	img.Restore(restored)
	if !bytes.Equal(restored, memory) {
		t.Error("the memory differs")
	}
	other, _ := Join(module(1), New(make([]byte, 2*PageSize)), []Value{{Set: true, Bits: 42}, {}}, "")
	otherCore, _, ok := Split(other)
	if !ok || !bytes.Equal(core, otherCore) {
		t.Errorf("modules that differ in memory only do not share a core (%t)", ok)
	}
	changed, _ := Join(module(1), New(memory), []Value{{Set: true, Bits: 43}, {}}, "")
	if c, _, _ := Split(changed); bytes.Equal(core, c) {
		t.Error("modules with other globals share a core")
	}
	sections, _ := Sections(joined)
	if m, ok := FindCustom(sections, "map"); !ok || string(m) != "m" {
		t.Errorf("custom section %q", m)
	}
	if _, ok := FindCustom(sections, "extra"); ok {
		t.Error("a custom section of the old module is kept")
	}
}

func TestLaterDataOverwritesEarlier(t *testing.T) {
	t.Parallel()
	_, img, ok := Split(module(1, segment(0, []byte("abc")), segment(1, []byte("XY")), segment(0, []byte{0})))
	memory := make([]byte, PageSize)
	if img.Restore(memory); !ok || string(memory[:4]) != "\x00XY\x00" {
		t.Errorf("%t %q", ok, memory[:4])
	}
}

func TestModulesThatHaveToStayWhole(t *testing.T) {
	t.Parallel()
	good, err := Sections(module(1, segment(0, []byte("abc"))))
	if err != nil {
		t.Fatal(err)
	}
	with := func(id byte, body []byte) []byte {
		all := append([]Section{}, good...)
		for i := range all {
			if all[i].ID == id {
				all[i].Body = body
				return Encode(all)
			}
		}
		return Encode(append([]Section{{id, body}}, all...))
	}
	for name, wasm := range map[string][]byte{
		"nothing":            nil,
		"header":             []byte(header),
		"truncated":          Encode(good)[:20],
		"outside":            module(1, segment(PageSize-2, []byte("abc"))),
		"negative":           module(1, segment(-1, []byte("a"))),
		"passive":            module(1, AppendBytes([]byte{1}, []byte("abc"))),
		"by global":          module(1, AppendBytes([]byte{0, 0x23, 0, 0x0b}, []byte("abc"))),
		"count is wrong":     with(Data, append([]byte{2}, segment(0, []byte("a"))...)),
		"more behind":        with(Data, append(append([]byte{1}, segment(0, []byte("a"))...), 0)),
		"huge memory":        module(1<<16, segment(0, []byte("a"))),
		"shared memory":      with(Memory, []byte{1, 3, 1, 1}),
		"two memories":       with(Memory, []byte{2, 0, 1, 0, 1}),
		"out of order":       with(Start, []byte{0}),
		"many segments":      with(Data, AppendU32(nil, 1<<31)),
		"address of 64 bits": module(1, AppendBytes(append(AppendS64([]byte{0, 0x41}, 1<<32), 0x0b), []byte("a"))),
	} {
		if _, _, ok := Split(wasm); ok {
			t.Errorf("%s is taken apart", name)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(module(1, segment(0, []byte("abc"))))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		core, img, ok := Split(wasm)
		if !ok {
			return
		}
		if _, err := Sections(core); err != nil {
			t.Error(err)
		}
		img.Restore(make([]byte, img.Pages*PageSize))
	})
}
