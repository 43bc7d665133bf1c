// Bombs measures what hostile modules do to a worker and to the functions beside
// them. It deploys nothing: each module goes to Check, to a child that compiles it
// and to a Runtime, as it would in a worker.
//
//	go run ./bench/bombs [-only nest] [-mb 1,5,10] [-cpu 30s] [-unmetered]
//	go run ./bench/bombs -url http://127.0.0.1:8080 [-only calls]
//
// With -url the bombs that are quick to compile are deployed to a Runnel that runs
// (RUNNEL_ADMIN_TOKEN is its token), and hello is called over HTTP beside them: what
// other users of the server notice.
//
// With -unmetered modules go to the child as they are, past the meter, to see that
// the child's limits hold alone.
//
// One row per module: what became of it, how long each step took (check, first
// call), the peak memory of this process and of the child while it was
// tried, and the 50th and 99th percentile of a small function that runs all the
// while, and the ratio to the second before, when nothing else ran. What needs no
// compiling is tried -times times; the row is the try with the median ratio, because
// one disturbance from outside decides a 99th percentile. "others" is how many
// processors everybody else on the machine kept busy meanwhile: with the bomb on one
// processor and others on the rest, hello waits for them, not for the bomb.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/compile"
)

func main() {
	if compile.IsChild() {
		os.Exit(compile.Child())
	}
	only := flag.String("only", "", "run the bombs whose name contains this")
	sizes := flag.String("mb", "1,5,10", "sizes in MB of the bombs that have one")
	each := flag.Duration("each", 90*time.Second, "limit for one bomb")
	quiet := flag.Duration("quiet", time.Second, "length of the measurement without a bomb, before each")
	times := flag.Int("times", 5, "how often what needs no compiling is tried")
	all := flag.Duration("all", 30*time.Minute, "limit for everything")
	unmetered := flag.Bool("unmetered", false, "only compile, and what the meter would refuse as well")
	cpu := flag.Duration("cpu", compile.DefaultLimits().CPU, "the child's limit of processor time")
	url := flag.String("url", "", "of a running Runnel")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *all)
	defer cancel()
	if *url != "" {
		if err := overHTTP(ctx, *url, os.Getenv("RUNNEL_ADMIN_TOKEN"), *only, *quiet, *times); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, *only, *sizes, *each, *quiet, *times, *cpu, *unmetered); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only, sizes string, each, quiet time.Duration, times int, cpu time.Duration, unmetered bool) error {
	var mbs []float64
	for s := range strings.SplitSeq(sizes, ",") {
		mb, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("-mb: %w", err)
		}
		mbs = append(mbs, mb)
	}
	b, err := newBed(ctx, cpu)
	if err != nil {
		return err
	}
	defer b.close()

	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "bomb\tMB\tcheck\tfirst call\tagain\tprocess\tchild\tquiet p99\thello p50\tp99\tmax\tp99/quiet\tothers\toutcome")
	for _, bomb := range bombs {
		if !strings.Contains(bomb.name, only) {
			continue
		}
		for i, mb := range mbs {
			if !bomb.sized && i > 0 || ctx.Err() != nil {
				continue
			}
			wasm := bomb.make(int(mb * (1 << 20)))
			var tries []result
			for range times {
				began, before := time.Now(), lookAtLoad()
				base := b.beside(ctx, func(ctx context.Context) { sleep(ctx, quiet) })
				r := b.try(ctx, wasm, each, unmetered)
				r.others = before.others(time.Since(began))
				r.quiet, r.ratio = base, float64(r.hello.p99)/float64(base.p99)
				if tries = append(tries, r); bomb.sized {
					break // a second time it would not be compiled
				}
			}
			slices.SortFunc(tries, func(a, b result) int { return cmp.Compare(a.ratio, b.ratio) })
			r := tries[len(tries)/2]
			fmt.Fprintf(t, "%s\t%.2f\t%s\t%s\t%s\t%d MB\t%d MB\t%s\t%s\t%s\t%s\t%.1f\t%.2f\t%s\n", bomb.name, float64(len(wasm))/(1<<20),
				millis(r.check), millis(r.first), millis(r.again), r.process>>20, r.child>>20,
				micros(r.quiet.p99), micros(r.hello.p50), micros(r.hello.p99), micros(r.hello.max), r.ratio, r.others, r.outcome)
			t.Flush()
		}
	}
	return context.Cause(ctx)
}

