package meter

import (
	"fmt"
	"unicode/utf8"
)

// reader reads the binary format. The first failure sticks: reads after it
// return zeros and more reports false, so that loops end and the caller looks at
// err once.
type reader struct {
	b   []byte
	pos int
	end int // reads stop here; enter and leave move it
	err *Error
}

func newReader(b []byte) *reader { return &reader{b: b, end: len(b)} }

func (r *reader) fail(reason Reason, format string, args ...any) {
	r.failAt(r.pos, reason, format, args...)
}

func (r *reader) failAt(offset int, reason Reason, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Reason: reason, Offset: offset, Message: fmt.Sprintf(format, args...)}
	}
	r.pos, r.end = 0, 0
}

// more reports whether there is something left to read.
func (r *reader) more() bool { return r.pos < r.end }

// enter narrows the reader to the next n bytes. The result goes to leave.
func (r *reader) enter(n uint32) (outer int) {
	outer = r.end
	if int64(n) > int64(r.end-r.pos) {
		r.fail(Malformed, "%d bytes announced, %d left: the file is cut off or was altered", n, r.end-r.pos)
		return outer
	}
	r.end = r.pos + int(n)
	return outer
}

// leave checks that everything since enter was read, and widens the reader again.
func (r *reader) leave(outer int, what string) {
	if r.err != nil {
		return
	}
	if r.pos != r.end {
		r.fail(Malformed, "%d bytes too many in the %s", r.end-r.pos, what)
		return
	}
	r.end = outer
}

func (r *reader) u8() byte {
	if r.pos >= r.end {
		r.fail(Malformed, "unexpected end")
		return 0
	}
	c := r.b[r.pos]
	r.pos++
	return c
}

func (r *reader) u32() uint32 {
	if r.pos < r.end && r.b[r.pos] < 0x80 { // nearly all
		r.pos++
		return uint32(r.b[r.pos-1])
	}
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		c := r.u8()
		if shift == 28 && c > 0x0f {
			break
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	r.fail(Malformed, "integer does not fit 32 bits")
	return 0
}

func (r *reader) s32() int32 { return int32(r.signed(32)) }
func (r *reader) s33() int64 { return r.signed(33) }
func (r *reader) s64() int64 { return r.signed(64) }

// signed reads a signed LEB128 integer. The unused bits of a longest encoding
// have to repeat the sign.
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		c := r.u8()
		v |= int64(c&0x7f) << shift
		if left := bits - shift; left < 7 {
			if rest := int8(c<<1) >> left; rest != 0 && rest != -1 || c >= 0x80 {
				break
			}
		}
		if c < 0x80 {
			if c&0x40 != 0 && shift+7 < 64 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
	r.fail(Malformed, "integer does not fit %d bits", bits)
	return 0
}

// bytes returns the next n bytes, which stay part of the module.
func (r *reader) bytes(n uint32) []byte {
	if int64(n) > int64(r.end-r.pos) {
		r.fail(Malformed, "%d bytes announced, %d left: the file is cut off or was altered", n, r.end-r.pos)
		return nil
	}
	r.pos += int(n)
	return r.b[r.pos-int(n) : r.pos : r.pos]
}

func (r *reader) name() string {
	at := r.pos
	b := r.bytes(r.u32())
	if !utf8.Valid(b) {
		r.failAt(at, Malformed, "a name is not UTF-8")
		return ""
	}
	return string(b)
}

// count reads the length of a vector of things that take a byte or more each.
func (r *reader) count(limit int, what string) int {
	at := r.pos
	n := r.u32()
	switch {
	case int64(n) > int64(limit):
		r.failAt(at, OverLimit, "%d %s, the limit is %d: split the function into smaller ones, or build without what it does not use", n, what, limit)
		return 0
	case int64(n) > int64(r.end-r.pos):
		r.failAt(at, Malformed, "%d %s announced in %d bytes", n, what, r.end-r.pos)
		return 0
	}
	return int(n)
}

// valueType reads one of the value types of WebAssembly 2.0. Later ones can name
// types by index, and with it a type that the meter appends.
func (r *reader) valueType() byte {
	at := r.pos
	switch c := r.u8(); c {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f:
		return c
	default:
		r.failAt(at, Unsupported, "value type %#x is not one of WebAssembly 2.0: build for wasm32 without the GC and typed function references proposals", c)
		return 0
	}
}

func (r *reader) refType() byte {
	at := r.pos
	c := r.valueType()
	if c != 0x70 && c != 0x6f {
		r.failAt(at, Malformed, "type %#x where a reference type has to be", c)
	}
	return c
}

func (r *reader) zero() {
	if r.u8() != 0 {
		r.fail(Unsupported, "a memory other than memory 0: build without the multi-memory proposal")
	}
}

// limits reads the size range of a table or a memory.
func (r *reader) limits() (min, max uint32, bounded bool) {
	at := r.pos
	flag := r.u8()
	if flag > 1 {
		r.failAt(at, Unsupported, "limits flag %#x: build without threads (shared memory) and without 64-bit memory or tables", flag)
		return 0, 0, false
	}
	min = r.u32()
	if flag == 1 {
		max = r.u32()
	}
	return min, max, flag == 1
}
