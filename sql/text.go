package sql

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/runnelhq/runnel"
)

// clean makes s storable as text: Postgres has no NUL in text and checks UTF-8.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// text is clean, and null for "".
func text(s string) *string {
	if s == "" {
		return nil
	}
	s = clean(s)
	return &s
}

func cleanMap(m map[string]string) map[string]string {
	c := make(map[string]string, len(m))
	for k, v := range m {
		c[clean(k)] = clean(v)
	}
	return c
}

func cleanLines(lines []runnel.LogLine) []runnel.LogLine {
	c := make([]runnel.LogLine, len(lines))
	for i, l := range lines {
		c[i] = runnel.LogLine{T: l.T, Level: clean(l.Level), Message: clean(l.Message)}
	}
	return c
}

// Bounds of what jsonHolds and jsonbHolds accept.
const (
	maxDepth    = 500 // levels; Postgres's parser recurses and gives up by max_stack_depth
	maxExponent = 308 // of a float64; jsonb would write 1e131071 out, 128 KB for 8 bytes
	maxDigits   = 400 // of one number
)

// jsonbHolds tells whether Postgres can store raw as jsonb and write it out again
// at a size in proportion. JSON that Go finds valid may still hold what jsonb
// refuses (\u0000, half a surrogate pair, 1e999999), and a guest chooses it.
func jsonbHolds(raw []byte) bool {
	if !jsonHolds(raw) {
		return false
	}
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '"':
			n, ok := jsonbString(raw[i:])
			if !ok {
				return false
			}
			i += n
		case c == '-' || c >= '0' && c <= '9':
			n := i
			for n < len(raw) && strings.IndexByte("+-.eE0123456789", raw[n]) >= 0 {
				n++
			}
			if !jsonbNumber(string(raw[i:n])) {
				return false
			}
			i = n
		default:
			i++
		}
	}
	return true
}

// jsonHolds tells whether Postgres can store raw as json, which keeps the text.
func jsonHolds(raw []byte) bool {
	if !json.Valid(raw) || !utf8.Valid(raw) {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			inString = !inString
		case c == '\\':
			i++ // only strings have it
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}

// jsonbString reads the valid JSON string at the start of raw and answers its
// length and whether its escapes are characters.
func jsonbString(raw []byte) (n int, ok bool) {
	high := false // the last thing read was the first half of a surrogate pair
	for i := 1; ; {
		switch {
		case raw[i] == '\\' && raw[i+1] == 'u':
			r, err := strconv.ParseUint(string(raw[i+2:i+6]), 16, 16)
			low := r >= 0xDC00 && r <= 0xDFFF
			if err != nil || r == 0 || low != high {
				return 0, false
			}
			high = r >= 0xD800 && r <= 0xDBFF
			i += 6
			continue
		case high:
			return 0, false
		case raw[i] == '\\':
			i += 2
		case raw[i] == '"':
			return i + 1, true
		default:
			i++
		}
	}
}

func jsonbNumber(s string) bool {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	if len(mantissa) > maxDigits {
		return false
	}
	if exponent == "" {
		return true
	}
	e, err := strconv.Atoi(exponent)
	return err == nil && e >= -maxExponent && e <= maxExponent
}
