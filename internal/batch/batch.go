// Package batch joins concurrent calls into one, without a timer: whatever was
// asked for while a call was under way becomes the next call. At low load a
// call carries one item and waits for nobody; under load the batches grow by
// themselves. It is how Runnel pays for one commit where a hundred invocations
// end at once.
package batch

import (
	"context"
	"fmt"
	"sync"
)

// Group joins calls of Do. The zero value is not usable; use New.
type Group[T, R any] struct {
	do  func(context.Context, []T) ([]R, error)
	max int

	mu      sync.Mutex
	queue   []waiting[T, R] // guarded by mu
	running bool            // a flush loop exists; guarded by mu
}

type waiting[T, R any] struct {
	item T
	done chan<- result[R]
}

type result[R any] struct {
	value R
	err   error
}

// New returns a Group that hands at most limit items at a time to do, one call
// at a time. do answers with one result for each item, in order, or with an
// error that every item of the batch gets.
func New[T, R any](limit int, do func(context.Context, []T) ([]R, error)) *Group[T, R] {
	return &Group[T, R]{do: do, max: limit}
}

// Do adds item to the next batch and waits for its result. If ctx ends first,
// Do returns its cause, but the item stays in the batch: what it asks for may
// still happen.
func (g *Group[T, R]) Do(ctx context.Context, item T) (R, error) {
	done := make(chan result[R], 1)
	g.mu.Lock()
	g.queue = append(g.queue, waiting[T, R]{item, done})
	if !g.running {
		g.running = true
		// The batch outlives any one of its callers, so it runs under none
		// of their deadlines, only with the first one's values.
		go g.flush(context.WithoutCancel(ctx))
	}
	g.mu.Unlock()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var zero R
		return zero, context.Cause(ctx)
	}
}

// flush works until the queue is empty, then ends.
func (g *Group[T, R]) flush(ctx context.Context) {
	for {
		g.mu.Lock()
		n := min(len(g.queue), g.max)
		if n == 0 {
			g.running = false
			g.queue = nil
			g.mu.Unlock()
			return
		}
		batch := g.queue[:n:n]
		g.queue = g.queue[n:]
		g.mu.Unlock()

		items := make([]T, n)
		for i, w := range batch {
			items[i] = w.item
		}
		values, err := g.do(ctx, items)
		if err == nil && len(values) != n {
			err = fmt.Errorf("batch: %d results for %d items", len(values), n)
		}
		for i, w := range batch {
			r := result[R]{err: err}
			if err == nil {
				r.value = values[i]
			}
			w.done <- r
		}
	}
}
