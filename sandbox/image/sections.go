package image

import (
	"encoding/binary"
	"errors"
	"math"
)

// Section ids.
const (
	Custom    = 0
	Type      = 1
	Import    = 2
	Function  = 3
	Table     = 4
	Memory    = 5
	Global    = 6
	Export    = 7
	Start     = 8
	Element   = 9
	Code      = 10
	Data      = 11
	DataCount = 12
)

const header = "\x00asm\x01\x00\x00\x00"

// PageSize is the WebAssembly page.
const PageSize = 64 << 10

// Section is one section of a module. Body aliases the module.
type Section struct {
	ID   byte
	Body []byte
}

var errMalformed = errors.New("image: not a WebAssembly module")

// Sections returns the sections of a module in their order.
func Sections(wasm []byte) ([]Section, error) {
	if len(wasm) < len(header) || string(wasm[:len(header)]) != header {
		return nil, errMalformed
	}
	r := Reader{B: wasm[len(header):]}
	var all []Section
	for len(r.B) > 0 {
		id := r.Byte()
		body := r.Bytes(r.U32())
		if r.Bad {
			return nil, errMalformed
		}
		all = append(all, Section{id, body})
	}
	return all, nil
}

// Encode writes a module.
func Encode(sections []Section) []byte {
	n := len(header)
	for _, s := range sections {
		n += len(s.Body) + 6
	}
	out := append(make([]byte, 0, n), header...)
	for _, s := range sections {
		out = AppendBytes(append(out, s.ID), s.Body)
	}
	return out
}

// CustomSection is a section that engines ignore.
func CustomSection(name string, body []byte) Section {
	return Section{Custom, append(AppendBytes(nil, []byte(name)), body...)}
}

// FindCustom returns the body of the first custom section called name.
func FindCustom(sections []Section, name string) ([]byte, bool) {
	for _, s := range sections {
		if s.ID != Custom {
			continue
		}
		r := Reader{B: s.Body}
		if string(r.Bytes(r.U32())) == name && !r.Bad {
			return r.B, true
		}
	}
	return nil, false
}

// AppendU32 appends an unsigned LEB128.
func AppendU32(b []byte, v uint32) []byte { return binary.AppendUvarint(b, uint64(v)) }

// AppendS64 appends a signed LEB128.
func AppendS64(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		if v >>= 7; v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// AppendBytes appends a vector of bytes.
func AppendBytes(b, v []byte) []byte { return append(AppendU32(b, uint32(len(v))), v...) }

// Reader decodes from B. After something that is not there or not well formed, Bad
// is true and everything reads as zero.
type Reader struct {
	B   []byte
	Bad bool
}

func (r *Reader) fail() {
	r.Bad, r.B = true, nil
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.B) == 0 {
		r.fail()
		return 0
	}
	c := r.B[0]
	r.B = r.B[1:]
	return c
}

// Bytes reads n bytes.
func (r *Reader) Bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.B)) {
		r.fail()
		return nil
	}
	b := r.B[:n:n]
	r.B = r.B[n:]
	return b
}

// U32 reads an unsigned LEB128 of at most five bytes.
func (r *Reader) U32() uint32 {
	v, n := binary.Uvarint(r.B[:min(len(r.B), 5)])
	if n <= 0 || v > math.MaxUint32 {
		r.fail()
		return 0
	}
	r.B = r.B[n:]
	return uint32(v)
}

// S64 reads a signed LEB128 of at most ten bytes.
func (r *Reader) S64() int64 {
	var v int64
	for shift := 0; shift < 70; shift += 7 {
		c := r.Byte()
		v |= int64(c&0x7f) << shift
		if c&0x80 == 0 {
			if shift < 57 && c&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
	r.fail()
	return 0
}
