// Command meter measures what the meter costs: the same guests in plain wazero,
// which cannot stop them, and rewritten, with a host that checks a deadline. Run
// it with go run ./bench/meter. The two take turns within each round, and the
// ratio is the median of the rounds'.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	quickjs "github.com/aperturerobotics/go-quickjs-wasi-reactor"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/runnelhq/runnel/sandbox/meter"
)

func main() {
	rounds := flag.Int("rounds", 21, "how often each guest runs")
	flag.Parse()
	if err := run(context.Background(), *rounds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int) error {
	all, err := guests()
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "guest\tplain ms\tmetered / plain\tof the fastest rounds\t")
	product := 1.0
	for _, g := range all {
		ratio, err := execution(ctx, out, g, rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		product *= ratio
	}
	fmt.Fprintf(out, "geometric mean\t\t%.2f\t\t\n", math.Pow(product, 1/float64(len(all))))
	if err := out.Flush(); err != nil {
		return err
	}
	return deployment(ctx, all[len(all)-1])
}

// execution writes one line of the table and returns its ratio.
func execution(ctx context.Context, out io.Writer, g guest, rounds int) (ratio float64, err error) {
	m, err := meter.Rewrite(g.wasm, meter.DefaultLimits())
	if err != nil {
		return 0, err
	}
	plain, err := load(ctx, g.wasm, g.script)
	if err != nil {
		return 0, err
	}
	defer plain.runtime.Close(ctx)
	metered, err := load(ctx, m.Wasm, g.script)
	if err != nil {
		return 0, err
	}
	defer metered.runtime.Close(ctx)

	var without, with, ratios []float64
	for range rounds {
		a, want, err := plain.call(ctx, g.arg)
		if err != nil {
			return 0, err
		}
		b, got, err := metered.call(ctx, g.arg)
		if err != nil {
			return 0, err
		}
		if got != want {
			return 0, fmt.Errorf("metered: %d, plain: %d", got, want)
		}
		without = append(without, a.Seconds()*1000)
		with = append(with, b.Seconds()*1000)
		ratios = append(ratios, b.Seconds()/a.Seconds())
	}
	ratio = median(ratios)
	fmt.Fprintf(out, "%s\t%.1f\t%.2f\t%.2f\t\n", g.name, median(without), ratio, slices.Min(with)/slices.Min(without))
	return ratio, nil
}

// deployment prints what the meter costs before a module runs, fastest of 5.
func deployment(ctx context.Context, g guest) error {
	var rewrite, plain, metered []float64
	size := 0
	for range 5 {
		start := time.Now()
		m, err := meter.Rewrite(g.wasm, meter.DefaultLimits())
		if err != nil {
			return err
		}
		rewrite = append(rewrite, time.Since(start).Seconds()*1000)
		size = len(m.Wasm)
		for _, c := range []struct {
			wasm  []byte
			times *[]float64
		}{{g.wasm, &plain}, {m.Wasm, &metered}} {
			in, err := load(ctx, c.wasm, g.script)
			if err != nil {
				return err
			}
			*c.times = append(*c.times, in.compile.Seconds()*1000)
			in.runtime.Close(ctx)
		}
	}
	fmt.Printf("%s: %.1f MB, %+.0f %% rewritten; rewriting %.0f ms; compiling %.0f ms plain, %.2f times that metered\n",
		g.name, float64(len(g.wasm))/1e6, 100*(float64(size)/float64(len(g.wasm))-1),
		slices.Min(rewrite), slices.Min(plain), slices.Min(metered)/slices.Min(plain))
	return nil
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// instance is an instantiated guest.
type instance struct {
	runtime wazero.Runtime
	run     api.Function
	compile time.Duration

	js, text, length uint64 // of a script: its context and where it is
}

func load(ctx context.Context, wasm []byte, script string) (*instance, error) {
	in := &instance{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCloseOnContextDone(false))}
	wasi_snapshot_preview1.MustInstantiate(ctx, in.runtime)
	i32 := []api.ValueType{api.ValueTypeI32}
	_, err := in.runtime.NewHostModuleBuilder(meter.Namespace).NewFunctionBuilder().
		WithGoFunction((&host{slice: 200_000}).tick(), i32, i32).Export(meter.TickImport).Instantiate(ctx)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	compiled, err := in.runtime.CompileModule(ctx, wasm)
	if err != nil {
		return nil, err
	}
	in.compile = time.Since(start)
	mod, err := in.runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		return nil, err
	}
	if script != "" {
		return in, in.javascript(ctx, mod, script)
	}
	in.run = mod.ExportedFunction("run")
	return in, nil
}

// javascript makes a QuickJS context in which call evaluates script.
func (in *instance) javascript(ctx context.Context, mod api.Module, script string) error {
	call := func(name string, args ...uint64) (uint64, error) {
		results, err := mod.ExportedFunction(name).Call(ctx, args...)
		if err != nil || len(results) == 0 {
			return 0, err
		}
		return results[0], nil
	}
	rt, err := call(quickjs.ExportJSNewRuntime)
	if err != nil {
		return err
	}
	in.js, err = call(quickjs.ExportJSNewContext, rt)
	if err != nil {
		return err
	}
	if in.text, err = call(quickjs.ExportMalloc, uint64(len(script)+1)); err != nil {
		return err
	}
	mod.Memory().Write(uint32(in.text), append([]byte(script), 0))
	in.length = uint64(len(script))
	in.run = mod.ExportedFunction(quickjs.ExportJSEval)
	return nil
}

// call runs the guest once. A script's result is an integer, which QuickJS keeps in
// the lower half of a value.
func (in *instance) call(ctx context.Context, arg int32) (time.Duration, int32, error) {
	if in.length > 0 {
		start := time.Now()
		results, err := in.run.Call(ctx, in.js, in.text, in.length, in.text+in.length, 0)
		took := time.Since(start)
		if err != nil {
			return 0, 0, err
		}
		if tag := int32(results[0] >> 32); tag != 0 {
			return 0, 0, fmt.Errorf("the script's result has tag %d: it is no integer", tag)
		}
		return took, int32(uint32(results[0])), nil
	}
	start := time.Now()
	results, err := in.run.Call(ctx, api.EncodeI32(arg))
	if err != nil {
		return 0, 0, err
	}
	return time.Since(start), api.DecodeI32(results[0]), nil
}

// host gives slices of about 50 us, as the sandbox does.
type host struct {
	slice   int32
	last    time.Time
	yielded time.Time
}

func (h *host) tick() api.GoFunc {
	return func(ctx context.Context, stack []uint64) {
		if ctx.Err() != nil {
			panic(ctx.Err())
		}
		switch took := time.Since(h.last); {
		case took > 80*time.Microsecond:
			h.slice = max(h.slice/2, 20_000)
		case took < 25*time.Microsecond:
			h.slice = min(h.slice*2, 1_000_000)
		}
		if h.last = time.Now(); h.last.Sub(h.yielded) > time.Millisecond { // as one that has a processor to itself
			runtime.Gosched()
			h.last = time.Now()
			h.yielded = h.last
		}
		stack[0] = uint64(uint32(h.slice))
	}
}
