package tracing

import "strings"

// maxStatement is how long a statement's text may be to be looked at.
const maxStatement = 64 << 10

// withoutLiterals is an SQL text with ? for each literal and a space for each comment:
// what is left says which statement it was, and nothing of anybody's data. What is not
// closed is a literal to the end.
func withoutLiterals(text string) string {
	var out strings.Builder
	out.Grow(min(len(text), maxText))
	for i := 0; i < len(text); {
		c, rest := text[i], text[i:]
		switch {
		case c == '\'':
			// E'...' knows backslashes. Its letter is no part of a longer name.
			escapes := i > 0 && text[i-1]|0x20 == 'e' && (i < 2 || !name(text[i-2]))
			i += literal(rest, escapes)
			out.WriteByte('?')
		case c == '"':
			n := quoted(rest)
			out.WriteString(rest[:n])
			i += n
		case strings.HasPrefix(rest, "--"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			i += n
			out.WriteByte(' ')
		case strings.HasPrefix(rest, "/*"):
			i += comment(rest)
			out.WriteByte(' ')
		case c == '$' && (i == 0 || !name(text[i-1])):
			if n := dollars(rest); n > 0 {
				i += n
				out.WriteByte('?')
				break
			}
			// A parameter.
			n := 1
			for n < len(rest) && name(rest[n]) {
				n++
			}
			out.WriteString(rest[:n])
			i += n
		case c >= '0' && c <= '9' && (i == 0 || !name(text[i-1])):
			n := 1
			for n < len(rest) && (name(rest[n]) || rest[n] == '.') {
				n++
			}
			i += n
			out.WriteByte('?')
		default:
			out.WriteByte(c)
			i++
		}
	}
	return strings.ToValidUTF8(out.String(), "?")
}

// name tells whether c can be within a name. Bytes of other characters can.
func name(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// literal is the length of '...'.
func literal(s string, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && escapes:
			i++
		case s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		case s[i] == '\'':
			return i + 1
		}
	}
	return len(s)
}

// quoted is the length of "...".
func quoted(s string) int {
	if n := strings.IndexByte(s[1:], '"'); n >= 0 {
		return n + 2 // a doubled quote begins the next one
	}
	return len(s)
}

// comment is the length of /*...*/, which nests.
func comment(s string) int {
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			if depth--; depth == 0 {
				return i + 2
			}
			i++
		}
	}
	return len(s)
}

// dollars is the length of $tag$...$tag$; 0 where none begins.
func dollars(s string) int {
	end := strings.IndexByte(s[1:], '$')
	if end < 0 {
		return 0
	}
	tag := s[:end+2]
	for i, c := range []byte(tag[1 : end+1]) {
		if !name(c) || i == 0 && c >= '0' && c <= '9' {
			return 0
		}
	}
	if n := strings.Index(s[len(tag):], tag); n >= 0 {
		return 2*len(tag) + n
	}
	return len(s)
}
