package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// hard are secrets that look different in every form.
var hard = []string{
	"correct-horse-battery",
	`p@ss"word\with/<every>&'kind of+char%41`,
	"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAo+/\n-----END KEY-----\n",
	"пароль-密码-🔑🔑",
	"\\n\\u0041\\\"quoted",
	"12345678",
	"%2541+%20&amp;&#65;",
	"tab\tand\x01control\x7f",
	"abcabcabcabcabcabd",
}

// forms are the ways a value may be written that redaction promises to find,
// made with other code than the code under test.
func forms(v string) map[string]string {
	out := map[string]string{
		"raw":                  v,
		"json":                 jsonEscape(v, true),
		"json without html":    jsonEscape(v, false),
		"json ascii":           jsonASCII(v),
		"json slash":           strings.ReplaceAll(jsonEscape(v, false), "/", `\/`),
		"double json":          jsonEscape(jsonEscape(v, true), true),
		"double json no html":  jsonEscape(jsonEscape(v, false), false),
		"%q":                   inside(fmt.Sprintf("%q", v)),
		"%+q":                  inside(fmt.Sprintf("%+q", v)),
		"url query":            url.QueryEscape(v),
		"url path":             url.PathEscape(v),
		"url query lower":      lowerPercent(url.QueryEscape(v)),
		"url path lower":       lowerPercent(url.PathEscape(v)),
		"url every byte":       percentAll(v),
		"html":                 html.EscapeString(v),
		"html entities":        strings.NewReplacer("&", "&amp;", `"`, "&quot;", "'", "&apos;", "<", "&lt;", ">", "&#x3E;").Replace(v),
		"hex lower":            hex.EncodeToString([]byte(v)),
		"hex upper":            strings.ToUpper(hex.EncodeToString([]byte(v))),
		"unicode escape lower": unicodeAll(v, `\u%04x`),
		"unicode escape upper": unicodeAll(v, `\u%04X`),
		"json of url":          jsonEscape(url.QueryEscape(v), true),
		"url of json":          url.QueryEscape(jsonEscape(v, true)),
		"html of json":         html.EscapeString(jsonEscape(v, false)),
		"json of html":         jsonEscape(html.EscapeString(v), true),
	}
	for offset := range 3 {
		in := []byte("\xfb\xff"[:offset] + v)
		for name, e := range map[string]*base64.Encoding{"std": base64.StdEncoding, "url": base64.URLEncoding, "raw std": base64.RawStdEncoding, "raw url": base64.RawURLEncoding} {
			out[fmt.Sprintf("base64 %s at %d", name, offset)] = e.EncodeToString(in)
			out[fmt.Sprintf("base64 %s at %d and more", name, offset)] = e.EncodeToString(append(slices.Clone(in), "\xff\x00more"...))
		}
	}
	if !utf8.ValidString(v) { // these forms are of characters and lose bad bytes
		delete(out, "unicode escape lower")
		delete(out, "unicode escape upper")
	}
	return out
}

func jsonEscape(v string, escapeHTML bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escapeHTML)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return inside(strings.TrimSuffix(b.String(), "\n"))
}

func jsonASCII(v string) string {
	var b strings.Builder
	for _, r := range jsonEscape(v, true) {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			b.WriteString(unicodeAll(string(r), `\u%04x`))
		}
	}
	return b.String()
}

func unicodeAll(v, format string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(v)) {
		fmt.Fprintf(&b, format, u)
	}
	return b.String()
}

