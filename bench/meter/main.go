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
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

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
	for _, g := range all {
		if err := execution(ctx, out, g, rounds); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return deployment(ctx, all[len(all)-1])
}

// execution writes one line of the table.
func execution(ctx context.Context, out io.Writer, g guest, rounds int) error {
	m, err := meter.Rewrite(g.wasm, meter.DefaultLimits())
	if err != nil {
		return err
	}
	plain, err := load(ctx, g.wasm)
	if err != nil {
		return err
	}
	defer plain.runtime.Close(ctx)
	metered, err := load(ctx, m.Wasm)
	if err != nil {
		return err
	}
	defer metered.runtime.Close(ctx)

	var without, with, ratios []float64
	for range rounds {
		a, want, err := plain.call(ctx, g.arg)
		if err != nil {
			return err
		}
		b, got, err := metered.call(ctx, g.arg)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("metered: %d, plain: %d", got, want)
		}
		without = append(without, a.Seconds()*1000)
		with = append(with, b.Seconds()*1000)
		ratios = append(ratios, b.Seconds()/a.Seconds())
	}
	fmt.Fprintf(out, "%s\t%.1f\t%.2f\t%.2f\t\n", g.name, median(without), median(ratios), slices.Min(with)/slices.Min(without))
	return nil
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
			in, err := load(ctx, c.wasm)
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
}

func load(ctx context.Context, wasm []byte) (*instance, error) {
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
	in.run = mod.ExportedFunction("run")
	return in, nil
}

func (in *instance) call(ctx context.Context, arg int32) (time.Duration, int32, error) {
	start := time.Now()
	results, err := in.run.Call(ctx, api.EncodeI32(arg))
	if err != nil {
		return 0, 0, err
	}
	return time.Since(start), api.DecodeI32(results[0]), nil
}

// host gives slices of about 50 us, as the sandbox does.
type host struct {
	slice int32
	last  time.Time
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
		runtime.Gosched()
		h.last = time.Now()
		stack[0] = uint64(uint32(h.slice))
	}
}
