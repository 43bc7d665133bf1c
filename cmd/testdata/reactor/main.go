// Command reactor tells what a snapshot has kept and what is made anew for each call.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	runnel "github.com/runnelhq/runnel/sdk/go"
	"github.com/runnelhq/runnel/sdk/go/reactor"
)

var (
	squares = make(map[int]int)
	built   time.Time
	calls   int
)

func init() {
	built = time.Now()
	for i := range 10_000 {
		squares[i] = i * i
	}
	fmt.Println("squares:", len(squares))
	reactor.Handle(handle)
}

func handle(ctx context.Context, _ runnel.Event) (any, error) {
	calls++
	var wg sync.WaitGroup // goroutines run after the snapshot too
	sums := make([]int, 4)
	for i := range sums {
		wg.Go(func() {
			for j := i; j < len(squares); j += len(sums) {
				sums[i] += squares[j]
			}
		})
	}
	wg.Wait()
	name, _ := runnel.Env(ctx, "NAME")
	return map[string]any{
		"calls": calls, "sum": sums[0] + sums[1] + sums[2] + sums[3], "built": built.Unix(), "now": time.Now().Unix(), "random": rand.Text(), "name": name,
	}, nil
}

func main() {}
