package runnel_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/runnelhq/runnel"

// Modules that some package may import.
const (
	pgx        = "github.com/jackc/pgx/v5"
	river      = "github.com/riverqueue/river"
	riverui    = "riverqueue.com/riverui"
	wazero     = "github.com/tetratelabs/wazero"
	prometheus = "github.com/prometheus"
	jwt        = "github.com/golang-jwt/jwt/v5"
	keyfunc    = "github.com/MicahParks/keyfunc/v3"
	ssrf       = "code.dny.dev/ssrf"
	cron       = "github.com/netresearch/go-cron"
	cobra      = "github.com/spf13/cobra"
	esbuild    = "github.com/evanw/esbuild"
	whatwg     = "github.com/nlnwa/whatwg-url"
	env        = "github.com/caarlos0/env/v11"
	postgres   = "github.com/fergusstrange/embedded-postgres"
	goleak     = "go.uber.org/goleak"
	sync       = "golang.org/x/sync"
	sys        = "golang.org/x/sys"
	quickjs    = "github.com/aperturerobotics/go-quickjs-wasi-reactor"
	otel       = "go.opentelemetry.io/otel"
	logr       = "github.com/go-logr/logr"
	root       = "runnel" // this module's root package; its others are named by their path
)

// rule says what the packages of a folder may import directly, besides the
// standard library.
type rule struct {
	may    []string
	forbid []string // of the standard library
	reason string
}

var outside = []string{"database/sql", "net", "net/http", "os/exec"}

