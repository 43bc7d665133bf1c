// Command test262 runs a sample of TC39's conformance suite through the engine that
// functions run in: the metered module, with the prelude, a fresh instance for each
// test. It prints the rate, and how many of the failures upstream lists as its own.
//
//	go run ./bench/test262 -suite ~/test262 [-config quickjs/test262.conf] [-known quickjs/test262_errors.txt]
//
// The suite is a checkout of github.com/tc39/test262, which is not part of this
// repository. Tests of modules, of agents and of other realms are skipped: a function
// has none of these.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sandbox/js"
)

// runner evaluates a test as a script would be, in the global scope.
const runner = `
const evaluate = eval, run = (text) => evaluate(text);
export async function handler({ test, wait }) {
	let print;
	const printed = new Promise((resolve) => { print = resolve; });
	globalThis.print = (text) => print(String(text));
	globalThis.$262 = { global: globalThis, evalScript: run, gc() {}, detachArrayBuffer: (b) => { b.transfer(); } };
	try {
		run(test);
	} catch (error) {
		let name, text;
		try { name = error.constructor.name; text = String(error.message); } catch {}
		return "threw " + name + ": " + text;
	}
	if (!wait) return "done";
	const text = await printed;
	return text === "Test262:AsyncTestComplete" ? "done" : text;
}`

// unsupported are features that the engine's build or a function's world lacks.
var unsupported = []string{"Atomics", "SharedArrayBuffer", "cross-realm", "IsHTMLDDA", "Temporal", "tail-call-optimization", "ShadowRealm", "import-defer", "source-phase-imports",
	"dynamic-import", "import-attributes", "json-modules", "import-bytes", "decorators", "legacy-regexp", "host-gc-required", "FinalizationRegistry", "explicit-resource-management", "iterator-sequencing",
	"nonextensible-applies-to-private", "immutable-arraybuffer", "joint-iteration", "await-dictionary", "upsert", "Math.sumPrecise"}

var (
	front    = regexp.MustCompile(`(?s)/\*---(.*?)---\*/`)
	list     = regexp.MustCompile(`(?m)^\s*(flags|features|includes):\s*(?:\[([^\]]*)\]|((?:\n\s*-.*)+))`)
	negative = regexp.MustCompile(`(?s)negative:\s*\n\s+phase:\s*(\w+)\s*\n\s+type:\s*(\w+)`)
)

type test struct {
	path     string // from the suite's folder
	text     string
	flags    []string
	features []string
	includes []string
	throws   string // the error that it must end with, or ""
}

func read(suite, path string) (test, error) {
	b, err := os.ReadFile(filepath.Join(suite, path))
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

func (t test) skipped(config []string) bool {
	if slices.Contains(t.flags, "module") || slices.Contains(t.flags, "CanBlockIsTrue") || slices.Contains(t.flags, "CanBlockIsFalse") {
		return true
	}
	for _, f := range t.features {
		if slices.Contains(config, f) || slices.Contains(unsupported, f) {
			return true
		}
	}
	return false
}

// event is the test as the runner takes it.
func (t test) event(suite string) ([]byte, error) {
	// One script: what an eval declares with let and const, another does not see.
	harness := ""
	if !slices.Contains(t.flags, "raw") {
		includes := append([]string{"assert.js", "sta.js"}, t.includes...)
		if slices.Contains(t.flags, "async") {
			includes = append(includes, "doneprintHandle.js")
		}
		for _, name := range includes {
			b, err := os.ReadFile(filepath.Join(suite, "harness", name))
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

func main() {
	if compile.IsChild() {
		os.Exit(compile.Child())
	}
	log.SetFlags(0)
	suite := flag.String("suite", "", "folder of a checkout of test262")
	config := flag.String("config", "", "upstream's test262.conf: features that it skips")
	known := flag.String("known", "", "upstream's test262_errors.txt: failures that it knows")
	sample := flag.Int("sample", 2000, "how many tests to run")
	seed := flag.Uint64("seed", 262, "which tests")
	timeout := flag.Duration("timeout", 10*time.Second, "of one test")
	verbose := flag.Bool("v", false, "print each failure")
	flag.Parse()
	if *suite == "" {
		log.Fatal("-suite is missing: git clone https://github.com/tc39/test262, and name its folder")
	}
	if err := run(*suite, *config, *known, *sample, *seed, *timeout, *verbose); err != nil {
		log.Fatal(err)
	}
}

func run(suite, config, known string, sample int, seed uint64, timeout time.Duration, verbose bool) error {
	var paths []string
	for _, part := range []string{"test/language", "test/built-ins"} {
		err := filepath.WalkDir(filepath.Join(suite, part), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".js") && !strings.HasSuffix(path, "_FIXTURE.js") {
				rel, _ := filepath.Rel(suite, path) // it was walked to from there
				paths = append(paths, filepath.ToSlash(rel))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	skip, err := lines(config, func(line string) string {
		name, ok := strings.CutSuffix(line, "=skip")
		if !ok {
			return ""
		}
		return name
	})
	if err != nil {
		return err
	}
	theirs, err := lines(known, func(line string) string {
		path, _, _ := strings.Cut(strings.TrimPrefix(line, "test262/"), ":")
		return path
	})
	if err != nil {
		return err
	}

	ctx := context.Background()
	rt, err := sandbox.New(ctx, sandbox.Config{Ask: js.Ask, Trace: js.Trace})
	if err != nil {
		return err
	}
	defer rt.Close(ctx)
	wasm, _, err := js.Build(ctx, rt, js.Script{Code: []byte(runner)})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(wasm)
	hash := hex.EncodeToString(sum[:])

	slices.Sort(paths)
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	passed, failed, shared, skipped := 0, 0, 0, 0
	began := time.Now()
	for _, path := range paths {
		if passed+failed == sample {
			break
		}
		t, err := read(suite, path)
		if err != nil {
			return err
		}
		if t.skipped(skip) {
			skipped++
			continue
		}
		event, err := t.event(suite)
		if err != nil {
			return err
		}
		out, err := rt.Run(ctx, sandbox.Call{Hash: hash, Load: func(context.Context) ([]byte, error) { return wasm, nil }, Event: event, Timeout: timeout, Memory: 256 << 20})
		got := string(out.Output)
		if err != nil {
			got = err.Error()
		}
		want := `"done"`
		if t.throws != "" {
			want = `"threw ` + t.throws + ":"
		}
		if strings.HasPrefix(got, want) {
			passed++
			continue
		}
		failed++
		if slices.Contains(theirs, path) {
			shared++
		}
		if verbose {
			fmt.Printf("%s\n\t%.200q\n", path, got)
		}
	}
	fmt.Printf("%d of %d passed (%.2f %%); %d failed, %d of them known upstream; %d more were skipped, of %d in the suite; %v\n",
		passed, passed+failed, 100*float64(passed)/float64(max(passed+failed, 1)), failed, shared, skipped, len(paths), time.Since(began).Round(time.Second))
	if passed == 0 {
		return errors.New("no test passed")
	}
	return nil
}

// lines reads a file, "" for none, and keeps what of makes of its lines.
func lines(name string, of func(string) string) ([]string, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		if v := of(s.Text()); v != "" {
			all = append(all, v)
		}
	}
	return all, s.Err()
}
