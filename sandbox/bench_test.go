package sandbox

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
)

// BenchmarkRun measures one invocation in a fresh instance of a cached module.
func BenchmarkRun(b *testing.B) {
	r := newRuntime(b, Config{})
	for _, guest := range []struct {
		name string
		wasm func() []byte
	}{
		{"command", hello},
		{"reactor", func() []byte { return newGuest().reactor(at(1024), echo()) }},
		{"go", func() []byte { return buildGoGuest(b) }},
	} {
		call := callOf(guest.wasm())
		call.Event = []byte(`{"do":"echo","value":"x"}`)
		call.Memory = runnel.DefaultMemory
		if _, err := r.Run(context.Background(), call); err != nil {
			b.Fatal(err)
		}
		b.Run(guest.name, func(b *testing.B) {
			took := make([]time.Duration, 0, b.N)
			for b.Loop() {
				out, err := r.Run(context.Background(), call)
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, out.Duration)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "median-us")
		})
		b.Run(guest.name+"/parallel", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := r.Run(context.Background(), call); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkKill measures how long after their deadline guests end that never would,
// all of them at once.
func BenchmarkKill(b *testing.B) {
	r := newRuntime(b, Config{})
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			call := callOf(spin())
			call.Timeout = time.Second
			var late []time.Duration
			for b.Loop() {
				late = make([]time.Duration, n)
				var group sync.WaitGroup
				for i := range n {
					group.Go(func() {
						out, err := r.Run(context.Background(), call)
						if runnel.CodeOf(err) != runnel.CodeTimeout {
							b.Error(err)
						}
						late[i] = out.Duration - call.Timeout
					})
				}
				group.Wait()
			}
			slices.Sort(late)
			for name, q := range map[string]int{"p50": 50, "p99": 99, "max": 100} {
				b.ReportMetric(float64(late[min(n-1, n*q/100)].Microseconds())/1000, name+"-ms-late")
			}
		})
	}
}

// BenchmarkOutOfMemory measures guests that touch every page they can get, and what
// is left of them in the process.
func BenchmarkOutOfMemory(b *testing.B) {
	r := newRuntime(b, Config{})
	call := callOf(grow())
	call.Memory = 64 << 20
	if _, err := r.Run(context.Background(), call); runnel.CodeOf(err) != runnel.CodeOutOfMemory {
		b.Fatal(err)
	}
	before, peak := resident(), int64(0)
	for b.Loop() {
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				if _, err := r.Run(context.Background(), call); runnel.CodeOf(err) != runnel.CodeOutOfMemory {
					b.Error(err)
				}
			})
		}
		peak = max(peak, resident())
		group.Wait()
	}
	b.ReportMetric(float64(before)/(1<<20), "MB-before")
	b.ReportMetric(float64(peak)/(1<<20), "MB-during")
	b.ReportMetric(float64(resident())/(1<<20), "MB-after")
}

// resident is the resident set of the process in bytes, 0 where it is not known.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// BenchmarkCheck measures what a deploy pays.
func BenchmarkCheck(b *testing.B) {
	for name, wasm := range map[string][]byte{"small": hello(), "go": buildGoGuest(b)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Check(context.Background(), wasm); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCompile measures what the first call of a module pays.
func BenchmarkCompile(b *testing.B) {
	r := newRuntime(b, Config{CacheBytes: 1}) // keeps nothing
	for name, wasm := range map[string][]byte{"small": hello(), "go": buildGoGuest(b)} {
		call := callOf(wasm)
		call.Event = []byte(`{"do":"echo"}`)
		call.Memory = runnel.DefaultMemory
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := r.Run(context.Background(), call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
