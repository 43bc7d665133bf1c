package prelude

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
