package js

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/confine"
)

func TestTranslateStripsTypes(t *testing.T) {
	t.Parallel()
	s, err := Translate("hello.ts", []byte("\ufeffinterface A { b: string }\nexport const handler = (a: A): string => a.b satisfies string;\n"))
	if err != nil {
		t.Fatal(err)
	}
	if code := string(s.Code); strings.Contains(code, "interface") || !strings.Contains(code, "handler") {
		t.Errorf("code %s", code)
	}
	if got := Trace(s.Map)("at handler (function.js:2:16)"); got != "at handler (hello.ts:2:25)" {
		t.Errorf("the map says %s\n%s", got, s.Code)
	}
}

func TestTranslateRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, source string
		code         runnel.Code
		says         string
	}{
		"syntax":      {"a.ts", "export const handler = () => {\n  return 1 +;\n}", runnel.CodeInvalidModule, "a.ts:2:12"},
		"shown":       {"a.ts", "export const handler = () => {\n  return 1 +;\n}", runnel.CodeInvalidModule, "return 1 +;"},
		"builtin":     {"a.js", `import "fs/promises"`, runnel.CodeInvalidModule, `"fs/promises" is a module of Node.js`},
		"require":     {"a.cjs", `const c = require("node:crypto")`, runnel.CodeInvalidModule, `"node:crypto"`},
		"file system": {"a.js", `import "/etc/passwd"`, runnel.CodeInvalidModule, "single file"},
		"data":        {"a.js", `import "data:text/javascript,1"`, runnel.CodeInvalidModule, "single file"},
		"dynamic":     {"a.js", `export const handler = () => import("./other.js")`, runnel.CodeInvalidModule, "single file"},
		"binary":      {"a.js", "\xff\xfe", runnel.CodeInvalidModule, "UTF-8"},
		"nul":         {"a.js", "a\x00", runnel.CodeInvalidModule, "NUL"},
		"large":       {"a.js", strings.Repeat("a", MaxScript+1), runnel.CodeTooLarge, "limit"},
		"large ts":    {"a.ts", strings.Repeat("a;", maxSource), runnel.CodeTooLarge, "bundle it first"},
	} {
		_, err := Translate(c.file, []byte(c.source))
		if runnel.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want %s saying %q", name, err, c.code, c.says)
		}
	}
}

// The bundler recurses, and Go ends a process that does so too deep.
func TestFUNC_I4_SourcesThatNestDeeplyDoNotEndTheProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{"(", "!", "a=>", "`${", "<a>"} {
		source := strings.Repeat(unit, maxSource/len(unit))
		_, err := TranslateApart(t.Context(), []string{self}, "a.tsx", []byte(source))
		if runnel.CodeOf(err) != runnel.CodeInvalidModule {
			t.Errorf("%q: %.200v", unit, err)
		}
	}
}

// Folding these constants took 2.1 GB before the child had a wall.
func TestFUNC_I4_SourcesCannotTakeTheMachinesMemory(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const unit = "\"\U0001F600\"+"
	began := time.Now()
	_, err = TranslateApart(t.Context(), []string{self}, "a.ts", []byte(strings.Repeat(unit, maxSource/len(unit)-1)+"1"))
	if runnel.CodeOf(err) != runnel.CodeInvalidModule || !strings.Contains(err.Error(), "more than 512 MB of memory") {
		t.Errorf("error %.200v", err)
	}
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		t.Fatalf("the cause is %v", errors.Unwrap(err))
	}
	// The race detector's own memory, where it is on, is beyond the limit; and the
	// kernel's figure is no less than what this process had.
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	if took := confine.MaxMemory(ended.ProcessState); took > max(2*childMemory, int64(own.Maxrss)<<10) {
		t.Errorf("the child took %d MB", took>>20)
	} else {
		t.Logf("%d MB, %s", took>>20, time.Since(began))
	}
	// What its wall is for goes through.
	var source string
	for i := range 3000 {
		source += fmt.Sprintf("export function f%d(a: { n: number }): number { return a.n + %d }\n", i, i)
	}
	if _, err := TranslateApart(t.Context(), []string{self}, "a.ts", []byte(source)); err != nil {
		t.Error(err)
	}
}

func TestBundleFindsPackagesAndNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("package.json", `{"name":"app"}`)
	write("node_modules/greet/package.json", `{"name":"greet","main":"index.js"}`)
	write("node_modules/greet/index.js", "exports.greet = (n) => {\n  if (!n) throw new Error('no name');\n  return 'hi ' + n;\n};\n")
	write("node_modules/events/package.json", `{"name":"events","main":"events.js"}`)
	write("node_modules/events/events.js", "module.exports = class EventEmitter { kind = 'polyfill' };\n")
	s, err := Bundle(write("index.ts", "import { greet } from 'greet';\nimport E from 'events';\nexport const handler = (e: { name: string }) => greet(e.name) + new E().kind;\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(s.Code), "polyfill") || !strings.Contains(string(s.Map), "node_modules/greet/index.js") || strings.Contains(string(s.Map), "no name") {
		t.Errorf("%s\n%s", s.Code, s.Map)
	}
	again, err := Translate("index.js", s.Inline())
	if err != nil || !strings.HasPrefix(string(s.Code), strings.TrimSpace(string(again.Code))) || parseMap(again.Map) == nil {
		t.Errorf("a bundled script is not taken as it is: %v", err)
	}
	for source, says := range map[string]string{
		"import 'fs'":         `"fs" is a module of Node.js`,
		"import 'missing'":    `Could not resolve "missing"`,
		"import './other.js'": `Could not resolve "./other.js"`,
	} {
		_, err := Bundle(write("bad.ts", "\n  "+source))
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "bad.ts:2:9") {
			t.Errorf("%s: %v, want it to say %q", source, err, says)
		}
	}
}

func TestMapsThatMakeNoSenseMapNothing(t *testing.T) {
	t.Parallel()
	const frame = "at f (function.js:1:1)"
	for _, m := range []string{
		``, `{`, `[]`, `{"sources":[]}`, `{"sources":["a"],"mappings":"!"}`, `{"sources":["a"],"mappings":"gggggggggggggggB"}`,
		`{"sources":["a"],"mappings":"AAAAAAAAA"}`, `{"sources":["a"],"mappings":"AADA"}`, `{"sources":["a"],"mappings":"ACAA"}`, `{"sources":["a"],"mappings":"A"}`,
	} {
		if got := Trace([]byte(m))(frame); got != frame {
			t.Errorf("%s maps to %s", m, got)
		}
	}
	if got := Trace([]byte(`{"sources":["../a\nb` + strings.Repeat("c", 300) + `"],"mappings":""}`))(frame); strings.Contains(got, "\n") || len(got) > 250 {
		t.Errorf("got %q", got)
	}
	if got := Trace(nil)("Error: x\n    at f (function.js:1:1)\n    at step (runnel:1:2)\n    at <anonymous> (runnel:2:3)\n"); got != "Error: x\n    at f (function.js:1:1)" {
		t.Errorf("got %q", got)
	}
}

func FuzzTrace(f *testing.F) {
	f.Add([]byte(`{"sources":["a"],"mappings":"AAAA;CACA,EAAE"}`), "at f (function.js:2:2)")
	f.Fuzz(func(t *testing.T, encoded []byte, text string) {
		if got := Trace(encoded)(text); len(got) > 300*(len(text)+1) {
			t.Errorf("%d bytes of %d", len(got), len(text))
		}
	})
}

// The engine is what everybody's hashes rest on.
func TestTheEngineIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	a, err := Engine()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := link(quickJS()); err != nil || string(again) != string(a) {
		t.Errorf("linking again differs: %v", err)
	}
	if _, err := link(a); err == nil {
		t.Error("a module that is not QuickJS is linked")
	}
	if _, err := link([]byte("\x00asm\x01\x00\x00\x00")); err == nil {
		t.Error("an empty module is linked")
	}
}