// rules draws the house. Every arrow points down: cmd, api, jobs, then sandbox
// and sql, which do not know of each other, then the nouns.
var rules = map[string]rule{
	root: {
		forbid: append(outside, "os", "log", "log/slog"),
		reason: "everyone imports the nouns, so they import no one",
	},
	"redact": {
		forbid: append(outside, "os", "log", "log/slog", "time", "unsafe"),
		reason: "redaction is pure, so that it can be fuzzed and used on every sink",
	},
	"sandbox/meter": {
		forbid: append(outside, "os", "log", "log/slog", "time", "unsafe"),
		reason: "the rewriter reads an attacker's bytes: pure, and without help from outside",
	},
	"sandbox/confine": {
		forbid: []string{"database/sql", "net", "net/http"},
		reason: "the wall around a child process knows nothing of what it does",
	},
	"sandbox/compile": {
		may:    []string{root, "sandbox/confine", wazero},
		forbid: []string{"database/sql", "net", "net/http"},
		reason: "the compiler's process needs the module and nothing else",
	},
	"sandbox/js/prelude": {
		may:    []string{esbuild, whatwg},
		forbid: append(outside, "os", "log", "log/slog", "unsafe"),
		reason: "what JavaScript may ask the host for at once is computed from its arguments, and from nothing else",
	},
	"sandbox/image": {
		forbid: append(outside, "os", "log", "log/slog", "time", "unsafe"),
		reason: "it takes an attacker's bytes apart: pure, and without help from outside",
	},
	"sandbox/js": {
		may:    []string{root, "sandbox", "sandbox/confine", "sandbox/image", "sandbox/js/prelude", esbuild, quickjs},
		forbid: []string{"database/sql", "net", "net/http"},
		reason: "it makes modules and runs them in the sandbox like anyone; the engine and the bundler stay in this room, or in the process it starts for the bundler",
	},
	"sandbox/js/jstest": {
		may:    []string{"sandbox", "sandbox/js"},
		reason: "runs scripts for tests",
	},
	"sandbox": {
		may:    []string{root, "sandbox/compile", "sandbox/image", "sandbox/meter", wazero, sys, sync},
		forbid: outside,
		reason: "the room with the guest in it has no door to Postgres or the network",
	},
	"sql": {
		may:    []string{root, pgx, river, sync},
		reason: "stores know the nouns and Postgres; they run nothing",
	},
	"jobs": {
		may:    []string{root, "redact", "sandbox", "sandbox/compile", "sandbox/js", "sql", "internal/batch", "internal/egress", "internal/keyring", "internal/tracing", pgx, river, prometheus, cron, sync},
		reason: "the one place where the sandbox, Postgres and the network meet; what it stores is redacted here, and secrets are opened here",
	},
	"api": {
		may:    []string{root, "jobs", "sql", "redact", "internal/keyring", "internal/terminal", "internal/tracing", pgx, river, riverui, prometheus, jwt, keyfunc, sync},
		reason: "HTTP never runs a guest: it cannot import the sandbox. pgx only names River's transaction type. It seals secrets and environments, and opens them to rotate them and to show what of an environment is not sensitive",
	},
	"internal/egress": {
		may:    []string{root, ssrf},
		reason: "the one door to the network: it knows requests and addresses, no function and no database",
	},
	"internal/keyring": {
		forbid: append(outside, "os", "log", "log/slog", "time", "unsafe"),
		reason: "cryptography is the standard library's, and a key is handed to nobody",
	},
	"internal/tracing": {
		may:    []string{root, "redact", otel, logr},
		forbid: []string{"database/sql", "net", "os", "os/exec"},
		reason: "OpenTelemetry stays in this room: everyone else names steps, and what leaves is decided here",
	},
	"internal/tracing/tracetest": {
		may:    []string{"go.opentelemetry.io/proto/otlp", "google.golang.org/protobuf"},
		reason: "what arrives is read with the messages as they are published, not with the SDK that sent it",
	},
	"internal/batch": {
		reason: "a data structure",
	},
	"internal/terminal": {
		forbid: append(outside, "os", "log", "log/slog", "time", "unsafe"),
		reason: "it reads what anybody wrote and returns what can be shown: pure",
	},
	"internal/settings": {
		may:    []string{root, "internal/keyring", env},
		reason: "reading the environment starts nothing",
	},
	"internal/localpg": {
		may:    []string{postgres, sys},
		reason: "a private Postgres knows nothing of Runnel",
	},
	"internal/process": {
		may:    []string{root, "api", "jobs", "redact", "sandbox", "sandbox/compile", "sandbox/js", "sql", "internal/keyring", "internal/settings", "internal/tracing", prometheus, river, pgx, sync},
		reason: "puts the processes together, for the commands and for `runnel dev`",
	},
	"internal/doctor": {
		may:    []string{"sql", "internal/keyring", "internal/settings", pgx},
		reason: "looks at an installation from outside and runs no part of it",
	},
	"internal/pgtest": {
		may:    []string{"sql", "internal/localpg", pgx, goleak},
		reason: "tests of any package with a database need this one only",
	},
	"internal/npm": {
		reason: "tests with node need packages, wherever they are",
	},
	"internal/wasmtest": {
		reason: "encodes modules for tests; must not share code with what it tests",
	},
	"internal/guests": {
		may:    []string{"internal/wasmtest"},
		reason: "guests for tests; must not share code with what runs them",
	},
	"cmd": {
		may:    []string{"*"},
		reason: "commands may use everything, and nothing may use them",
	},
	"bench": {
		may:    []string{"*"},
		reason: "benchmarks compare everything with everything, and nothing may use them",
	},
	"examples": {
		reason: "examples are a stranger's code: they cannot lean on Runnel's",
	},
}

func (r rule) allows(importPath string) bool {
	name, ours := strings.CutPrefix(importPath+"/", module+"/")
	if ours {
		if name = strings.TrimSuffix(name, "/"); name == "" {
			name = root
		}
		top, _, _ := strings.Cut(name, "/")
		return top != "cmd" && top != "bench" && top != "examples" &&
			(slices.Contains(r.may, name) || slices.Contains(r.may, "*"))
	}
	if first, _, _ := strings.Cut(importPath, "/"); !strings.Contains(first, ".") { // the standard library
		return !slices.Contains(r.forbid, importPath)
	}
	return slices.ContainsFunc(r.may, func(m string) bool {
		return m == "*" || importPath == m || strings.HasPrefix(importPath, m+"/")
	})
}

// ruleFor returns the rule of a package, or of the folder it is in, and its key.
func ruleFor(importPath string) (string, bool) {
	name := strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
	if name == "" {
		name = root
	}
	for ; name != "."; name = path.Dir(name) {
		if _, ok := rules[name]; ok {
			return name, true
		}
	}
	return "", false
}

type goPackage struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 { // not of tests only
			all = append(all, p)
		}
	}
}

