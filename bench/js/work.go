package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/dop251/goja"
	quickjs "modernc.org/quickjs"
)

// works are bodies of functions that keep the processor busy for some 10 ms: long
// beside the start of an instance, and short so that what else the machine does falls
// into few of many rounds.
var works = []struct{ name, body string }{
	{"loop of 300,000", `let a = 0; for (let i = 0; i < 3e5; i++) a = (a + i * 7) % 1000003; return a`},
	{"fib(24)", `function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2) } return fib(24)`},
	{"JSON of 100 KB, there and back", `const o = []; for (let i = 0; i < 1000; i++) o.push({ id: i, name: "name " + i, tags: ["a", "b", "c"], nested: { x: i / 3, y: null, z: true } });
		return JSON.stringify(JSON.parse(JSON.stringify(o))).length`},
	{"regex, 3,000 addresses", `let n = 0; for (let i = 0; i < 3000; i++) { const s = "user" + i + "@example.com"; if (/^([a-z0-9]+)@([a-z]+)\.com$/.test(s)) n += s.replace(/[0-9]+/g, "#").length } return n`},
	{"sort of 10,000", `let x = 1; const a = Array.from({ length: 10000 }, () => (x = x * 16807 % 2147483647)); a.sort((p, q) => p - q); return a[5000]`},
}

// runner runs one of the works and returns how long it took.
type runner struct {
	name string
	run  func(work int) (time.Duration, error)
	err  error // why it is not there

	took [][]float64 // milliseconds, by work
}

// work prints the median times of each work. The cost of stopping is the median of
// the rounds' ratios: in each round Runnel and the same engine without stopping run
// as A B B A, so that what changes slowly is in both alike.
func work(b *bed, qjs string, rounds int, most time.Duration) error {
	ours, bare, err := engines(b)
	if err != nil {
		return err
	}
	runners := append([]*runner{ours, bare}, otherEngines(b, qjs)...)
	for _, r := range runners {
		r.took = make([][]float64, len(works))
	}
	ratios := make([][]float64, len(works))
	done, began := 0, time.Now()
	for ; done < rounds && time.Since(began) < most; done++ {
		for w := range works {
			runtime.GC()
			pair := [...]*runner{ours, bare, bare, ours}
			if done%2 == 1 {
				pair = [...]*runner{bare, ours, ours, bare}
			}
			sums := map[*runner]float64{}
			for _, r := range pair {
				ms, err := r.one(w)
				if err != nil {
					return err
				}
				sums[r] += ms
			}
			ratios[w] = append(ratios[w], sums[ours]/sums[bare])
			for _, r := range runners[2:] {
				if r.err == nil {
					if _, err := r.one(w); err != nil {
						return err
					}
				}
			}
		}
	}
	var names, lines []string
	for _, r := range runners {
		if r.err == nil {
			names = append(names, r.name)
			lines = append(lines, "---")
		}
	}
	fmt.Printf("\nWork for the processor: milliseconds, medians of %d interleaved rounds. Stopping costs the median of the rounds' ratios of Runnel to the same engine without it (in brackets the quartiles); Runnel's time has the start of the instance in it, the others' has not.\n\n", done)
	fmt.Printf("| work | %s | stopping costs |\n|---|%s|---|\n", strings.Join(names, " | "), strings.Join(lines, "|"))
	var all []float64
	for w := range works {
		fmt.Printf("| %s |", works[w].name)
		for _, r := range runners {
			if r.err == nil {
				fmt.Printf(" %.1f |", quantile(r.took[w], 0.5))
			}
		}
		fmt.Printf(" x %.2f (%.2f-%.2f) |\n", quantile(ratios[w], 0.5), quantile(ratios[w], 0.25), quantile(ratios[w], 0.75))
		all = append(all, ratios[w]...)
	}
	fmt.Printf("\nStopping costs x %.2f over all works.\n", quantile(all, 0.5))
	for _, r := range runners {
		if r.err != nil {
			fmt.Printf("Left out: %s: %s\n", r.name, oneLine(r.err))
		}
	}
	return nil
}

// one runs a work once.
func (r *runner) one(w int) (ms float64, err error) {
	d, err := r.run(w)
	if err != nil {
		return 0, fmt.Errorf("%s: %s: %w", r.name, works[w].name, err)
	}
	ms = float64(d.Nanoseconds()) / 1e6
	r.took[w] = append(r.took[w], ms)
	return ms, nil
}

// engines are Runnel and the same modules in wazero as it comes, in memory that is as
// resident.
func engines(b *bed) (ours, bare *runner, err error) {
	resident, err := newMemory()
	if err != nil {
		return nil, nil, err
	}
	var calls []func(context.Context) error
	var plains []*plain
	for _, w := range works {
		wasm, err := b.build("export function handler() { " + w.body + " }")
		if err != nil {
			return nil, nil, err
		}
		call, want, err := b.caller(wasm, event)
		if err != nil {
			return nil, nil, err
		}
		p, err := newPlain(b.ctx, wasm)
		if err != nil {
			return nil, nil, err
		}
		b.onClose(func() { _ = p.runtime.Close(b.ctx) })
		p.memory = resident
		got, _, err := p.call(b.ctx, event)
		if err := differs(got, want, err); err != nil {
			return nil, nil, fmt.Errorf("%s in wazero: %w", w.name, err)
		}
		calls, plains = append(calls, call), append(plains, p)
	}
	ours = &runner{name: "Runnel", run: func(w int) (time.Duration, error) {
		return timed(func() error { return calls[w](b.ctx) })
	}}
	bare = &runner{name: "the same, unstoppable", run: func(w int) (time.Duration, error) {
		_, took, err := plains[w].call(b.ctx, event)
		return took, err
	}}
	return ours, bare, nil
}

// otherEngines are in this process, or in one of their own; qjs is the native QuickJS.
func otherEngines(b *bed, qjs string) []*runner {
	runners := []*runner{
		{name: "modernc quickjs", run: func(w int) (time.Duration, error) {
			vm, err := quickjs.NewVM()
			if err != nil {
				return 0, err
			}
			defer vm.Close()
			return timed(func() error { _, err := vm.Eval("(function(){"+works[w].body+"})()", quickjs.EvalGlobal); return err })
		}},
		{name: "goja", run: func(w int) (time.Duration, error) {
			vm := goja.New()
			return timed(func() error { _, err := vm.RunString("(function(){" + works[w].body + "})()"); return err })
		}},
	}
	native, err := startQuickJS(b, qjs)
	runners = append(runners, &runner{name: "QuickJS, native", err: err, run: func(w int) (time.Duration, error) {
		return native.ask("work", works[w].body)
	}})
	for _, args := range [][]string{{"--jitless"}, nil} {
		n, err := startNode(b, args...)
		runners = append(runners, &runner{name: strings.Join(append([]string{"node"}, args...), " "), err: err, run: func(w int) (time.Duration, error) {
			return n.ask("work", works[w].body)
		}})
	}
	return runners
}

func timed(f func() error) (time.Duration, error) {
	t := time.Now()
	err := f()
	return time.Since(t), err
}
