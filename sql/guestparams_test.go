package sql

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// A word that the guard lets pass is the first thing in the text that is neither
// space, parenthesis nor comment.
func FuzzFirstWord(f *testing.F) {
	for _, s := range []string{"", "SELECT 1", "((select 1))", "/* a /* b */ c */ RESET ROLE", "-- x\rSET ROLE x", "--", "/*", "/**/", "\ufeffSELECT", "select$1", "SELECT\x00", "/*/ SELECT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		word := firstWord(s)
		if word == "" {
			return
		}
		at := strings.Index(strings.ToUpper(s), word)
		if strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" || at < 0 {
			t.Errorf("%q: word %q", s, word)
		}
		if got := firstWord(" (\n/* x /* y */ */-- z\n" + s); got != word {
			t.Errorf("%q: %q after what is skipped, %q before", s, got, word)
		}
	})
}

// Every text array that is sent as a parameter is read back as it was.
func FuzzArray(f *testing.F) {
	for _, s := range []string{`[]`, `["a","b,c","{}","\"","\\","NULL","",null]`, `[["a"],["b"]]`, `[" x ","\u00e9","a\nb"]`, `["\u0000"]`, `[1e3,true,{"a":1}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var values []*string
		if json.Unmarshal(raw, &values) != nil || values == nil {
			return
		}
		sent, fault := encodeParam(bytes.TrimSpace(raw), 0, ',')
		if fault != nil {
			return // a NUL
		}
		var b bytes.Buffer
		if !appendArray(&b, sent, typeInfo{elem: 25, delim: ','}) {
			t.Fatalf("%s: cannot read %s", raw, sent)
		}
		want, _ := json.Marshal(values)
		var got []*string
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v: %s", raw, err, b.Bytes())
		}
		if again, _ := json.Marshal(got); !bytes.Equal(again, want) {
			t.Errorf("%s: sent %s, read %s", raw, sent, again)
		}
	})
}

// Whatever a function sends as parameters is refused or can be encoded.
func FuzzParams(f *testing.F) {
	for _, s := range []string{``, `[]`, `[1,"a",null,true,{"a":[1]},[[1],[null]]]`, `[1e40, 1.5E2, -0e0]`, `{"batch":[{"sql":"SELECT $1","params":[1]}]}`, `{"batch":[]}`, `null`, `[`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		statements, _, fault := parseGuest("SELECT 1", raw)
		if fault != nil {
			if !json.Valid(fault.json()) {
				t.Errorf("%s", fault.json())
			}
			return
		}
		for _, st := range statements {
			for _, p := range st.Params {
				for _, oid := range []uint32{0, oidJSON, oidJSONBArray} {
					_, _ = encodeParam(p, oid, ',')
				}
			}
		}
	})
}
