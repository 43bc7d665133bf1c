package meter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/runnelhq/runnel/sandbox/meter"
)

// The specification's test suite comes with wazero's source. Every command runs
// in three runtimes, one with the modules as they are and two with rewritten
// ones: the results, traps and memories have to be the same, both when the fuel
// hardly ever runs out and when it does at nearly every check.
func TestFUNC_I1_RewritingKeepsTheMeaningOfTheSpecSuite(t *testing.T) {
	t.Parallel()
	suite := specSuite(t)
	for _, version := range []struct {
		name     string
		features api.CoreFeatures
		least    int64 // commands, so that an empty suite does not pass
	}{
		{"v1", api.CoreFeaturesV1, 18_000},
		{"v2", api.CoreFeaturesV2, 50_000},
	} {
		t.Run(version.name, func(t *testing.T) {
			t.Parallel()
			files, err := filepath.Glob(filepath.Join(suite, version.name, "testdata", "*.json"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no tests in %s (%v)", suite, err)
			}
			var commands atomic.Int64
			t.Cleanup(func() {
				t.Logf("%d commands compared", commands.Load())
				if !t.Failed() && !brief() && commands.Load() < version.least {
					t.Errorf("only %d commands were compared, want at least %d", commands.Load(), version.least)
				}
			})
			for i, file := range files {
				if brief() && i%10 != 0 {
					continue
				}
				t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
					t.Parallel()
					commands.Add(runSpec(t, file, version.features))
				})
			}
		})
	}
}

// specSuite finds wazero's source.
func specSuite(t *testing.T) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
}

type specCommand struct {
	Type       string     `json:"type"`
	Line       int        `json:"line"`
	Name       string     `json:"name"`
	As         string     `json:"as"`
	Filename   string     `json:"filename"`
	ModuleType string     `json:"module_type"`
	Action     specAction `json:"action"`
}

type specAction struct {
	Type   string      `json:"type"`
	Field  string      `json:"field"`
	Module string      `json:"module"`
	Args   []specValue `json:"args"`
}

type specValue struct {
	Type  string `json:"type"`
	Lane  string `json:"lane_type"`
	Value any    `json:"value"`
}

// bits encodes an argument for wazero.
func (v specValue) bits(t *testing.T) []uint64 {
	lanes, ok := v.Value.([]any)
	if !ok {
		lanes = []any{v.Value}
		v.Lane = v.Type
	}
	width := 64
	switch v.Lane {
	case "i8":
		width = 8
	case "i16":
		width = 16
	case "i32", "f32":
		width = 32
	}
	words := make([]uint64, max(1, len(lanes)*width/64))
	for i, lane := range lanes {
		s := lane.(string)
		if s == "null" {
			continue
		}
		x, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			y, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				t.Fatalf("argument %q: %v", s, err)
			}
			x = uint64(y)
		}
		if v.Type == "externref" {
			x++ // wazero reads 0 as null
		}
		if width < 64 {
			x &= 1<<width - 1
		}
		words[i*width/64] |= x << (i * width % 64)
	}
	return words
}

// world is a runtime with the modules of one test file.
type world struct {
	runtime wazero.Runtime
	rewrite func([]byte) ([]byte, error)
	last    api.Module
	named   map[string]api.Module
	all     []api.Module
}

func newWorld(t *testing.T, features api.CoreFeatures, slice int32, spectest []byte) *world {
	ctx := t.Context()
	w := &world{
		runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(features)),
		rewrite: func(b []byte) ([]byte, error) { return b, nil },
		named:   map[string]api.Module{},
	}
	t.Cleanup(func() { w.runtime.Close(context.Background()) })
	if slice > 0 {
		limits := meter.DefaultLimits()
		limits.TableElements = 1 << 31
		limits.MemoryPages = 1 << 16
		limits.BranchTargets = 1 << 20
		w.rewrite = func(b []byte) ([]byte, error) {
			m, err := meter.Rewrite(b, limits)
			if err != nil {
				return nil, err
			}
			return m.Wasm, nil
		}
		instantiateTick(t, w.runtime, func(context.Context, []uint64) int32 { return slice })
	}
	if _, err := w.runtime.Instantiate(ctx, spectest); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) instantiate(ctx context.Context, wasm []byte, as string) (api.Module, error) {
	wasm, err := w.rewrite(wasm)
	if err != nil {
		return nil, err
	}
	return w.runtime.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName(as))
}

