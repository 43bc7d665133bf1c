// Command js measures JavaScript functions beside other ways to run JavaScript: what
// a call in a fresh instance takes, and what the engine makes of work for the
// processor. Run it in its folder: go run . [-part calls|work]. What is not
// installed is left out and named.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

func main() {
	part := flag.String("part", "", "calls or work; both when it is empty")
	span := flag.Duration("span", 2*time.Second, "how long each kind of call is made")
	rounds := flag.Int("rounds", 7, "how often each work is done")
	flag.Parse()
	ctx := context.Background()
	var err error
	if *part != "work" {
		err = calls(ctx, *span)
	}
	if err == nil && *part != "calls" {
		err = work(ctx, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// peer is one way to make a call in a fresh instance.
type peer struct {
	name string
	note string
	call func(context.Context) error
	// slow peers are called one at a time only.
	slow bool
	skip error // why it is not there
}

// calls prints p50 and p99 of one caller, and the calls per second of as many as
// there are processors.
func calls(ctx context.Context, span time.Duration) error {
	peers, err := callPeers(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("A call in a fresh instance. %d processors, %s for each.\n\n", runtime.NumCPU(), span)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "what\tp50\tp99\tcalls/s, all processors\tnote")
	for _, p := range peers {
		if p.skip != nil {
			fmt.Fprintf(out, "%s\t-\t-\t-\tleft out: %v\n", p.name, p.skip)
			continue
		}
		for range 3 {
			if err := p.call(ctx); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		runtime.GC()
		var took []time.Duration
		for end := time.Now().Add(span); time.Now().Before(end); {
			t := time.Now()
			if err := p.call(ctx); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			took = append(took, time.Since(t))
		}
		slices.Sort(took)
		rate := "-"
		if !p.slow {
			rate = fmt.Sprintf("%.0f", throughput(ctx, p, span))
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", p.name, short(took[len(took)/2]), short(took[len(took)*99/100]), rate, p.note)
		out.Flush()
	}
	return out.Flush()
}

func throughput(ctx context.Context, p peer, span time.Duration) float64 {
	var n atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	end := start.Add(span)
	for range runtime.NumCPU() {
		wg.Go(func() {
			for time.Now().Before(end) {
				if p.call(ctx) == nil {
					n.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d us", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// works are bodies of functions that keep the processor busy.
var works = []struct{ name, body string }{
	{"fib(24)", `function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2) } return fib(24)`},
	{"loop of 3 million", `let a = 0; for (let i = 0; i < 3e6; i++) a = (a + i * 7) % 1000003; return a`},
	{"JSON of 100 KB, 20 times", `const o = []; for (let i = 0; i < 1000; i++) o.push({ id: i, name: "name " + i, tags: ["a", "b", "c"], nested: { x: i / 3, y: null, z: true } });
		let s = JSON.stringify(o), n = 0; for (let i = 0; i < 20; i++) { n += s.length; s = JSON.stringify(JSON.parse(s)) } return n`},
	{"strings and regex", `let n = 0; for (let i = 0; i < 20000; i++) { const s = "user" + i + "@example.com"; if (/^([a-z0-9]+)@([a-z]+)\.com$/.test(s)) n += s.replace(/[0-9]+/g, "#").length } return n`},
	{"sort of 50,000", `let x = 1; const a = Array.from({ length: 50000 }, () => (x = x * 16807 % 2147483647)); a.sort((p, q) => p - q); return a[25000]`},
}

// runner runs a body once and returns how long it took.
type runner struct {
	name string
	run  func(body string) (time.Duration, error)
	skip error
}

// work prints the median time of each work, the runners taking turns.
func work(ctx context.Context, rounds int) error {
	runners, closeAll, err := workRunners(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	fmt.Printf("\nWork for the processor: milliseconds, median of %d interleaved rounds.\n\n", rounds)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(out, "work")
	for _, r := range runners {
		if r.skip == nil {
			fmt.Fprintf(out, "\t%s", r.name)
		}
	}
	fmt.Fprintln(out, "\tstopping costs")
	for _, w := range works {
		took := make(map[string][]float64)
		var ratios []float64
		for range rounds {
			for _, r := range runners {
				if r.skip != nil {
					continue
				}
				d, err := r.run(w.body)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", r.name, w.name, err)
				}
				took[r.name] = append(took[r.name], float64(d.Microseconds())/1000)
			}
			n := len(took[metered])
			ratios = append(ratios, took[metered][n-1]/took[unmetered][n-1])
		}
		fmt.Fprint(out, w.name)
		for _, r := range runners {
			if r.skip == nil {
				fmt.Fprintf(out, "\t%.1f", median(took[r.name]))
			}
		}
		fmt.Fprintf(out, "\tx %.2f\n", median(ratios))
		out.Flush()
	}
	for _, r := range runners {
		if r.skip != nil {
			fmt.Fprintf(out, "left out: %s: %v\n", r.name, r.skip)
		}
	}
	return out.Flush()
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
