package terminal

import (
	"testing"
	"unicode"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain é 漢 \n":        "plain é 漢 \n",
		"\x1b[2J\x07\r\t\x00": "\\u001b[2J\\u0007\\u000d\t\\u0000",
		"a\u202eb":            `a\u202eb`,
		"\u009b31m":           `\u009b31m`,
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q = %q, want %q", text, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b]0;title\x07")
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range Printable(s) {
			if c != '\n' && c != '\t' && unicode.IsControl(c) {
				t.Fatalf("%q leaves %U", s, c)
			}
		}
	})
}