func (w *world) module(name string) api.Module {
	if name != "" {
		return w.named[name]
	}
	return w.last
}

// act runs a command and says what happened.
func (w *world) act(t *testing.T, dir string, c *specCommand, as string) (outcome string, failed bool) {
	ctx := t.Context()
	switch c.Type {
	case "module", "assert_invalid", "assert_malformed", "assert_unlinkable", "assert_uninstantiable":
		wasm, err := os.ReadFile(filepath.Join(dir, c.Filename))
		if err != nil {
			t.Fatal(err)
		}
		mod, err := w.instantiate(ctx, wasm, as)
		if mod != nil {
			w.all = append(w.all, mod)
		}
		if c.Type == "module" && err == nil {
			w.last = mod
			if c.Name != "" {
				w.named[c.Name] = mod
			}
		}
		if err != nil {
			return "refused", true
		}
		return "instantiated", false
	}
	switch c.Action.Type {
	case "get":
		g := w.module(c.Action.Module).ExportedGlobal(c.Action.Field)
		return fmt.Sprintf("%s %#x", api.ValueTypeName(g.Type()), g.Get()), false
	case "invoke":
		f := w.module(c.Action.Module).ExportedFunction(c.Action.Field)
		var args []uint64
		for _, a := range c.Action.Args {
			args = append(args, a.bits(t)...)
		}
		results, err := f.Call(ctx, args...)
		if err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n") // the rest is a stack trace
			return first, true
		}
		types := f.Definition().ResultTypes()
		for i, typ := range types {
			if typ == 0x70 && len(results) == len(types) && results[i] != 0 {
				results[i] = 1 // a funcref is an address
			}
		}
		return fmt.Sprintf("%#x", results), false
	}
	t.Fatalf("line %d: unknown command %s, action %s", c.Line, c.Type, c.Action.Type)
	return "", false
}

// runSpec compares the commands of one file and returns how many there were.
func runSpec(t *testing.T, file string, features api.CoreFeatures) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var script struct {
		Commands []specCommand `json:"commands"`
	}
	if err := json.Unmarshal(b, &script); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(file)
	spectest, err := os.ReadFile(filepath.Join(dir, "..", "..", "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	worlds := []*world{
		newWorld(t, features, 0, spectest),
		newWorld(t, features, 500_000, spectest),
		newWorld(t, features, 1, spectest),
	}
	var n int64
	for i := range script.Commands {
		c := &script.Commands[i]
		if c.ModuleType == "text" || c.Type == "register" {
			continue // text: nothing for a runtime to read; register: done with the module before it
		}
		as := ""
		if i+1 < len(script.Commands) && script.Commands[i+1].Type == "register" {
			as = script.Commands[i+1].As
		}
		n++
		plain, failed := worlds[0].act(t, dir, c, as)
		if (c.Type == "module" || c.Type == "assert_return") && failed {
			t.Fatalf("line %d: %s fails without rewriting: %s", c.Line, c.Type, plain)
		}
		for k, name := range []string{"slice 500000", "slice 1"} {
			if got, _ := worlds[k+1].act(t, dir, c, as); got != plain {
				t.Errorf("line %d, %s: %s %s %s:\n got %s\nwant %s", c.Line, name, c.Type, c.Filename, c.Action.Field, got, plain)
				if c.Type == "module" {
					return n
				}
			}
		}
	}
	if t.Failed() {
		return n
	}
	for i, mod := range worlds[0].all {
		want := memory(mod)
		for _, w := range worlds[1:] {
			if !bytes.Equal(memory(w.all[i]), want) {
				t.Errorf("module %d: memories differ at the end", i)
			}
		}
	}
	return n
}

func memory(m api.Module) []byte {
	mem := m.Memory()
	if mem == nil || reflect.ValueOf(mem).IsNil() {
		return nil
	}
	b, _ := mem.Read(0, mem.Size())
	return b
}
