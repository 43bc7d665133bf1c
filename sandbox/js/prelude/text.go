package prelude

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

func init() {
	register("utf8_encode", operation{args: 1, run: func(args [][]byte) ([]byte, error) { return bytes.Clone(args[0]), nil }})
	register("utf8_decode", operation{args: 2, text: true, run: utf8Decode})
	register("utf16_decode", operation{args: 2, text: true, run: utf16Decode})
	register("latin1_decode", operation{args: 2, text: true, run: latin1Decode})
}

// utf8Decode(bytes, "fatal" or "") returns text.
func utf8Decode(args [][]byte) ([]byte, error) {
	switch {
	case utf8.Valid(args[0]):
		return bytes.Clone(args[0]), nil
	case string(args[1]) == "fatal":
		return nil, fail("TypeError", "the data is not valid utf-8")
	}
	return decodeUTF8(args[0]), nil
}

// decodeUTF8 replaces what is not UTF-8 by U+FFFD as the Encoding standard says:
// once for each longest piece that could have begun a character, where Go does it
// once for each byte.
func decodeUTF8(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			size = subpart(b)
			out = append(out, "\uFFFD"...)
		} else {
			out = append(out, b[:size]...)
		}
		b = b[size:]
	}
	return out
}

// subpart returns how many bytes at the start of b belong to one character that
// does not end, at least one.
func subpart(b []byte) int {
	need, low, high := 0, byte(0x80), byte(0xBF)
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c >= 0xE0 && c <= 0xEF:
		need = 2
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		need = 3
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for ; n <= need && n < len(b) && b[n] >= low && b[n] <= high; n++ {
		low, high = 0x80, 0xBF
	}
	return n
}

// utf16Decode(bytes, "be", "fatal" or "") returns text.
func utf16Decode(args [][]byte) ([]byte, error) {
	var order binary.ByteOrder = binary.LittleEndian
	if string(args[1]) == "be" {
		order = binary.BigEndian
	}
	fatal := string(args[1]) == "fatal"
	b := args[0]
	out := make([]byte, 0, len(b))
	for len(b) >= 2 {
		r := rune(order.Uint16(b))
		b = b[2:]
		if utf16.IsSurrogate(r) {
			next := rune(0)
			if len(b) >= 2 {
				next = rune(order.Uint16(b))
			}
			if r = utf16.DecodeRune(r, next); r != utf8.RuneError {
				b = b[2:]
			} else if fatal {
				return nil, fail("TypeError", "the data is not valid utf-16")
			}
		}
		out = utf8.AppendRune(out, r)
	}
	if len(b) > 0 {
		if fatal {
			return nil, fail("TypeError", "the data is not valid utf-16")
		}
		out = append(out, "\uFFFD"...)
	}
	return out, nil
}

// windows1252 is what 0x80 to 0x9F mean; the other bytes are their code points.
var windows1252 = [32]rune{
	0x20AC, 0x81, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D, 0x017D, 0x8F,
	0x90, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D, 0x017E, 0x0178,
}

func latin1Decode(args [][]byte) ([]byte, error) {
	out := make([]byte, 0, len(args[0])+len(args[0])/8)
	for _, c := range args[0] {
		r := rune(c)
		if c >= 0x80 && c < 0xA0 {
			r = windows1252[c-0x80]
		}
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}