func percentAll(v string) string {
	var b strings.Builder
	for _, c := range []byte(v) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func lowerPercent(s string) string {
	b := []byte(s)
	for i := range b {
		if b[i] == '%' {
			copy(b[i:], strings.ToLower(string(b[i:i+3])))
		}
	}
	return string(b)
}

func inside(quoted string) string { return quoted[1 : len(quoted)-1] }

func TestFUNC_S1_SensitiveKey(t *testing.T) {
	for key, want := range map[string]bool{
		"API_KEY": true, "api_key": true, "STRIPE_API_KEY_2": true, "Secret": true, "DB_PASSWORD": true,
		"accessToken": true, "TOKENS": true, "ENV": false, "KEY": false, "APIKEY": false, "": false, "PASS": false,
	} {
		if got := SensitiveKey(key); got != want {
			t.Errorf("SensitiveKey(%q) = %v", key, got)
		}
	}
}

func TestFUNC_S1_EnvironmentIsMaskedByKey(t *testing.T) {
	env := map[string]string{"API_KEY": "abc", "ENV": "production", "db_password": "", "Token": "0123456789"}
	before := maps.Clone(env)
	want := map[string]string{"API_KEY": Mask, "ENV": "production", "db_password": Mask, "Token": Mask}
	if got := Environment(env); !maps.Equal(got, want) {
		t.Errorf("Environment = %v, want %v", got, want)
	}
	if !maps.Equal(env, before) {
		t.Error("Environment changed its argument")
	}
	if Environment(nil) == nil {
		t.Error("Environment(nil) is nil; it would be null in JSON")
	}
}

func TestFUNC_S1_UnmaskableNamesShortSecrets(t *testing.T) {
	env := map[string]string{"Z_TOKEN": "short", "API_KEY": "1234567", "SECRET": "12345678", "PASSWORD": "", "ENV": "dev", "MY_SECRET": "пароль1"}
	if got, want := Unmaskable(env), []string{"API_KEY", "MY_SECRET", "Z_TOKEN"}; !slices.Equal(got, want) {
		t.Errorf("Unmaskable = %v, want %v", got, want)
	}
}

func TestFUNC_S1_EveryFormIsMasked(t *testing.T) {
	for _, v := range hard {
		r := New("another secret", v)
		for name, form := range forms(v) {
			t.Run(fmt.Sprintf("%.12q/%s", v, name), func(t *testing.T) {
				for _, around := range [][2]string{{"", ""}, {"before ", " after"}, {"x", "y"}, {"/", "/"}, {`"`, `"`}, {"=", "="}, {"%", "%"}, {"&", ";"}} {
					got := r.String(around[0] + form + around[1])
					if !strings.Contains(got, Mask) || strings.Contains(got, form) {
						t.Fatalf("%q became %q", around[0]+form+around[1], got)
					}
					if !strings.HasPrefix(name, "base64") && got != around[0]+Mask+around[1] {
						t.Errorf("%q became %q: more or less than the secret is masked", around[0]+form+around[1], got)
					}
				}
			})
		}
	}
}

func TestFUNC_S1_EachLineIsMasked(t *testing.T) {
	key := "-----BEGIN KEY-----\r\n  MIIEvQIBADANBgkqhkiG9w0B\r\nshort\r\n-----END KEY-----\r\n"
	r := New(key)
	got := r.String("a MIIEvQIBADANBgkqhkiG9w0B b short c")
	if want := "a " + Mask + " b short c"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := r.String("[" + strings.TrimSpace(key) + "]"); strings.Contains(got, "MIIE") {
		t.Errorf("without the last line break: %q", got)
	}
}

func TestFUNC_S1_OverlappingSecretsBecomeOneMask(t *testing.T) {
	r := New("password", "password-and-more", "more-than-that", "hat-stand")
	for in, want := range map[string]string{
		"[password]":                                Mask,
		"[password-and-more]":                       Mask,
		"[password-and-more-than-that]":             Mask,
		"[password-and-more-than-that-stand]":       Mask,
		"[passwordpassword]":                        Mask,
		"[password password]":                       Mask + " " + Mask,
		"[passwor]":                                 "passwor",
		"[password-and-mor]":                        Mask + "-and-mor",
		"[password-and-mormore-than-that-stan more": Mask + "-and-mor" + Mask + "-stan more",
	} {
		want = "[" + want + "]"
		if in[len(in)-1] != ']' {
			want = want[:len(want)-1]
		}
		if got := r.String(in); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}

func TestFUNC_S1_ShortValuesAreLeftAlone(t *testing.T) {
	r := New("", "a", "1234567", "REDACTED")
	in := "a 1234567 REDACTED " + Mask
	if got := r.String(in); got != in {
		t.Errorf("got %q", got)
	}
	if got := string(r.JSON([]byte(`{"a":"1234567"}`))); got != `{"a":"1234567"}` {
		t.Errorf("got %s", got)
	}
	if got := r.Lines([]string{in}); got[0] != in {
		t.Errorf("got %q", got)
	}
}

func TestFUNC_S1_ForEnvironmentTakesSensitiveKeysOnly(t *testing.T) {
	r := ForEnvironment(map[string]string{"API_KEY": "sk_live_12345", "ENV": "production"})
	if got, want := r.String("production sk_live_12345"), "production "+Mask; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFUNC_S1_SplitAcrossLines(t *testing.T) {
	v := "correct-horse-battery"
	r := New(v, "MIIEvQIBAD\nshort\nANBgkqhkiG")
	for name, c := range map[string]struct{ in, want []string }{
		"one line":       {[]string{"a " + v + " b"}, []string{"a " + Mask + " b"}},
		"two lines":      {[]string{"a correct-ho", "rse-battery b"}, []string{"a " + Mask, Mask + " b"}},
		"three lines":    {[]string{"a corre", "ct-horse-", "battery b"}, []string{"a " + Mask, Mask, Mask + " b"}},
		"an empty line":  {[]string{"correct-ho", "", "rse-battery"}, []string{Mask, "", Mask}},
		"twice":          {[]string{"correct-horse", "-battery correct-", "horse-battery"}, []string{Mask, Mask + " " + Mask, Mask}},
		"a value's line": {[]string{"MIIEvQIBAD", "short", "ANBgkqhkiG"}, []string{Mask, Mask, Mask}},
		"not a secret":   {[]string{"correct", "horse", "short"}, []string{"correct", "horse", "short"}},
		"none":           {nil, nil},
	} {
		before := slices.Clone(c.in)
		if got := r.Lines(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if !slices.Equal(before, c.in) {
			t.Errorf("%s: the argument changed", name)
		}
	}
	for name, form := range forms(hard[1]) {
		r := New(hard[1])
		for cut := 1; cut < len(form); cut++ {
			in := []string{"first", "x" + form[:cut], form[cut:] + "y", "last"}
			got := r.Lines(in)
			if len(got) != 4 || !strings.Contains(got[1], Mask) || !strings.Contains(got[2], Mask) || strings.Contains(strings.Join(got, ""), form) {
				// Base64 may carry the value's first or last bits only on one side of the cut.
				if strings.HasPrefix(name, "base64") && strings.Contains(got[1]+got[2], Mask) && !strings.Contains(strings.Join(got, ""), form) {
					continue
				}
				t.Fatalf("%s cut at %d: %q became %q", name, cut, in, got)
			}
		}
	}
}

func TestFUNC_S1_SafeForConcurrentUse(t *testing.T) {
	r := New(hard...)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, v := range hard {
				if got := r.String(v); got != Mask {
					t.Errorf("%q became %q", v, got)
				}
			}
		})
	}
	wg.Wait()
}

// The matcher finds exactly the union of all occurrences of all patterns.
func TestMatcherAgainstBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "ab"[rng.IntN(2)]
		}
		return string(b)
	}
	for range 3000 {
		var ps []pattern
		for range 1 + rng.IntN(6) {
			ps = append(ps, pattern{text: word(window + rng.IntN(8))})
		}
		m := newMatcher(ps)
		text := word(rng.IntN(120))
		var want []span
		for _, p := range ps {
			for i := range text {
				if strings.HasPrefix(text[i:], p.text) {
					want = append(want, span{i, i + len(p.text)})
				}
			}
		}
		got := merge(m.in(view{text: []byte(text)}, nil))
		if want = merge(want); len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("patterns %v in %q: got %v, want %v", ps, text, got, want)
		}
	}
}

