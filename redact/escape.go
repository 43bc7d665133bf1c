package redact

import (
	"bytes"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// view is a text, and how it was read from another when it was.
type view struct {
	text []byte
	of   *view // nil when text is the source itself
	read []unescaped
}

// unescaped is one escape that was undone.
type unescaped struct {
	at, to     int // the range in the view's text
	from, upTo int // the range in the text it was read from
}

// source is the range of the source that s was read from: all of an escape of
// which s holds a part.
func (v view) source(s span) span {
	for ; v.of != nil; v = *v.of {
		first, last := v.before(s.from), v.before(s.to-1)
		if first.to > s.from {
			s.from = first.from
		} else {
			s.from += first.upTo - first.to
		}
		if last.to >= s.to {
			s.to = last.upTo
		} else {
			s.to += last.upTo - last.to
		}
	}
	return s
}

// before returns the last escape at or before i in v's text.
func (v view) before(i int) unescaped {
	n := sort.Search(len(v.read), func(n int) bool { return v.read[n].at > i })
	if n == 0 {
		return unescaped{}
	}
	return v.read[n-1]
}

// whole widens s, a range of the text v was read from, to whole escapes.
func (v view) whole(s span) span {
	n := sort.Search(len(v.read), func(n int) bool { return v.read[n].upTo > s.from })
	for ; n < len(v.read) && v.read[n].from < s.to; n++ {
		s.from, s.to = min(s.from, v.read[n].from), max(s.to, v.read[n].upTo)
	}
	return s
}

// escape is a way to write characters that begins with a certain byte.
type escape struct {
	begins string // the bytes it begins with
	// read appends to dst what text, which starts with one of those bytes, says
	// first, and returns how many bytes of text that took; 0 if it says nothing.
	read func(dst, text []byte) ([]byte, int)
}

var (
	backslash = escape{`\`, readBackslash}
	percent   = escape{`%`, readPercent}
	query     = escape{`%+`, readQuery} // as percent, but + is a space
	entity    = escape{`&`, readEntity}
)

// unescape returns v with escapes of one kind undone, or false when it has none.
func (v *view) unescape(e escape) (view, bool) {
	i := bytes.IndexAny(v.text, e.begins)
	if i < 0 {
		return view{}, false
	}
	out := view{of: v, text: make([]byte, 0, len(v.text))}
	for plain := 0; ; { // plain is where the text that is not escaped begins
		out.text = append(out.text, v.text[plain:i]...)
		at, used := len(out.text), 0
		out.text, used = e.read(out.text, v.text[i:])
		plain = i
		if used > 0 {
			out.read = append(out.read, unescaped{at, len(out.text), i, i + used})
			plain = i + used
		}
		i = max(plain, i+1)
		n := bytes.IndexAny(v.text[i:], e.begins)
		if n < 0 {
			out.text = append(out.text, v.text[plain:]...)
			return out, out.read != nil
		}
		i += n
	}
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
	end := bytes.IndexByte(text[:min(len(text), 10)], ';')
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
