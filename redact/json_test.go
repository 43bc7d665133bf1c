package redact

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFUNC_S1_JSONStaysValid(t *testing.T) {
	r := New("correct-horse", "1234567890", `{"kind":"account","id":7}`, `with"quote\and`, `a\u0041bcdefg`, "tab\tin the text")
	for in, want := range map[string]string{
		`{"a":"x correct-horse y"}`:                 `{"a":"x M y"}`,
		`{"correct-horse":1}`:                       `{"M":1}`,
		`"\u0063orrect-h\u006Frse!"`:                `"M!"`,
		`[1234567890, 11234567890.5e3,12345,true]`:  `["M", "M",12345,true]`,
		` {"pin" : 1234567890 } `:                   ` {"pin" : "M" } `,
		`{"a":"with\"quote\\and"}`:                  `{"a":"M"}`,
		`{"a":"with\\\"quote\\\\and"}`:              `{"a":"M"}`,
		`{"a":"{\"b\":\"with\\\"quote\\\\and\"}"}`:  `{"a":"{\"b\":\"M\"}"}`,
		`{"x":[{"kind":"account","id":7},2],"y":1}`: `{"x":["M",2],"y":1}`,
		`{"x":"{\"kind\":\"account\",\"id\":7}"}`:   `{"x":"M"}`,
		`"a\u0041bcdefg"`:                           `"M"`, // as it is, though it says something else
		`"xa\\u0041bcdefgx"`:                        `"xMx"`,
		`"tab\tin the text"`:                        `"M"`,
		`"tab\u0009in\u0020the text\n"`:             `"M\n"`,
		`{"b":"Y29ycmVjdC1ob3JzZQ==","u":"\ud800"}`: `{"b":"M","u":"\ud800"}`,
		`null`: `null`,
		`{"big":123456789012345678901234567,"z":0}`:   `{"big":"M","z":0}`,
		`{"k":1,"k":2,"u":"\u0000","n":1.0e+2,"":{}}`: `{"k":1,"k":2,"u":"\u0000","n":1.0e+2,"":{}}`,
		`not json correct-horse`:                      `not json M`,
		``:                                            ``,
	} {
		want = strings.ReplaceAll(want, "M", Mask)
		before := in
		b := []byte(in)
		got := string(r.JSON(b))
		if got != want {
			t.Errorf("%s\n  became %s\n  want   %s", in, got, want)
		}
		if json.Valid(b) && !json.Valid([]byte(got)) {
			t.Errorf("%s became invalid: %s", in, got)
		}
		if string(b) != before {
			t.Errorf("the argument changed to %s", b)
		}
	}
}

func TestFUNC_S1_JSONAcrossMembers(t *testing.T) {
	for secret, cases := range map[string]map[string]string{
		`"b":2,"c":3`:   {`{"a":1,"b":2,"c":3,"d":4}`: `"M"`, `[{"a":{"b":2,"c":3}}]`: `[{"a":"M"}]`},
		` [1, 2, 3]`:    {` [1, 2, 3]`: `"M"`, `[0, [1, 2, 3]]`: `"M"`},
		`"abcdefg"`:     {`{"k":"abcdefg"}`: `{"k":"M"}`, `{"abcdefg":1}`: `{"M":1}`},
		`abc":"defg`:    {`{"abc":"defg"}`: `"M"`},
		`]],[[],[],[[]`: {`[[[]],[[],[],[[]]]]`: `"M"`},
	} {
		r := New(secret)
		for in, want := range cases {
			want = strings.ReplaceAll(want, "M", Mask)
			if got := string(r.JSON([]byte(in))); got != want {
				t.Errorf("%s in %s became %s, want %s", secret, in, got, want)
			}
		}
	}
}

func FuzzFUNC_S1_JSONStaysValid(f *testing.F) {
	for _, v := range hard {
		doc, _ := json.Marshal(map[string]any{"k": "x" + v, v: []any{1, v + "y", "plain", 12345678, nil}})
		f.Add(v, string(doc))
		f.Add(v, "not json "+v)
	}
	f.Add(`{"a":1},{"b":2}`, `[{"a":1},{"b":2}]`)
	f.Fuzz(func(t *testing.T, v, doc string) {
		r := New(v)
		got := r.JSON([]byte(doc))
		if !json.Valid([]byte(doc)) {
			if want := r.String(doc); string(got) != want {
				t.Fatalf("invalid JSON %q became %q, not %q", doc, got, want)
			}
			return
		}
		if !json.Valid(got) {
			t.Fatalf("%q in %s became invalid: %s", v, doc, got)
		}
		if utf8.RuneCountInString(v) < MinLength || strings.Contains(Mask, v) || strings.Contains(v, "*") {
			return
		}
		if bytes.Contains(got, []byte(v)) {
			t.Fatalf("%q survives in %s, from %s", v, got, doc)
		}
		var decoded any
		if json.Unmarshal(got, &decoded) == nil {
			eachString(decoded, func(s string) {
				if strings.Contains(s, v) {
					t.Fatalf("%q survives in the string %q of %s, from %s", v, s, got, doc)
				}
			})
		}
		if !bytes.Contains(got, []byte(Mask)) && string(got) != doc {
			t.Fatalf("nothing was masked but %s became %s", doc, got)
		}
	})
}

func eachString(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case []any:
		for _, e := range v {
			eachString(e, f)
		}
	case map[string]any:
		for k, e := range v {
			f(k)
			eachString(e, f)
		}
	}
}
