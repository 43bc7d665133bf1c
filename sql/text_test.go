package sql

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "é": "é", "a\x00b": "a\uFFFDb", "\xff\xfe": "\uFFFD", "\xed\xa0\x80": "\uFFFD"} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x00\xff")
	f.Fuzz(func(t *testing.T, s string) {
		c := clean(s)
		if !utf8.ValidString(c) || strings.ContainsRune(c, 0) || clean(c) != c {
			t.Errorf("clean(%q) = %q", s, c)
		}
		if utf8.ValidString(s) && !strings.ContainsRune(s, 0) && c != s {
			t.Errorf("clean(%q) = %q changed a good text", s, c)
		}
	})
}

// FuzzJSONBHolds looks for a text that passes here and fails in Postgres. Without
// RUNNEL_TEST_DATABASE_URL it looks for panics only, and for texts that are not JSON.
func FuzzJSONBHolds(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-2.5e3,"\u00e9\ud83d\ude00\\u0000",true,null]}`, `"\u0000"`, `"\ud800x"`, `1e400`, `[[[[]]]]`, `"\ud83d\ude00\ude00"`, `1E+308`, `-0`} {
		f.Add([]byte(seed))
	}
	var conn *pgx.Conn
	if url := os.Getenv("RUNNEL_TEST_DATABASE_URL"); url != "" {
		var err error
		if conn, err = pgx.Connect(f.Context(), url); err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { conn.Close(f.Context()) })
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !jsonbHolds(raw) {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("%q is not JSON", raw)
		}
		if conn == nil {
			return
		}
		var size int
		if err := conn.QueryRow(t.Context(), `SELECT octet_length($1::text::jsonb::text)`, string(raw)).Scan(&size); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if size > 200*len(raw)+100 {
			t.Fatalf("%q of %d bytes is written out as %d", raw, len(raw), size)
		}
	})
}
