package redact

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// view is a text and where each of its bytes comes from.
type view struct {
	text     []byte
	from, to []int32 // the source range of each byte; nil when text is the source
}

// source is the range of the source that s was read from.
func (v view) source(s span) span {
	if v.from == nil {
		return s
	}
	return span{int(v.from[s.from]), int(v.to[s.to-1])}
}

// escape is a way to write characters that begins with a certain byte.
type escape struct {
	begins string // the bytes it begins with
	// read appends to dst what text, which starts with one of those bytes, says
	// first, and returns how many bytes of text that took; 0 if it says nothing.
	read func(dst, text []byte) ([]byte, int)
}

var escapes = []escape{
	{`\`, readBackslash},
	{`%`, readPercent},
	{`%+`, readQuery},
	{`&`, readEntity},
}

// unescape returns v with escapes of one kind undone, or false when that
// changes nothing.
func (v view) unescape(e escape) (view, bool) {
	var begins [256]bool
	for _, c := range []byte(e.begins) {
		begins[c] = true
	}
	var out view
	changed := false
	for i := 0; i < len(v.text); {
		used := 0
		if begins[v.text[i]] {
			if !changed {
				var scratch [utf8.UTFMax]byte
				if _, n := e.read(scratch[:0], v.text[i:]); n > 0 {
					changed = true
					out = v.upTo(i)
				}
			}
			if changed {
				out.text, used = e.read(out.text, v.text[i:])
			}
		}
		if used == 0 {
			if changed {
				out.text = append(out.text, v.text[i])
			}
			used = 1
		}
		if changed {
			s := v.source(span{i, i + used})
			for len(out.from) < len(out.text) {
				out.from = append(out.from, int32(s.from))
				out.to = append(out.to, int32(s.to))
			}
		}
		i += used
	}
	return out, changed
}

// upTo returns a copy of v's first n bytes with room for the rest.
func (v view) upTo(n int) view {
	out := view{
		text: append(make([]byte, 0, len(v.text)), v.text[:n]...),
		from: make([]int32, n, len(v.text)),
		to:   make([]int32, n, len(v.text)),
	}
	for i := range n {
		s := v.source(span{i, i + 1})
		out.from[i], out.to[i] = int32(s.from), int32(s.to)
	}
	return out
}

// readBackslash reads the escapes of JSON, Go, JavaScript, Python and Rust
// strings. \xNN is a byte, as in Go.
func readBackslash(dst, text []byte) ([]byte, int) {
	if len(text) < 2 {
		return dst, 0
	}
	switch c := text[1]; c {
	case '"', '\'', '\\', '/', '`':
		return append(dst, c), 2
	case 'a', 'b', 't', 'n', 'v', 'f', 'r':
		return append(dst, "\a\b\t\n\v\f\r"[strings.IndexByte("abtnvfr", c)]), 2
	case 'x':
		if n, ok := hexNumber(text[2:], 2); ok {
			return append(dst, byte(n)), 4
		}
	case 'U':
		if n, ok := hexNumber(text[2:], 8); ok && n <= utf8.MaxRune {
			return utf8.AppendRune(dst, rune(n)), 10
		}
	case 'u':
		if n, ok := hexNumber(text[2:], 4); ok {
			if utf16.IsSurrogate(rune(n)) && len(text) > 7 && text[6] == '\\' && text[7] == 'u' {
				if low, ok := hexNumber(text[8:], 4); ok {
					if r := utf16.DecodeRune(rune(n), rune(low)); r != utf8.RuneError {
						return utf8.AppendRune(dst, r), 12
					}
				}
			}
			return utf8.AppendRune(dst, rune(n)), 6
		}
		if n, used, ok := braced(text[2:]); ok {
			return utf8.AppendRune(dst, n), 2 + used
		}
	}
	return dst, 0
}

// braced reads "{1f600}".
func braced(text []byte) (r rune, used int, ok bool) {
	for digits := 1; digits <= 6 && digits+1 < len(text); digits++ {
		if text[0] == '{' && text[digits+1] == '}' {
			n, ok := hexNumber(text[1:], digits)
			return rune(n), digits + 2, ok && n <= utf8.MaxRune
		}
	}
	return 0, 0, false
}

func readPercent(dst, text []byte) ([]byte, int) {
	if n, ok := hexNumber(text[1:], 2); ok {
		return append(dst, byte(n)), 3
	}
	return dst, 0
}

func readQuery(dst, text []byte) ([]byte, int) {
	if text[0] == '+' {
		return append(dst, ' '), 1
	}
	return readPercent(dst, text)
}

// readEntity reads the five named entities that escape markup, and numbers.
func readEntity(dst, text []byte) ([]byte, int) {
	end := strings.IndexByte(string(text[:min(len(text), 10)]), ';')
	if end < 0 {
		return dst, 0
	}
	name := string(text[1:end])
	switch name {
	case "amp":
		return append(dst, '&'), end + 1
	case "lt":
		return append(dst, '<'), end + 1
	case "gt":
		return append(dst, '>'), end + 1
	case "quot":
		return append(dst, '"'), end + 1
	case "apos":
		return append(dst, '\''), end + 1
	}
	number, ok := strings.CutPrefix(name, "#")
	if !ok {
		return dst, 0
	}
	base := 10
	if number != "" && number[0]|0x20 == 'x' {
		number, base = number[1:], 16
	}
	n, err := strconv.ParseUint(number, base, 32)
	if err != nil || n > utf8.MaxRune {
		return dst, 0
	}
	return utf8.AppendRune(dst, rune(n)), end + 1
}

// hexNumber reads exactly digits hex digits.
func hexNumber(text []byte, digits int) (uint32, bool) {
	if len(text) < digits {
		return 0, false
	}
	var n uint32
	for _, c := range text[:digits] {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint32(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			n = n<<4 | uint32(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}
