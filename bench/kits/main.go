// Command kits measures what a call in a fresh instance costs in each language: in
// Runnel's sandbox, in wazero as it comes (instantiate, call, close; no limits that
// hold, no logs), and for Extism plug-ins in Extism's Go SDK. All in one process, in
// turns, so that the ratios mean something on a busy machine.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/runnelhq/runnel/sandbox"
)

const examples = "../../examples/kits/"

// guest is a module to measure.
type guest struct {
	name   string
	dir    string
	build  []string
	module string
	entry  string // of an Extism plug-in
	shot   bool   // Runnel runs the snapshot of it after _initialize
	event  string
	env    map[string]string
}

var guests = []guest{
	{name: "Go command", dir: examples + "go-webhook", module: "command.wasm", build: []string{"go", "build", "-ldflags=-s -w", "-o", "command.wasm", "."}},
	{name: "Go reactor", dir: examples + "go-webhook", module: "reactor.wasm", build: []string{"go", "build", "-tags", "reactor", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "reactor.wasm", "."}},
	{name: "Go reactor, snapshot", shot: true, dir: examples + "go-webhook", module: "reactor.wasm", build: []string{"true"}},
	{name: "C command", dir: examples + "c-rollup", module: "command.wasm", build: []string{"make", "command.wasm"}},
	{name: "C reactor", dir: examples + "c-rollup", module: "reactor.wasm", build: []string{"make", "reactor.wasm"}},
	{name: "AssemblyScript reactor", dir: examples + "as-iban", module: "iban.wasm", build: []string{"npm", "run", "build"}},
	{name: "Rust command", dir: examples + "rust-mailing", module: "mailing.wasm", build: []string{"make", "mailing.wasm"}},
	{name: "Rust reactor", dir: examples + "rust-mailing", module: "reactor.wasm", build: []string{"make", "reactor.wasm"}},
	{name: "Extism, Go PDK", dir: examples + "extism-slug", module: "slug.wasm", entry: "handle", build: []string{"go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "slug.wasm", "."}},
	{name: "Extism, AssemblyScript PDK", dir: "plugin/as", module: "plugin.wasm", entry: "run", build: []string{"npm", "run", "build"}, event: "echo hello"},
	{name: "Extism, C", dir: "plugin/c", module: "plugin.wasm", entry: "upper", build: []string{"make", "plugin.wasm"}, event: "hello"},
	{name: "Extism, C, 100 KB a byte at a time", dir: "plugin/c", module: "plugin.wasm", entry: "upper", build: []string{"make", "plugin.wasm"}, event: strings.Repeat("hello ", 17_000)},
}

// contender runs one call.
type contender struct {
	name  string
	call  func() error
	times []time.Duration // of the current round
	p50   []time.Duration // of each round
	p99   []time.Duration
}

func main() {
	rounds := flag.Int("rounds", 7, "rounds; the medians of them are printed")
	each := flag.Duration("each", 300*time.Millisecond, "time for each contender in a round")
	build := flag.Bool("build", true, "build the modules first")
	flag.Parse()
	if err := run(*rounds, *each, *build); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(rounds int, each time.Duration, build bool) error {
	ctx := context.Background()
	r, err := sandbox.New(ctx, sandbox.Config{CacheBytes: 1 << 30})
	if err != nil {
		return err
	}
	defer r.Close(ctx)
	for i, g := range guests {
		switch {
		case i == 0:
			fmt.Print("\n| language | module | Runnel p50 / p99 us | wazero p50 / p99 us | ratio |\n|---|---|---|---|---|\n")
		case g.entry != "" && guests[i-1].entry == "":
			fmt.Print("\n| plug-in | module | Runnel p50 / p99 us | Extism p50 / p99 us | ratio | Extism with a timeout | ratio |\n|---|---|---|---|---|---|---|\n")
		}
		wasm, err := g.load(build)
		if err != nil {
			fmt.Printf("| %s | not built: %v |\n", g.name, err)
			continue
		}
		contenders, closeAll, err := g.contenders(ctx, r, wasm)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		for range rounds {
			for _, c := range contenders {
				if err := c.round(each); err != nil {
					return fmt.Errorf("%s: %s: %w", g.name, c.name, err)
				}
			}
		}
		closeAll()
		row := fmt.Sprintf("| %s | %s |", g.name, size(len(wasm)))
		for i, c := range contenders {
			row += fmt.Sprintf(" %s / %s |", micros(median(c.p50)), micros(median(c.p99)))
			if i > 0 {
				row += fmt.Sprintf(" %.2f |", float64(median(contenders[0].p50))/float64(median(c.p50)))
			}
		}
		fmt.Println(row)
	}
	return nil
}

// load builds the module and reads the event of the example's first case.
func (g *guest) load(build bool) ([]byte, error) {
	if build {
		cmd := exec.Command(g.build[0], g.build[1:]...)
		cmd.Dir, cmd.Env = g.dir, os.Environ()
		if g.build[0] == "go" {
			cmd.Env = append(cmd.Env, "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %.200s", err, bytes.ReplaceAll(out, []byte("\n"), []byte(" ")))
		}
	}
	if g.event == "" {
		var cases []struct {
			Event json.RawMessage   `json:"event"`
			Env   map[string]string `json:"env"`
		}
		text, err := os.ReadFile(filepath.Join(g.dir, "cases.json"))
		if err == nil {
			err = json.Unmarshal(text, &cases)
		}
		if err != nil {
			return nil, err
		}
		g.event, g.env = string(cases[0].Event), cases[0].Env
	}
	return os.ReadFile(filepath.Join(g.dir, g.module))
}

func (g *guest) contenders(ctx context.Context, r *sandbox.Runtime, wasm []byte) (all []*contender, closeAll func(), err error) {
	ours := wasm
	if g.shot {
		if ours, _, err = r.Snapshot(ctx, sandbox.Snapshot{Wasm: wasm, Timeout: time.Minute, Memory: 64 << 20}); err != nil {
			return nil, nil, err
		}
	}
	sum := sha256.Sum256(ours)
	call := sandbox.Call{
		Hash: hex.EncodeToString(sum[:]), Load: func(context.Context) ([]byte, error) { return ours, nil },
		Event: []byte(g.event), Env: g.env, Timeout: time.Minute, Memory: 64 << 20,
	}
	want, err := r.Run(ctx, call)
	if err != nil {
		return nil, nil, err
	}
	all = append(all, &contender{name: "runnel", call: func() error {
		out, err := r.Run(ctx, call)
		if err == nil && !bytes.Equal(out.Output, want.Output) {
			err = fmt.Errorf("answered %q", out.Output)
		}
		return err
	}})
	if g.entry == "" {
		plain, done, err := newPlain(ctx, wasm, g)
		if err != nil {
			return nil, nil, err
		}
		output, err := plain()
		if err == nil && string(bytes.TrimSpace(output)) != string(want.Output) {
			err = fmt.Errorf("wazero answers %q, Runnel %q", output, want.Output)
		}
		return append(all, &contender{name: "wazero", call: func() error { _, err := plain(); return err }}), done, err
	}
	compiled, err := extism.NewCompiledPlugin(ctx, extism.Manifest{
		Wasm: []extism.Wasm{extism.WasmData{Data: wasm}}, Config: g.env, Timeout: 60_000,
	}, extism.PluginConfig{EnableWasi: true}, nil)
	if err != nil {
		return nil, nil, err
	}
	unbound, err := extism.NewCompiledPlugin(ctx, extism.Manifest{
		Wasm: []extism.Wasm{extism.WasmData{Data: wasm}}, Config: g.env,
	}, extism.PluginConfig{EnableWasi: true}, nil)
	if err != nil {
		return nil, nil, err
	}
	sdk := func(c *extism.CompiledPlugin) func() error {
		return func() error {
			plugin, err := c.Instance(ctx, extism.PluginInstanceConfig{})
			if err != nil {
				return err
			}
			defer plugin.Close(ctx)
			_, output, err := plugin.Call(g.entry, []byte(g.event))
			if err == nil && !json.Valid(output) && !strings.Contains(string(want.Output), string(output)) {
				err = fmt.Errorf("Extism answers %q, Runnel %q", output, want.Output)
			}
			return err
		}
	}
	return append(all, &contender{name: "extism without a timeout", call: sdk(unbound)}, &contender{name: "extism", call: sdk(compiled)}), func() {
		_ = compiled.Close(ctx)
		_ = unbound.Close(ctx)
	}, nil
}

// newPlain is a fresh instance in wazero, the least that runs the module.
func newPlain(ctx context.Context, wasm []byte, g *guest) (call func() ([]byte, error), done func(), err error) {
	rt := wazero.NewRuntime(ctx)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
		return nil, nil, err
	}
	// The imports of Runnel, with the answers of a worker without a database.
	var response string
	read := func(m api.Module, ptr, n uint32) []byte { b, _ := m.Memory().Read(ptr, n); return b }
	host := rt.NewHostModuleBuilder("runnel")
	host.NewFunctionBuilder().WithFunc(func(_ context.Context, m api.Module, _, _, _ uint32) {}).Export("log")
	host.NewFunctionBuilder().WithFunc(func(_ context.Context, m api.Module, ptr, n uint32) int32 {
		var ok bool
		if response, ok = g.env[string(read(m, ptr, n))]; !ok {
			return -1
		}
		return int32(len(response))
	}).Export("env")
	answer := func(text string) int32 { response = text; return int32(len(response)) }
	host.NewFunctionBuilder().WithFunc(func(context.Context, uint32, uint32, uint32, uint32) int32 {
		return answer(`{"error":{"code":"RlsUnavailable","message":"none"}}`)
	}).Export("db_query")
	host.NewFunctionBuilder().WithFunc(func(context.Context, uint32, uint32) int32 {
		return answer(`{"error":{"code":"HostNotAllowed","message":"none"}}`)
	}).Export("http_fetch")
	host.NewFunctionBuilder().WithFunc(func(_ context.Context, m api.Module, ptr, n uint32) int32 {
		return int32(copy(read(m, ptr, n), response))
	}).Export("result_read")
	if _, err := host.Instantiate(ctx); err != nil {
		return nil, nil, err
	}
	compiled, err := rt.CompileModule(ctx, wasm)
	if err != nil {
		return nil, nil, err
	}
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader).WithSysWalltime().WithSysNanotime().WithStderr(io.Discard)
	call = func() ([]byte, error) {
		var out bytes.Buffer
		m, err := rt.InstantiateModule(ctx, compiled, config.WithStdin(strings.NewReader(g.event)).WithStdout(&out))
		if err != nil {
			return nil, err
		}
		defer m.Close(ctx)
		if f := m.ExportedFunction("runnel_alloc"); f == nil {
			if _, err := m.ExportedFunction("_start").Call(ctx); err != nil && !strings.Contains(err.Error(), "exit_code(0)") {
				return nil, err
			}
			return out.Bytes(), nil
		}
		if f := m.ExportedFunction("_initialize"); f != nil {
			if _, err := f.Call(ctx); err != nil {
				return nil, err
			}
		}
		at, err := m.ExportedFunction("runnel_alloc").Call(ctx, uint64(len(g.event)))
		if err != nil {
			return nil, err
		}
		m.Memory().WriteString(uint32(at[0]), g.event)
		result, err := m.ExportedFunction("handler").Call(ctx, at[0], uint64(len(g.event)))
		if err != nil {
			return nil, err
		}
		b, _ := m.Memory().Read(uint32(result[0]>>32), uint32(result[0]))
		return bytes.Clone(b), nil
	}
	return call, func() { _ = rt.Close(ctx) }, nil
}

// round calls until its time is over.
func (c *contender) round(each time.Duration) error {
	c.times = c.times[:0]
	for end := time.Now().Add(each); time.Now().Before(end); {
		began := time.Now()
		if err := c.call(); err != nil {
			return err
		}
		c.times = append(c.times, time.Since(began))
	}
	slices.Sort(c.times)
	c.p50 = append(c.p50, c.times[len(c.times)/2])
	c.p99 = append(c.p99, c.times[len(c.times)*99/100])
	return nil
}

func median(d []time.Duration) time.Duration {
	sorted := slices.Clone(d)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

func micros(d time.Duration) string {
	us := float64(d) / float64(time.Microsecond)
	if us < 100 {
		return fmt.Sprintf("%.1f", us)
	}
	return fmt.Sprintf("%.0f", us)
}

func size(n int) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
}
