package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

// peer is one way to make a call in a fresh instance.
type peer struct {
	name string
	note string
	// open returns what makes calls, one at a time, for one caller.
	open func() (func(context.Context) error, error)
	err  error // why it is not there, or what went wrong

	callers []func(context.Context) error
	took    []time.Duration // with one caller
	rates   []float64       // a second, with a caller for each processor
}

// anyone is the open of a call that any number of callers may make at once.
func anyone(call func(context.Context) error) func() (func(context.Context) error, error) {
	return func() (func(context.Context) error, error) { return call, nil }
}

// starts prints p50 and p99 of one caller on one processor, and the calls per second
// of as many callers as there are processors.
func starts(b *bed, rounds int, each, most time.Duration) {
	peers := append(functions(b), others(b)...)
	for _, p := range peers {
		p.prepare(b.ctx)
	}
	done, began := 0, time.Now()
	for ; done < rounds && time.Since(began) < most; done++ {
		for _, p := range peers {
			p.round(b.ctx, each)
		}
	}
	fmt.Printf("A call in a fresh instance: %d interleaved rounds of %s; %d processors. With one caller Go has one processor (GOMAXPROCS=1), and node, deno and workerd may use what they find. The rate is that of %d callers.\n\n", done, each, runtime.NumCPU(), runtime.NumCPU())
	fmt.Println("| what | p50 | p99 | calls/s, all processors | |\n|---|---|---|---|---|")
	for _, p := range peers {
		if p.err == nil {
			fmt.Printf("| %s | %s | %s | %.0f | %s |\n", p.name, short(quantile(p.took, 0.5)), short(quantile(p.took, 0.99)), quantile(p.rates, 0.5), p.note)
		}
	}
	fmt.Println()
	for _, p := range peers {
		if p.err != nil {
			fmt.Printf("Left out: %s: %s\n", p.name, oneLine(p.err))
			fmt.Fprintf(os.Stderr, "%s: %v\n", p.name, p.err)
		}
	}
}

// prepare opens the callers and makes each call a few times.
func (p *peer) prepare(ctx context.Context) {
	for range runtime.NumCPU() {
		if p.err != nil {
			return
		}
		var call func(context.Context) error
		if call, p.err = p.open(); p.err != nil {
			return
		}
		p.callers = append(p.callers, call)
		for range 3 {
			if p.err = call(ctx); p.err != nil {
				return
			}
		}
	}
}

func (p *peer) round(ctx context.Context, each time.Duration) {
	if p.err != nil {
		return
	}
	runtime.GC()
	all := runtime.GOMAXPROCS(1)
	for end := time.Now().Add(each); time.Now().Before(end) && p.err == nil; {
		t := time.Now()
		p.err = p.callers[0](ctx)
		p.took = append(p.took, time.Since(t))
	}
	runtime.GOMAXPROCS(all)
	runtime.GC()
	var mu sync.Mutex
	var wg sync.WaitGroup
	calls, began := 0, time.Now()
	for _, call := range p.callers {
		wg.Go(func() {
			n := 0
			var err error
			for end := began.Add(each); err == nil && time.Now().Before(end); n++ {
				err = call(ctx)
			}
			mu.Lock()
			defer mu.Unlock()
			calls += n
			if err != nil {
				p.err = err
			}
		})
	}
	wg.Wait()
	p.rates = append(p.rates, float64(calls)/time.Since(began).Seconds())
}

func short(d time.Duration) string {
	switch {
	case d < 20*time.Microsecond:
		return fmt.Sprintf("%.1f us", float64(d.Nanoseconds())/1000)
	case d < time.Millisecond:
		return fmt.Sprintf("%d us", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

func oneLine(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	return s[:min(len(s), 300)]
}
