package redact

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// pattern is text to search for.
type pattern struct {
	text string
	// Base64 characters beside the text that carry some bits of the value too:
	// the one before, the one after. Padding follows the latter.
	before, after bool
}

// patterns returns what to search for to find any of values in a text whose
// escapes have been undone.
func patterns(values []string) []pattern {
	const each = 9 // patterns of a value that has one line
	out := make([]pattern, 0, each*len(values))
	seen := make(map[string]bool, each*len(values))
	add := func(p pattern) {
		if !seen[p.text] && !strings.Contains(Mask, p.text) {
			seen[p.text] = true
			out = append(out, p)
		}
	}
	for _, v := range values {
		if !maskable(v) {
			continue
		}
		add(pattern{text: v})
		if !utf8.ValidString(v) { // JSON encoders write U+FFFD for each bad byte
			add(pattern{text: string([]rune(v))})
		}
		if strings.ContainsAny(v, "\r\n") {
			for line := range strings.Lines(v) {
				if line = strings.TrimSpace(line); maskable(line) {
					add(pattern{text: line})
				}
			}
		}
		lower := hex.EncodeToString([]byte(v))
		add(pattern{text: lower})
		add(pattern{text: strings.ToUpper(lower)})
		for offset := range 3 {
			p := inBase64(v, offset)
			add(p)
			p.text = urlAlphabet.Replace(p.text)
			add(p)
		}
	}
	return out
}

var urlAlphabet = strings.NewReplacer("+", "-", "/", "_")

// inBase64 returns the characters that every base64 text has in which value
// stands offset bytes (modulo 3) from the start. They are at least 10.
func inBase64(value string, offset int) pattern {
	text := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:offset] + value))
	bits := 8 * (offset + len(value))
	first := (8*offset + 5) / 6 // the first character with bits of value only
	return pattern{
		text:   text[first : bits/6],
		before: offset > 0,
		after:  bits%6 > 0,
	}
}
