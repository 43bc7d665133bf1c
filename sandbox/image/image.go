package image

import (
	"bytes"
	"errors"
	"iter"
	"slices"
)

// run is a stretch of memory that is not zero.
type run struct {
	at   int
	data []byte
}

// Image is the memory a module starts with. It is immutable.
type Image struct {
	Pages int // of 64 KiB: the memory at the start
	runs  []run
	size  int
}

// Bytes is how much of the memory is not zero, about: what Restore copies.
func (m *Image) Bytes() int { return m.size }

// Runs are the stretches of the image that are not zero, with their addresses, in
// order. Their bytes must not be changed.
func (m *Image) Runs() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for _, r := range m.runs {
			if !yield(r.at, r.data) {
				return
			}
		}
	}
}

// Restore writes the image into memory that is zero.
func (m *Image) Restore(memory []byte) {
	for _, r := range m.runs {
		copy(memory[r.at:], r.data)
	}
}

// block is what an image is made of: small enough to leave out most of what is
// zero, large enough that a copy of one costs more than to find the next.
const block = 256

// New makes an image of a memory, which it copies.
func New(memory []byte) *Image {
	m := &Image{Pages: len(memory) / PageSize}
	zero := make([]byte, block)
	for at := 0; at < len(memory); {
		end := at
		for end < len(memory) && !bytes.Equal(memory[end:end+block], zero) {
			end += block
		}
		if end == at {
			at += block
			continue
		}
		// A gap of one or two blocks is cheaper copied than skipped.
		if n := len(m.runs); n > 0 && at-(m.runs[n-1].at+len(m.runs[n-1].data)) <= 2*block {
			last := &m.runs[n-1]
			last.data = memory[last.at:end:end]
		} else {
			m.runs = append(m.runs, run{at, memory[at:end:end]})
		}
		at = end
	}
	for i := range m.runs {
		m.runs[i].data = bytes.Clone(m.runs[i].data)
		m.size += len(m.runs[i].data)
	}
	return m
}

// data is the image as a data section.
func (m *Image) data() []byte {
	out := AppendU32(nil, uint32(len(m.runs)))
	for _, r := range m.runs {
		data := bytes.TrimRight(r.data, "\x00")
		out = AppendS64(append(out, 0, 0x41), int64(int32(uint32(r.at))))
		out = AppendBytes(append(out, 0x0b), data)
	}
	return out
}

// Limits of what Split takes apart.
const (
	maxPages    = 1024 // 64 MB of memory at the start
	maxSegments = 100_000
)

// Split takes a module apart. The core is the module without its data and with a
// memory that starts empty; running the core in a memory that holds the image is
// running the module. It is false for a module whose memory is imported, exported
// data it cannot foresee, or that uses its data segments by name: that one has to
// stay whole.
func Split(wasm []byte) (core []byte, img *Image, ok bool) {
	sections, err := Sections(wasm)
	if err != nil {
		return nil, nil, false
	}
	pages := -1
	var data []byte
	kept := make([]Section, 0, len(sections))
	rank := byte(0)
	for _, s := range sections {
		if s.ID == Custom {
			// Names of functions belong to the code; the host reads the others.
			if r := (Reader{B: s.Body}); string(r.Bytes(r.U32())) == "name" {
				kept = append(kept, s)
			}
			continue
		}
		if s.ID <= rank {
			return nil, nil, false // out of order, or DataCount, which says that data is used by name
		}
		rank = s.ID
		switch s.ID {
		case Memory:
			r := Reader{B: s.Body}
			count, flags, least := r.U32(), r.Byte(), r.U32()
			if r.Bad || count != 1 || flags > 1 || least > maxPages {
				return nil, nil, false
			}
			pages = int(least)
			s.Body = append(AppendU32([]byte{1, flags}, 0), r.B...)
		case Data:
			data = s.Body
			continue
		case Start, DataCount:
			return nil, nil, false
		}
		kept = append(kept, s)
	}
	if pages < 0 || data == nil {
		return nil, nil, false
	}
	memory := make([]byte, pages*PageSize)
	r := Reader{B: data}
	n := r.U32()
	if n > maxSegments {
		return nil, nil, false
	}
	for range n {
		if r.U32() != 0 || r.Byte() != 0x41 {
			return nil, nil, false // passive, or at an address that only instantiation knows
		}
		at := r.S64()
		if r.Byte() != 0x0b {
			return nil, nil, false
		}
		b := r.Bytes(r.U32())
		start := uint64(uint32(int32(at)))
		if r.Bad || at != int64(int32(at)) || start+uint64(len(b)) > uint64(len(memory)) {
			return nil, nil, false // traps at instantiation: the engine says so better
		}
		copy(memory[start:], b)
	}
	if r.Bad || len(r.B) != 0 {
		return nil, nil, false
	}
	return Encode(kept), New(memory), true
}

// Join is the inverse of Split for a module whose data is not used by name: it
// replaces the memory and the data of a module and the start values of its globals,
// leaves out the export without, if any, and adds custom sections at the end. The
// module must define a memory.
func Join(wasm []byte, img *Image, globals []Value, without string, custom ...Section) ([]byte, error) {
	sections, err := Sections(wasm)
	if err != nil {
		return nil, err
	}
	var out []Section
	for _, s := range sections {
		switch s.ID {
		case Custom, Data, DataCount:
			continue
		case Memory:
			r := Reader{B: s.Body}
			_, flags, _ := r.U32(), r.Byte(), r.U32()
			s.Body = append(AppendU32([]byte{1, flags}, uint32(img.Pages)), r.B...)
		case Export:
			s.Body = dropExport(s.Body, without)
		case Global:
			if globals != nil {
				if s.Body, err = setGlobals(s.Body, globals); err != nil {
					return nil, err
				}
			}
		}
		out = append(out, s)
	}
	if slices.ContainsFunc(out, func(s Section) bool { return s.ID == Start }) {
		return nil, errStart
	}
	out = append(out, Section{Data, img.data()})
	return Encode(append(out, slices.Clip(custom)...)), nil
}

var errStart = errors.New("image: a module with a start function would run it again")

// dropExport removes the export of a name from an export section.
func dropExport(section []byte, name string) []byte {
	r := Reader{B: section}
	n := r.U32()
	var kept []byte
	count := uint32(0)
	for range n {
		before := r.B
		this := string(r.Bytes(r.U32()))
		r.Byte()
		r.U32()
		if r.Bad {
			return section // somebody else refuses it
		}
		if this != name {
			kept = append(kept, before[:len(before)-len(r.B)]...)
			count++
		}
	}
	return append(AppendU32(nil, count), kept...)
}
