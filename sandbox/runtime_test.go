package sandbox

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnelhq/runnel"
)

func TestRunReportsWhatHappened(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	out, err := run(t, r, hello())
	if err != nil || string(out.Output) != `{"hello":"world"}` {
		t.Fatalf("got %s, %v", out.Output, err)
	}
	if out.MemoryPeak != pageSize || out.Fuel < 100 || out.Fuel > 1000 || out.Duration <= 0 || out.Logs != nil {
		t.Errorf("outcome is %+v", out)
	}
}

func TestCallDefaults(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	call := callOf(grow())
	call.Memory, call.Timeout = 0, 0
	out, err := r.Run(context.Background(), call)
	wantCode(t, err, runnel.CodeOutOfMemory)
	if out.MemoryPeak != runnel.DefaultMemory {
		t.Errorf("peak is %d", out.MemoryPeak)
	}
}

func TestCloseWaitsForRunningCalls(t *testing.T) {
	t.Parallel()
	r, err := New(context.Background(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	call, entered := signalling(sleeper(100 * time.Millisecond))
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := r.Run(context.Background(), call); err != nil {
			t.Errorf("the running call: %v", err)
		}
	})
	<-entered
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
	group.Wait()
	_, err = run(t, r, hello())
	wantCode(t, err, runnel.CodeUnavailable)
	if !errors.Is(err, ErrClosed) {
		t.Errorf("error %v is not ErrClosed", err)
	}
	if err := r.Close(context.Background()); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestCloseStopsCallsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	for name, wasm := range map[string][]byte{"spinning": spin(), "sleeping": sleeper(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := New(context.Background(), Config{})
			if err != nil {
				t.Fatal(err)
			}
			call, entered := signalling(wasm)
			call.Timeout = time.Hour
			var group sync.WaitGroup
			group.Go(func() {
				_, err := r.Run(context.Background(), call)
				if runnel.CodeOf(err) != runnel.CodeCancelled || !errors.Is(err, ErrClosed) {
					t.Errorf("the running call: %v", err)
				}
			})
			<-entered
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			if err := r.Close(ctx); err != nil {
				t.Error(err)
			}
			group.Wait()
			if n := r.Mapped(); n != 0 {
				t.Errorf("%d bytes are still mapped", n)
			}
		})
	}
}

func TestCloseDoesNotWaitForACompilation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(context.Background(), Config{})
		if err != nil {
			t.Fatal(err)
		}
		compile := r.modules.compile
		r.modules.compile = func(ctx context.Context, wasm []byte, free func()) (*module, error) {
			time.Sleep(time.Hour)
			return compile(ctx, wasm, free)
		}
		go func() {
			_, err := run(t, r, hello())
			if runnel.CodeOf(err) != runnel.CodeCancelled || !errors.Is(err, ErrClosed) {
				t.Errorf("the waiting call: %v", err)
			}
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second+closeGrace {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		if err := r.Close(context.Background()); err != nil || time.Since(began) != time.Hour {
			t.Errorf("in the end: %v after %v", err, time.Since(began))
		}
	})
}

// signalling is a call whose channel is closed when the runtime has accepted it.
func signalling(wasm []byte) (Call, <-chan struct{}) {
	call, entered := callOf(wasm), make(chan struct{})
	load := call.Load
	call.Load = func(ctx context.Context) ([]byte, error) {
		close(entered)
		return load(ctx)
	}
	return call, entered
}
