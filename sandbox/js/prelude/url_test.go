package prelude

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	whatwg "github.com/nlnwa/whatwg-url/url"
)

// platformTests reads a file of the web platform tests that the URL library comes
// with. go test has downloaded it, because the package imports it.
func platformTests(t *testing.T, name string, into any) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/nlnwa/whatwg-url").Output()
	if err != nil {
		t.Skipf("go list cannot find the URL library's tests: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "testdata", name))
	if err != nil {
		t.Skipf("the URL library came without its tests (vendored?): %v", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

var fieldNames = []string{"href", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash", "origin"}

func TestPlatformTestsOfURLs(t *testing.T) {
	var raw []json.RawMessage
	platformTests(t, "urltestdata.json", &raw)
	ran := 0
	for _, r := range raw {
		var c struct {
			Input, Base *string
			Failure     bool
		}
		var want map[string]any
		if json.Unmarshal(r, &c) != nil || c.Input == nil { // a comment
			continue
		}
		_ = json.Unmarshal(r, &want)
		base, hasBase := "", ""
		if c.Base != nil {
			base, hasBase = *c.Base, "base"
		}
		ran++
		got, err := ask(t, "url_parse", *c.Input, base, hasBase)
		if c.Failure {
			if err == nil {
				t.Errorf("%q with base %q: %q, want a failure", *c.Input, base, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q with base %q: %v", *c.Input, base, err)
			continue
		}
		for i, v := range strings.Split(got, "\n") {
			if w, ok := want[fieldNames[i]]; ok && w != v {
				t.Errorf("%q with base %q: %s is %q, want %q", *c.Input, base, fieldNames[i], v, w)
			}
		}
	}
	if ran < 500 {
		t.Errorf("only %d cases", ran)
	}
	t.Logf("%d cases", ran)
}

func TestPlatformTestsOfSetters(t *testing.T) {
	var all map[string]json.RawMessage
	platformTests(t, "setters_tests.json", &all)
	ran := 0
	for field, raw := range all {
		if field == "comment" || field == "href" {
			continue
		}
		var cases []struct {
			Href     string
			NewValue string            `json:"new_value"`
			Expected map[string]string `json:"expected"`
		}
		if err := json.Unmarshal(raw, &cases); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			ran++
			got, err := ask(t, "url_set", c.Href, field, c.NewValue)
			if err != nil {
				t.Errorf("%s of %q to %q: %v", field, c.Href, c.NewValue, err)
				continue
			}
			values := strings.Split(got, "\n")
			for i, f := range fieldNames {
				if w, ok := c.Expected[f]; ok && w != values[i] {
					t.Errorf("%s of %q to %q: %s is %q, want %q", field, c.Href, c.NewValue, f, values[i], w)
				}
			}
		}
	}
	if ran < 200 {
		t.Errorf("only %d cases", ran)
	}
	t.Logf("%d cases", ran)
}

// What a URL takes grows with its length, whatever it is made of, and the library
// sees no more of it than its bound.
func TestLongURLsTakeWorkThatGrowsWithTheirLength(t *testing.T) {
	const longest = 100 << 10
	for _, piece := range []string{"%", "@", "a", "é", "/", "\\", "a/../", "%2e%2E/", "?", "#", "[", "\t", "a/"} {
		for _, start := range []string{"", "http://a/", "http://a/?", "http://a/#", "http://", "http:", "x:", "x://a/", "x:/", "file:///", "//a/", "blob:http://a/"} {
			for _, base := range []string{"", "http://b/c?d", "http://b/" + strings.Repeat("e/", longest/2), "x:y"} {
				if len(base) > 100 && start != "" && start != "http:" {
					continue // it has no part in it
				}
				var before int
				for size := longest / 2; size <= longest; size *= 2 {
					text := start + strings.Repeat(piece, size/len(piece))
					hasBase := ""
					if base != "" {
						hasBase = "base"
					}
					p := new(urlParser)
					u, err := p.both([][]byte{[]byte(text), []byte(base), []byte(hasBase)})
					if p.library > 4*maxLibrary || p.own > 12*(len(text)+len(base)) {
						t.Errorf("%s%q... with base %.20q: %d bytes: %d bytes for the library, %d looked at", start, piece, base, len(text), p.library, p.own)
					}
					if before > 0 && p.own > 3*before+8*len(base)+1000 {
						t.Errorf("%s%q...: twice the length takes %d after %d", start, piece, p.own, before)
					}
					before = p.own
					if err != nil || size < longest/2 || len(base) > 100 {
						continue
					}
					for _, field := range []string{"search", "hash", "pathname", "username", "protocol"} {
						set := new(urlParser)
						if err := set.set(u, field, text); err == nil && set.own > 12*(len(text)+len(base)) || set.library > 4*maxLibrary {
							t.Errorf("%s of %s%q...: %d bytes for the library, %d looked at", field, start, piece, set.library, set.own)
						}
					}
				}
			}
		}
	}
}

func TestLongURLs(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	for text, want := range map[string]string{
		"http://a/?q=" + long + " ":              "http://a/?q=" + long,
		"http://a/" + long + "/../b#" + long:     "http://a/b#" + long,
		"http://a/" + strings.Repeat("../", 9e3): "http://a/",
	} {
		got, err := ask(t, "url_parse", text, "", "")
		if href, _, _ := strings.Cut(got, "\n"); err != nil || href != want {
			t.Errorf("%.40q: %.60q, %v", text, href, err)
		}
	}
	for _, text := range []string{"http://" + long + "/", "http://a/" + strings.Repeat("x", maxURL), "http://" + strings.Repeat("@", maxAt+1) + "/"} {
		if _, err := ask(t, "url_parse", text, "", ""); err == nil || !strings.Contains(err.Error(), "Invalid URL") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// Short URLs are parsed as the library would, whatever they are made of.
func FuzzURLsAsTheLibraryHasThem(f *testing.F) {
	for _, s := range []string{"http://u:p@a:1/b/../c?d#e", "x:/..//y", "x:y ?z", "https:a", "//b\\c", "?x", "#y", "", "a/%2e./b", "ws:\\/x", "x://h", "mailto:a@b", "blob:http://a/b", "http://a/ü'\"<>`{}^|"} {
		f.Add(s, "http://u@h:1/p/q?r#s")
		f.Add(s, "x:/p/q")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, text, base string) {
		if len(text)+len(base) > 500 || strings.Count(text+base, "@") > maxAt {
			return
		}
		args := [][]byte{[]byte(text), []byte(base), []byte(base)}
		got, err := new(urlParser).both(args)
		if base != "" {
			if b, err := given(args[1]); err != nil {
				return
			} else if _, err := new(urlParser).parse(b, nil); err != nil {
				return // the library does not look whether it is one
			}
		}
		if text, err2 := given(args[0]); err2 == nil {
			var want *whatwg.Url
			if base == "" {
				want, err2 = whatwg.Parse(text)
			} else {
				b, _ := given(args[1])
				want, err2 = whatwg.ParseRef(b, text)
			}
			switch {
			case (err == nil) != (err2 == nil):
				t.Errorf("%q with %q: %v, and the library says %v", text, base, err, err2)
			case err == nil && got.href() != want.Href(false):
				t.Errorf("%q with %q: %q, and the library says %q", text, base, got.href(), want.Href(false))
			}
		}
	})
}
