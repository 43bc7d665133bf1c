package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func ring(t testing.TB, keys ...string) *Ring {
	t.Helper()
	r, err := Parse(strings.Join(keys, ","))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParse(t *testing.T) {
	t.Parallel()
	raw := bytes.Repeat([]byte{0xfb, 0xff}, 16)
	sealed := ring(t, hex.EncodeToString(raw)).Seal([]byte("v"))
	for _, enc := range []string{
		strings.ToUpper(hex.EncodeToString(raw)), " " + hex.EncodeToString(raw) + "\n",
		base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
		base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
	} {
		if v, err := ring(t, enc).Open(sealed); err != nil || string(v) != "v" {
			t.Errorf("%s is another key: %v", enc, err)
		}
	}
	secret := strings.Repeat("ab", 31)
	for _, bad := range []string{"", ",", secret, secret + "abab", Generate() + ",", Generate() + "," + secret, "correct horse battery staple....", secret + "zz"} {
		_, err := Parse(bad)
		if err == nil {
			t.Errorf("%q was accepted", bad)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows a key: %v", err)
		}
	}
	same := Generate()
	if _, err := Parse(same + "," + strings.ToUpper(same)); err == nil || !strings.Contains(err.Error(), "keys 1 and 2") {
		t.Errorf("a key twice: %v", err)
	}
}

func TestFUNC_S1_RingsDoNotPrintKeys(t *testing.T) {
	t.Parallel()
	text := Generate()
	raw, _ := hex.DecodeString(text)
	r := ring(t, text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, r); strings.Contains(got, text) || strings.Contains(got, string(raw)) || strings.Contains(got, fmt.Sprint(raw[0])+" "+fmt.Sprint(raw[1])) {
			t.Errorf("%s shows the key: %s", verb, got)
		}
	}
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	a, b := Generate(), Generate()
	old, both, next := ring(t, a), ring(t, b, a), ring(t, b)
	value := []byte("sk_live_0123456789")
	sealed := old.Seal(value, "function", "API_KEY")
	if len(sealed) != len(value)+Overhead || bytes.Contains(sealed, value) {
		t.Errorf("sealed is %x", sealed)
	}
	if again := old.Seal(value, "function", "API_KEY"); bytes.Equal(again, sealed) {
		t.Error("sealing twice gives the same bytes")
	}
	for name, r := range map[string]*Ring{"old": old, "both": both} {
		if got, err := r.Open(sealed, "function", "API_KEY"); err != nil || !bytes.Equal(got, value) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if !old.Current(sealed) || both.Current(sealed) || !both.Current(both.Seal(nil)) || old.Current(nil) {
		t.Error("Current does not tell the first key")
	}
	if _, err := next.Open(sealed, "function", "API_KEY"); !errors.Is(err, ErrKey) {
		t.Errorf("without its key: %v", err)
	}
	for _, context := range [][]string{{}, {"function"}, {"API_KEY", "function"}, {"functionA", "PI_KEY"}, {"functionAPI_KEY"}, {"function", "API_KEY", ""}, {"function", "api_key"}} {
		if _, err := old.Open(sealed, context...); !errors.Is(err, ErrSealed) {
			t.Errorf("as %q: %v", context, err)
		}
	}
	for i := range sealed {
		changed := slices.Clone(sealed)
		changed[i] ^= 1
		if _, err := both.Open(changed, "function", "API_KEY"); err == nil {
			t.Errorf("byte %d was changed and it opens", i)
		}
		if _, err := both.Open(sealed[:i], "function", "API_KEY"); err == nil {
			t.Errorf("cut off at %d, it opens", i)
		}
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, strings.Repeat("01", 32), strings.Repeat("02", 32))
	sealed := r.Seal([]byte("value"), "a", "b")
	f.Add(sealed)
	f.Add(sealed[:Overhead])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := r.Open(b, "a", "c"); err == nil {
			t.Fatalf("%x opened as %q", b, v)
		}
		r.Current(b)
	})
}

func FuzzParse(f *testing.F) {
	f.Add(Generate() + "," + Generate())
	f.Add("a,,b")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		if v, err := r.Open(r.Seal([]byte("v"), "x"), "x"); err != nil || string(v) != "v" {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