func FuzzFUNC_S1_NoSecretSurvives(f *testing.F) {
	for _, v := range hard {
		f.Add(v, "before ", " after", uint16(3))
	}
	f.Add("abcdefgh\xff", "\xf0", "\x9f", uint16(1))
	f.Fuzz(func(t *testing.T, v, before, after string, cut uint16) {
		if utf8.RuneCountInString(v) < MinLength || len(v) > 1<<10 || strings.Contains(Mask, v) || strings.Contains(v, "*") {
			return // the Mask itself may not complete the secret
		}
		if strings.ContainsAny(before, `\%&`) || utf8.RuneCountInString(before) > 1<<10 {
			return // a form may not be glued to half an escape: it would read differently
		}
		r := New(v)
		for name, form := range forms(v) {
			text := before + form + after
			if got := r.String(text); strings.Contains(got, form) || !strings.Contains(got, Mask) {
				t.Errorf("%s: %q became %q", name, text, got)
			}
			at := int(cut) % (len(text) + 1)
			if got := strings.Join(r.Lines([]string{text[:at], text[at:]}), ""); strings.Contains(got, form) || !strings.Contains(got, Mask) {
				t.Errorf("%s: %q cut at %d became %q", name, text, at, got)
			}
		}
	})
}

func benchmarkText(size int, secrets []string, every int) string {
	rng := rand.New(rand.NewPCG(3, 4))
	var b strings.Builder
	for n := 0; b.Len() < size; n++ {
		fmt.Fprintf(&b, `{"level":"info","msg":"GET /orders/%d?limit=10&sort=desc took %dms","id":"%x","path":"C:\\logs","p":"100%%"}`+"\n", rng.IntN(1e6), rng.IntN(1000), rng.Uint64())
		if every > 0 && n%every == 0 {
			b.WriteString(secrets[n/every%len(secrets)])
		}
	}
	return b.String()[:size]
}

func benchmarkSecrets(n int) []string {
	rng := rand.New(rand.NewPCG(5, 6))
	var out []string
	for range n {
		out = append(out, fmt.Sprintf("sk_live_%x%x", rng.Uint64(), rng.Uint64()))
	}
	return out
}

func BenchmarkRedact64KiB(b *testing.B) {
	for _, n := range []int{10, 50} {
		secrets := benchmarkSecrets(n)
		for name, text := range map[string]string{
			"clean":       benchmarkText(64<<10, nil, 0),
			"hits":        benchmarkText(64<<10, secrets, 20),
			"adversarial": strings.Repeat(`\\%25&amp;+`, 64<<10/11),
		} {
			b.Run(fmt.Sprintf("%d secrets, %d patterns/%s", n, len(patterns(secrets)), name), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					New(secrets...).String(text)
				}
			})
		}
	}
}

// A value and a text that repeat one byte would cost their product if matches
// were compared one by one.
func BenchmarkRedactPeriodic(b *testing.B) {
	secret, text := strings.Repeat("a", 16<<10)+"b", strings.Repeat("a", 64<<10)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		New(secret).String(text)
	}
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{1, 10, 50} {
		secrets := benchmarkSecrets(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				New(secrets...)
			}
		})
	}
}
