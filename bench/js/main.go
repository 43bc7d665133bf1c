// Command js measures functions beside other ways to run them: what a call in a fresh
// instance takes, and what the JavaScript engine makes of work for the processor. It
// prints Markdown. Run it in its folder, on a machine that does nothing else:
//
//	go run . -part start
//	go run . -part work
//
// What it needs and does not find is left out, and the reason printed. Deno, workerd
// and AssemblyScript come from npm into the user's cache; "make upstream" builds
// native QuickJS.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func main() {
	part := flag.String("part", "", "start or work; both when it is empty")
	rounds := flag.Int("rounds", 0, "rounds in which all take turns; 0: 5 for start, 200 for work")
	each := flag.Duration("each", 400*time.Millisecond, "how long each is called in a round of start")
	most := flag.Duration("most", 200*time.Second, "no new round of a part begins after this time")
	qjs := flag.String("qjs", filepath.Join("..", "..", "bin", "qjs"), "program of the native QuickJS-NG")
	flag.Parse()
	if err := run(*part, *qjs, *rounds, *each, *most); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(part, qjs string, rounds int, each, most time.Duration) error {
	if part != "" && part != "start" && part != "work" {
		return fmt.Errorf("-part is start or work, not %q", part)
	}
	b, err := newBed(context.Background())
	if err != nil {
		return err
	}
	defer b.close()
	if part != "work" {
		starts(b, orElse(rounds, 5), each, most)
	}
	if part != "start" {
		return work(b, qjs, orElse(rounds, 200), most)
	}
	return nil
}

func orElse(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// quantile returns the value below which a share of v lies; v is sorted on the way.
func quantile[T int64 | float64 | time.Duration](v []T, share float64) T {
	slices.Sort(v)
	return v[min(int(share*float64(len(v))), len(v)-1)]
}
