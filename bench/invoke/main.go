// Invoke measures an invocation from call to answer, and what it costs beside
// the parts it is made of. Every figure of a run comes from one machine, one
// Postgres and interleaved rounds; compare ratios, not digits.
//
//	go run ./bench/invoke [-seconds 3] [-rounds 3] [-callers 1,16,64]
//
// The rows:
//
//	postgres  the floor: insert a job, take it with SKIP LOCKED, write a log row
//	          and complete it; three statements on one connection per caller,
//	          nobody woken
//	river     River as its documentation starts: Insert, a worker that does
//	          nothing, the caller waits for the completion event
//	river-tx  River with fetches 1 ms apart and the log row written by
//	          JobCompleteTx in the job's transaction, the caller woken by NOTIFY:
//	          what an application would write by hand to get a log that agrees
//	          with its jobs
//	runnel    an HTTP request to a sandboxed function: fresh instance, redacted
//	          log row in the job's statement, the answer in the response
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

func main() {
	seconds := flag.Float64("seconds", 3, "length of one measurement")
	rounds := flag.Int("rounds", 3, "interleaved rounds; the median is printed")
	callers := flag.String("callers", "1,16,64", "concurrent callers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *seconds, *rounds, *callers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A subject answers one call after the other.
type subject struct {
	name string
	call func(ctx context.Context) error
}

func run(ctx context.Context, seconds float64, rounds int, callers string) error {
	b, err := newBed(ctx)
	if err != nil {
		return err
	}
	defer b.close()

	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "callers\tsubject\tcalls/s\tx postgres\tp50 ms\tp99 ms\t")
	for _, field := range strings.Split(callers, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 || n > 256 {
			return fmt.Errorf("-callers %q: use numbers from 1 to 256", field)
		}
		results := make(map[string][]measurement)
		for range rounds {
			for _, s := range b.subjects {
				m, err := measure(ctx, s, n, time.Duration(seconds*float64(time.Second)))
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				results[s.name] = append(results[s.name], m)
			}
		}
		floor := median(results["postgres"], func(m measurement) float64 { return m.rate })
		for _, s := range b.subjects {
			r := results[s.name]
			rate := median(r, func(m measurement) float64 { return m.rate })
			fmt.Fprintf(out, "%d\t%s\t%.0f\t%.2f\t%.2f\t%.2f\t\n", n, s.name, rate, rate/floor,
				median(r, func(m measurement) float64 { return m.p50 }), median(r, func(m measurement) float64 { return m.p99 }))
		}
		out.Flush()
	}
	return nil
}

type measurement struct{ rate, p50, p99 float64 } // calls/s, ms, ms

func median(all []measurement, of func(measurement) float64) float64 {
	v := make([]float64, len(all))
	for i, m := range all {
		v[i] = of(m)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func measure(ctx context.Context, s subject, callers int, d time.Duration) (measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	var failed atomic.Pointer[error]
	took := make([][]time.Duration, callers)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for failed.Load() == nil && time.Since(start) < d {
				t := time.Now()
				if err := s.call(ctx); err != nil {
					failed.Store(&err)
					return
				}
				took[i] = append(took[i], time.Since(t))
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	if err := failed.Load(); err != nil {
		return measurement{}, *err
	}
	all := slices.Concat(took...)
	if len(all) == 0 {
		return measurement{}, errors.New("no call finished")
	}
	slices.Sort(all)
	ms := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Microseconds()) / 1000 }
	return measurement{float64(len(all)) / elapsed.Seconds(), ms(.5), ms(.99)}, nil
}

func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// httpCall posts to a function and checks the answer.
func httpCall(client *http.Client, url, want string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(`{"name":"bench"}`)))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK || string(body) != want {
			return fmt.Errorf("%s answered %s: %s", url, res.Status, body)
		}
		return nil
	}
}

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func keyOf(args []byte) (int64, error) {
	var a benchArgs
	err := json.Unmarshal(args, &a)
	return a.Key, err
}
