package sandbox

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// byteSize writes a limit the way it is configured: 128 MB, 1.5 MB, 64 KB.
func byteSize(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%d KB", n>>10)
	}
}

// clean makes guest text storable: valid UTF-8 without NUL, which Postgres cannot
// keep in text or jsonb.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// excerpt returns at most n bytes of s as clean text, with an ellipsis when there
// was more.
func excerpt(s string, n int) string {
	if len(s) <= n {
		return clean(s)
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return clean(s[:n]) + "..."
}
