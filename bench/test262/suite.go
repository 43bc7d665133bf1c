package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// noFunctionHas are features of a world that a function does not have: other realms,
// files to import (a function is bundled into one), and an object that browsers have.
var noFunctionHas = []string{"cross-realm", "dynamic-import", "IsHTMLDDA", "host-gc-required"}

var (
	front    = regexp.MustCompile(`(?s)/\*---(.*?)---\*/`)
	list     = regexp.MustCompile(`(?m)^\s*(flags|features|includes):\s*(?:\[([^\]]*)\]|((?:\n\s*-.*)+))`)
	negative = regexp.MustCompile(`(?s)negative:\s*\n\s+phase:\s*(\w+)\s*\n\s+type:\s*(\w+)`)
)

// suite is a checkout of test262.
type suite struct {
	dir   string
	match *regexp.Regexp // of paths that count
	skip  []string       // features
}

type test struct {
	path     string // from the suite's folder
	text     string
	flags    []string
	features []string
	includes []string
	throws   string // the error that it must end with, or ""
}

// shuffled are the paths of all tests, in the order that the seed makes of them.
func (s *suite) shuffled(seed uint64) ([]string, error) {
	var paths []string
	for _, part := range []string{"test/language", "test/built-ins"} {
		err := filepath.WalkDir(filepath.Join(s.dir, part), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".js") && !strings.HasSuffix(path, "_FIXTURE.js") {
				rel, _ := filepath.Rel(s.dir, path) // it was walked to from there
				if rel = filepath.ToSlash(rel); s.match.MatchString(rel) {
					paths = append(paths, rel)
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(paths)
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	return paths, nil
}

func (s *suite) read(path string) (test, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, path))
	if err != nil {
		return test{}, err
	}
	t := test{path: path, text: string(b)}
	head := front.FindStringSubmatch(t.text)
	if head == nil {
		return t, fmt.Errorf("%s has no front matter", path)
	}
	for _, m := range list.FindAllStringSubmatch(head[1], -1) {
		var items []string
		for _, item := range strings.FieldsFunc(m[2]+m[3], func(c rune) bool { return c == ',' || c == '\n' }) {
			if item = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(item), "- ")); item != "" {
				items = append(items, item)
			}
		}
		switch m[1] {
		case "flags":
			t.flags = items
		case "features":
			t.features = items
		case "includes":
			t.includes = items
		}
	}
	if m := negative.FindStringSubmatch(head[1]); m != nil {
		t.throws = m[2]
	}
	return t, nil
}

func (s *suite) skips(t test) bool {
	for _, flag := range []string{"module", "CanBlockIsTrue", "CanBlockIsFalse"} {
		if slices.Contains(t.flags, flag) {
			return true
		}
	}
	if strings.Contains(t.text, "$262.agent") {
		return true
	}
	return slices.ContainsFunc(t.features, func(f string) bool {
		return slices.Contains(s.skip, f) || slices.Contains(noFunctionHas, f)
	})
}

// event is the test as the runner takes it.
func (s *suite) event(t test) ([]byte, error) {
	// One script: what an eval declares with let and const, another does not see.
	harness := ""
	if !slices.Contains(t.flags, "raw") {
		includes := append([]string{"assert.js", "sta.js"}, t.includes...)
		if slices.Contains(t.flags, "async") {
			includes = append(includes, "doneprintHandle.js")
		}
		for _, name := range includes {
			b, err := os.ReadFile(filepath.Join(s.dir, "harness", name))
			if err != nil {
				return nil, err
			}
			harness += string(b) + "\n"
		}
	}
	if slices.Contains(t.flags, "onlyStrict") {
		harness = "\"use strict\";\n" + harness
	}
	return json.Marshal(map[string]any{"test": harness + t.text, "wait": slices.Contains(t.flags, "async")})
}

// passed tells whether a test that ended with what the runner returns did as it must.
func (t test) passed(answer string) bool {
	if t.throws != "" {
		return strings.HasPrefix(answer, `"threw `+t.throws+":")
	}
	return strings.HasPrefix(answer, `"done"`)
}
