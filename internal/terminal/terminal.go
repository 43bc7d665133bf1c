// Package terminal makes text safe to write on one.
package terminal

import (
	"fmt"
	"strings"
	"unicode"
)

// Printable escapes what could move the cursor or change the terminal, as \u001b:
// names, logs and rows are written by whoever wrote the function or called it. Line
// breaks and tabs stay, and so does everything that can be seen.
func Printable(s string) string {
	if !strings.ContainsFunc(s, unsafe) {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		if unsafe(c) {
			fmt.Fprintf(&b, `\u%04x`, c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

func unsafe(c rune) bool {
	return c != '\n' && c != '\t' && (unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c))
}