func TestImportsPointDown(t *testing.T) {
	used := make(map[string]bool)
	for _, p := range packages(t) {
		name, ok := ruleFor(p.ImportPath)
		if !ok {
			t.Errorf("%s has no rule: add one to rules, with the reason", p.ImportPath)
			continue
		}
		used[name] = true
		for _, i := range p.Imports {
			if !rules[name].allows(i) {
				t.Errorf("%s imports %s, but: %s", p.ImportPath, i, rules[name].reason)
			}
		}
	}
	for name, r := range rules {
		if !used[name] {
			t.Errorf("the rule for %s has no package: remove it", name)
		}
		if r.reason == "" {
			t.Errorf("the rule for %s has no reason", name)
		}
	}
}

func TestImportRuleMatching(t *testing.T) {
	for _, c := range []struct {
		pkg, imported string
		want          bool
	}{
		{root, "time", true},
		{root, "net/http", false},
		{root, module + "/redact", false},
		{"sandbox", module, true},
		{"sandbox", module + "/sandbox/meter", true},
		{"sandbox", module + "/sql", false},
		{"sandbox", wazero, true},
		{"sandbox", wazero + "/api", true},
		{"sandbox", wazero + "x", false},
		{"sandbox", "net", false},
		{"api", module + "/sandbox", false},
		{"api", module + "/sql", true},
		{"cmd", cobra, true},
		{"cmd", module + "/cmd/api", false},
		{"examples", module, false},
		{"examples", "encoding/json", true},
	} {
		if got := rules[c.pkg].allows(c.imported); got != c.want {
			t.Errorf("%s may import %s: %v, want %v", c.pkg, c.imported, got, c.want)
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range packages(t) {
		first, _, _ := strings.Cut(p.Doc, " ")
		if first != "Package" && first != "Command" && !strings.EqualFold(first, path.Base(p.ImportPath)) {
			t.Errorf("%s has no package comment that begins with Package, Command or its name", p.ImportPath)
		}
	}
}

// invariants are the specification's.
var invariants = []string{"I1", "I2", "I3", "I4", "I5", "E1", "E2", "E3", "S1", "S2", "S3", "F1", "F2", "F3", "T1", "T2", "T3"}

// A test carries one invariant or several: TestFUNC_S2_S3_Something.
var invariantTest = regexp.MustCompile(`^(?:Test|Fuzz)FUNC((?:_[A-Z]\d+)+)_[A-Z]\w*[a-z]\w*$`)

// invariantTests returns the names of all tests in the tree that carry an
// invariant, by invariant.
func invariantTests(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				if m := invariantTest.FindStringSubmatch(fn.Name.Name); m != nil {
					for id := range strings.SplitSeq(m[1][1:], "_") {
						found[id] = append(found[id], fn.Name.Name)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEveryInvariantHasATest(t *testing.T) {
	found := invariantTests(t)
	for _, id := range invariants {
		if !slices.ContainsFunc(found[id], func(name string) bool { return strings.HasPrefix(name, "Test") }) {
			t.Errorf("FUNC-%s has no test: name at least one TestFUNC_%s_...", id, id)
		}
	}
	for id, names := range found {
		if !slices.Contains(invariants, id) {
			t.Errorf("%v: the specification has no invariant FUNC-%s", names, id)
		}
	}
}

// docs/INVARIANTS.md names tests as evidence; they must exist, and no invariant
// may be missing.
func TestInvariantsPageIsTrue(t *testing.T) {
	page, err := os.ReadFile("docs/INVARIANTS.md")
	if err != nil {
		t.Fatal(err)
	}
	exists := make(map[string]bool)
	for names := range maps.Values(invariantTests(t)) {
		for _, n := range names {
			exists[n] = true
		}
	}
	for _, name := range regexp.MustCompile(`\b(Test|Fuzz)FUNC_\w+`).FindAllString(string(page), -1) {
		if !exists[name] {
			t.Errorf("docs/INVARIANTS.md names %s, which does not exist", name)
		}
	}
	for _, id := range invariants {
		if !strings.Contains(string(page), "| FUNC-"+id+" |") {
			t.Errorf("docs/INVARIANTS.md has no row for FUNC-%s", id)
		}
	}
}

// Two people who add a migration at once give it the same number.
func TestMigrationsAreNumberedWithoutAGap(t *testing.T) {
	files, err := filepath.Glob("sql/migration/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	for i, file := range files {
		if want := fmt.Sprintf("%03d_", i+1); !strings.HasPrefix(filepath.Base(file), want) {
			t.Fatalf("%s: the next number is %s; rename it", file, want)
		}
	}
}
