package meter

import "unicode/utf8"

// functionNames is the payload of a name section with the names of functions, so
// that stack traces have them. It is left out when it is broken or large.
func (m *module) functionNames() []byte {
	r := newReader(m.names)
	for r.more() {
		id := r.u8()
		outer := r.enter(r.u32())
		if id != 1 {
			r.pos = r.end
			r.leave(outer, "names")
			continue
		}
		if r.end-r.pos > m.limits.NameBytes {
			return nil
		}
		n := r.u32()
		out := appendU32(make([]byte, 0, r.end-r.pos+r.end/16), n)
		next := uint32(0)
		for i := uint32(0); i < n && r.err == nil; i++ {
			x := r.u32()
			name := r.bytes(r.u32())
			if x < next || int64(x) >= int64(len(m.funcTypes)) || !utf8.Valid(name) {
				return nil
			}
			next = x + 1
			out = appendBytes(appendU32(out, m.shifted(x)), name)
		}
		r.leave(outer, "names")
		if r.err != nil {
			return nil
		}
		return appendBytes(append(appendBytes([]byte(nil), "name"), 1), out)
	}
	return nil
}
