package prelude

import "testing"

func TestDecodingReplacesLongestPieces(t *testing.T) {
	for _, c := range [][2]string{
		{"abc", "abc"},
		{"\xff", "�"},
		{"a\xe2\x82z", "a�z"},        // one character that does not end
		{"\xe2\x28\xa1", "�(�"},      // the second byte does not fit
		{"\xf0\x9f\x98", "�"},        // three of four
		{"\xc0\xaf", "��"},           // overlong
		{"\xed\xa0\x80", "���"},      // a surrogate
		{"\xf4\x90\x80\x80", "����"}, // above U+10FFFF
		{"\xf0\x80\x80\x80", "����"}, // overlong
		{"\xe0\x80\x80", "���"},      // overlong
		{"\xef\xbb\xbfx", "\ufeffx"}, // the mark is JavaScript's to drop
		{"\xe2\x82\xac\x80", "\u20ac�"},
	} {
		if got, err := ask(t, "utf8_decode", c[0], ""); err != nil || got != c[1] {
			t.Errorf("%q: %q, %v, want %q", c[0], got, err, c[1])
		}
		if _, err := ask(t, "utf8_decode", c[0], "fatal"); (name(err) == "TypeError") != (c[0] != c[1]) {
			t.Errorf("%q with fatal: %v", c[0], err)
		}
	}
	for _, c := range [][3]string{
		{"a\x00=\xd8\x00\xde", "", "a\U0001F600"},
		{"\x00a\xd8=", "be", "a�"},
		{"=\xd8a\x00", "", "�a"},
		{"a\x00b", "", "a�"},
	} {
		if got, err := ask(t, "utf16_decode", c[0], c[1]); err != nil || got != c[2] {
			t.Errorf("%q: %q, %v, want %q", c[0], got, err, c[2])
		}
	}
	if got, _ := ask(t, "latin1_decode", "\x80\xe9\x9d", ""); got != "€é\u009d" {
		t.Errorf("latin1: %q", got)
	}
}
