package image

import (
	"encoding/binary"
	"errors"
)

// Value is what a global holds. Set is false for one that keeps its own start value.
type Value struct {
	Set  bool
	Bits uint64
}

var errGlobals = errors.New("image: globals that cannot be kept: of a reference or vector type")

// setGlobals replaces the start values of the globals that a section declares.
func setGlobals(section []byte, values []Value) ([]byte, error) {
	r := Reader{B: section}
	n := r.U32()
	if int(n) != len(values) {
		return nil, errGlobals
	}
	out := AppendU32(nil, n)
	for _, v := range values {
		kind, mutable := r.Byte(), r.Byte()
		before := r.B
		switch op := r.Byte(); op {
		case 0x41, 0x42:
			r.S64()
		case 0x43:
			r.Bytes(4)
		case 0x44:
			r.Bytes(8)
		case 0x23, 0xd2:
			r.U32()
		case 0xd0:
			r.Byte()
		default:
			return nil, errGlobals
		}
		if r.Byte() != 0x0b || r.Bad {
			return nil, errGlobals
		}
		out = append(out, kind, mutable)
		if !v.Set {
			out = append(out, before[:len(before)-len(r.B)]...)
			continue
		}
		switch kind {
		case 0x7f:
			out = AppendS64(append(out, 0x41), int64(int32(uint32(v.Bits))))
		case 0x7e:
			out = AppendS64(append(out, 0x42), int64(v.Bits))
		case 0x7d:
			out = binary.LittleEndian.AppendUint32(append(out, 0x43), uint32(v.Bits))
		case 0x7c:
			out = binary.LittleEndian.AppendUint64(append(out, 0x44), v.Bits)
		default:
			return nil, errGlobals
		}
		out = append(out, 0x0b)
	}
	return out, nil
}

// GlobalKinds returns the type and mutability of the globals a module defines.
func GlobalKinds(wasm []byte) ([][2]byte, error) {
	sections, err := Sections(wasm)
	if err != nil {
		return nil, err
	}
	for _, s := range sections {
		if s.ID != Global {
			continue
		}
		r := Reader{B: s.Body}
		var kinds [][2]byte
		for range r.U32() {
			kinds = append(kinds, [2]byte{r.Byte(), r.Byte()})
			switch r.Byte() {
			case 0x41, 0x42:
				r.S64()
			case 0x43:
				r.Bytes(4)
			case 0x44:
				r.Bytes(8)
			case 0x23, 0xd2:
				r.U32()
			case 0xd0:
				r.Byte()
			default:
				r.fail()
			}
			if r.Byte(); r.Bad {
				return nil, errGlobals
			}
		}
		return kinds, nil
	}
	return nil, nil
}
