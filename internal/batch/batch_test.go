package batch_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/runnelhq/runnel/internal/batch"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGroupJoinsWhatArrivesDuringACall(t *testing.T) {
	var sizes []int // written only by the group's one flush loop
	entered, release := make(chan struct{}), make(chan struct{})
	g := batch.New(100, func(_ context.Context, items []int) ([]int, error) {
		if len(sizes) == 0 {
			close(entered)
			<-release
		}
		sizes = append(sizes, len(items))
		out := make([]int, len(items))
		for i, v := range items {
			out[i] = v * 2
		}
		return out, nil
	})

	var wg sync.WaitGroup
	ask := func(v int) {
		defer wg.Done()
		got, err := g.Do(context.Background(), v)
		if err != nil || got != 2*v {
			t.Errorf("Do(%d) = %d, %v", v, got, err)
		}
	}
	wg.Add(1)
	go ask(1)
	<-entered
	const late = 150
	wg.Add(late)
	for i := range late {
		go ask(i)
	}
	for g.Waiting() < late { // the calls are queued, none can have been taken
		select {
		case <-t.Context().Done():
			t.Fatal("the calls never queued")
		default:
		}
	}
	close(release)
	wg.Wait()
	if len(sizes) != 3 || sizes[0] != 1 || sizes[1] != 100 || sizes[2] != 50 {
		t.Errorf("batch sizes = %v, want [1 100 50]", sizes)
	}
}

func TestGroupErrorReachesEveryCaller(t *testing.T) {
	boom := errors.New("boom")
	g := batch.New(10, func(context.Context, []int) ([]int, error) { return nil, boom })
	for range 3 {
		if _, err := g.Do(context.Background(), 1); !errors.Is(err, boom) {
			t.Errorf("err = %v", err)
		}
	}
}

func TestGroupCallerLeavesItemStays(t *testing.T) {
	release, seen := make(chan struct{}), make(chan []string, 4)
	g := batch.New(10, func(_ context.Context, items []string) ([]string, error) {
		<-release
		seen <- items
		return items, nil
	})
	ctx, cancel := context.WithCancelCause(context.Background())
	gone := errors.New("caller hung up")
	cancel(gone)
	if _, err := g.Do(ctx, "a"); !errors.Is(err, gone) {
		t.Errorf("err = %v, want the cause", err)
	}
	close(release)
	if got := <-seen; len(got) != 1 || got[0] != "a" {
		t.Errorf("batch = %v, want the item of the caller that left", got)
	}
}

func TestGroupWrongNumberOfResults(t *testing.T) {
	g := batch.New(10, func(context.Context, []int) ([]int, error) { return nil, nil })
	if _, err := g.Do(context.Background(), 1); err == nil {
		t.Error("a batch without results went unnoticed")
	}
}