// bed is a worker's sandbox with a small function in it.
type bed struct {
	dir      string
	compiler *compile.Compiler
	runtime  *sandbox.Runtime
	hello    sandbox.Call
}

func newBed(ctx context.Context, cpu time.Duration) (b *bed, err error) {
	b = &bed{}
	if b.dir, err = os.MkdirTemp("", "bombs-*"); err != nil {
		return nil, err
	}
	limits := compile.DefaultLimits()
	limits.CPU = cpu
	self, err := compile.Self()
	if err != nil {
		return nil, err
	}
	if b.compiler, err = compile.New(ctx, compile.Options{Dir: filepath.Join(b.dir, "store"), Command: self, Limits: limits}); err != nil {
		return nil, err
	}
	if b.runtime, err = sandbox.New(ctx, sandbox.Config{Compiler: b.compiler}); err != nil {
		return nil, err
	}
	b.hello = call(guests.Answer(`"hello"`))
	_, err = b.runtime.Run(ctx, b.hello)
	return b, err
}

func (b *bed) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = b.runtime.Close(ctx)
	_ = b.compiler.Close()
	_ = os.RemoveAll(b.dir)
}

func call(wasm []byte) sandbox.Call {
	sum := sha256.Sum256(wasm)
	return sandbox.Call{
		Hash: hex.EncodeToString(sum[:]), Revision: "1", Event: []byte(`{}`), Timeout: time.Second, Memory: 128 << 20,
		Load: func(context.Context) ([]byte, error) { return wasm, nil },
	}
}

type result struct {
	check, first, again time.Duration
	process, child      int64
	outcome             string
	hello, quiet        latency
	ratio               float64 // of their p99
	others              float64 // processors that others kept busy
}

// try does with a module what a deploy and two calls do; those who call do not
// know that Check refused it.
func (b *bed) try(ctx context.Context, wasm []byte, limit time.Duration, unmetered bool) (r result) {
	m := watchMemory()
	r.hello = b.beside(ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if unmetered {
			began := time.Now()
			err := b.compiler.Compile(ctx, wasm)
			r.first = time.Since(began)
			began = time.Now()
			_ = b.compiler.Compile(ctx, wasm)
			r.again = time.Since(began)
			r.outcome = "compile: " + outcome(err)
			return
		}
		began := time.Now()
		_, err := sandbox.Check(ctx, wasm)
		r.check = time.Since(began)
		if err != nil {
			r.outcome = "check: " + outcome(err)
		}
		began = time.Now()
		_, err = b.runtime.Run(ctx, call(wasm))
		r.first = time.Since(began)
		began = time.Now()
		_, again := b.runtime.Run(ctx, call(wasm))
		r.again = time.Since(began)
		if r.outcome == "" {
			if r.outcome = "run: " + outcome(err); runnel.CodeOf(err) != runnel.CodeOf(again) {
				r.outcome += "; again: " + outcome(again)
			}
		}
		sleep(ctx, 500*time.Millisecond-time.Since(began)) // or p99 would mean nothing for quick ones
	})
	r.process, r.child = m.stop()
	return r
}

func outcome(err error) string {
	var known *runnel.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &known):
		return fmt.Sprintf("%s: %.90s", known.Code, strings.TrimPrefix(known.Message, "the module cannot run: "))
	}
	return err.Error()
}

type latency struct {
	p50, p99, max time.Duration
	calls         int
}

// beside measures hello, once a millisecond, while f runs.
func (b *bed) beside(ctx context.Context, f func(context.Context)) latency {
	return beside(ctx, time.Millisecond, f, func() error {
		_, err := b.runtime.Run(ctx, b.hello)
		return err
	})
}

// beside measures hello, once in every while f runs.
func beside(ctx context.Context, every time.Duration, f func(context.Context), hello func() error) (l latency) {
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var took []time.Duration
	for {
		began := time.Now()
		if err := hello(); err == nil {
			took = append(took, time.Since(began))
		}
		select {
		case <-done:
			if len(took) == 0 {
				return l
			}
			slices.SortFunc(took, cmp.Compare)
			return latency{took[len(took)/2], took[len(took)*99/100], took[len(took)-1], len(took)}
		case <-tick.C:
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func micros(d time.Duration) string { return fmt.Sprintf("%d us", d.Microseconds()) }

func millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
