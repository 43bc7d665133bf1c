// Command test262 runs a sample of TC39's conformance suite through the engine that
// functions run in: the metered module, with the prelude, a fresh instance for each
// test. With a native build of the same QuickJS-NG it runs the same tests there too,
// and says of each that differs whether the engine or the way of running it does.
//
//	make test262 SUITE=test262 QUICKJS=quickjs
//
// Both are checkouts (github.com/tc39/test262, github.com/quickjs-ng/quickjs), which
// are not part of this repository. Tests of modules, of agents and of other realms
// are skipped, for a function has none of these, and so is what upstream skips.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sandbox/js"
)

// runner evaluates a test as far as a function can: by an indirect eval, in the
// global scope.
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

func main() {
	if compile.IsChild() {
		os.Exit(compile.Child())
	}
	log.SetFlags(0)
	dir := flag.String("suite", "", "folder of a checkout of test262")
	config := flag.String("config", "", "upstream's test262.conf: features that it skips")
	folder := flag.String("upstream", "", "folder with run-test262 and qjs of a native build, to compare with")
	sample := flag.Int("sample", 5000, "how many tests to run")
	match := flag.String("match", "", "only tests whose paths this regular expression matches")
	seed := flag.Uint64("seed", 262, "which tests")
	timeout := flag.Duration("timeout", 10*time.Second, "of one test")
	verbose := flag.Bool("v", false, "print each failure, not only those that differ")
	flag.Parse()
	if *dir == "" {
		log.Fatal("-suite is missing: git clone https://github.com/tc39/test262, and name its folder")
	}
	skip, err := skipped(*config)
	if err != nil {
		log.Fatal(err)
	}
	pattern, err := regexp.Compile(*match)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(&suite{dir: *dir, match: pattern, skip: skip}, *folder, *sample, *seed, *timeout, *verbose); err != nil {
		log.Fatal(err)
	}
}

// counts is how a sample went.
type counts struct{ tests, skipped, passed, upstream, same int }

func run(s *suite, folder string, sample int, seed uint64, timeout time.Duration, verbose bool) error {
	paths, err := s.shuffled(seed)
	if err != nil {
		return err
	}
	ctx := context.Background()
	call, done, err := function(ctx, timeout)
	if err != nil {
		return err
	}
	defer done()
	var native *upstream
	if folder != "" {
		if native, err = newUpstream(folder, s, timeout); err != nil {
			return err
		}
		defer native.close()
	}
	var c counts
	began := time.Now()
	for _, path := range paths {
		if c.tests == sample {
			break
		}
		t, err := s.read(path)
		if err != nil {
			return err
		}
		if s.skips(t) {
			c.skipped++
			continue
		}
		event, err := s.event(t)
		if err != nil {
			return err
		}
		c.tests++
		got := call(event)
		passed := t.passed(got)
		c.passed += count(passed)
		why, differs := "fails", false
		if native != nil {
			if why, differs, err = c.compare(ctx, native, s, t, event, passed); err != nil {
				return err
			}
		}
		if differs || verbose && !passed {
			fmt.Printf("%s: %s: %.160q\n", path, why, got)
		}
	}
	fmt.Printf("functions: %d of %d passed (%.2f %%); %d were skipped, of %d in the suite\n", c.passed, c.tests, c.percent(c.passed), c.skipped, len(paths))
	if native != nil {
		fmt.Printf("upstream, run-test262: %d (%.2f %%)\nupstream, with the runner of functions: %d (%.2f %%)\n", c.upstream, c.percent(c.upstream), c.same, c.percent(c.same))
	}
	fmt.Println(time.Since(began).Round(time.Second))
	if c.passed == 0 {
		return errors.New("no test passed")
	}
	return nil
}

// compare runs a test in the native build and says what came of it beside a function.
func (c *counts) compare(ctx context.Context, native *upstream, s *suite, t test, event []byte, passed bool) (why string, differs bool, err error) {
	own, err := native.own(ctx, s, t)
	if err != nil {
		return "", false, err
	}
	same, err := native.ours(ctx, t, event)
	if err != nil {
		return "", false, err
	}
	c.upstream += count(own)
	c.same += count(same)
	switch {
	case passed && !own && same:
		return "passes, and upstream with the runner of functions", true, nil
	case passed && !own:
		return "passes, not upstream", true, nil
	case !passed && own && same:
		return "fails, not upstream", true, nil
	case !passed && own:
		return "fails, and upstream with the runner of functions", true, nil
	}
	return "fails, as upstream", false, nil
}

func (c *counts) percent(n int) float64 { return 100 * float64(n) / float64(max(c.tests, 1)) }

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// function returns what runs a test in a function, and how it ended.
func function(ctx context.Context, timeout time.Duration) (call func(event []byte) string, done func(), err error) {
	rt, err := sandbox.New(ctx, sandbox.Config{Ask: js.Ask, Trace: js.Trace})
	if err != nil {
		return nil, nil, err
	}
	done = func() { _ = rt.Close(ctx) }
	wasm, _, err := js.Build(ctx, rt, js.Script{Code: []byte(runner)})
	if err != nil {
		done()
		return nil, nil, err
	}
	sum := sha256.Sum256(wasm)
	c := sandbox.Call{
		Hash: hex.EncodeToString(sum[:]), Load: func(context.Context) ([]byte, error) { return wasm, nil },
		Timeout: timeout, Memory: 256 << 20,
	}
	return func(event []byte) string {
		c := c
		c.Event = event
		out, err := rt.Run(ctx, c)
		if err != nil {
			return err.Error()
		}
		return string(out.Output)
	}, done, nil
}

// skipped are the features that upstream's configuration skips, none without one.
func skipped(config string) ([]string, error) {
	if config == "" {
		return nil, nil
	}
	f, err := os.Open(config)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		if name, ok := strings.CutSuffix(s.Text(), "=skip"); ok {
			all = append(all, name)
		}
	}
	return all, s.Err()
}
