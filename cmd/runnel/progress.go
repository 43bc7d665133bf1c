package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// progressAfter is how long something may take before it is worth a line, and how
// often the line changes.
const progressAfter = time.Second

// isTerminal tells whether somebody watches what is written to w.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progress says on a terminal what takes long, on a line that is gone when it is done;
// in a pipe it says nothing. Call done before anything else is written, and once more
// as you like.
func (t *tool) progress(what string) (done func()) {
	if !t.terminal || t.json {
		return func() {}
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		began := time.Now()
		tick := time.NewTicker(progressAfter)
		defer tick.Stop()
		shown := false
		for {
			select {
			case now := <-tick.C:
				shown = true
				fmt.Fprintf(t.err, "\r\x1b[K%s (%s)", printable(what), now.Sub(began).Round(time.Second))
			case <-stop:
				if shown {
					fmt.Fprint(t.err, "\r\x1b[K")
				}
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
	})
}
