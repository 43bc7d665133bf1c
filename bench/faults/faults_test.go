package main

import (
	"context"
	"regexp"
	"sync"
	"testing"
	"time"
)

// The most telling rows, small and side by side; make faults runs all of them in
// full.
func TestFUNC_E1_NothingIsLostWhateverBreaks(t *testing.T) {
	short := regexp.MustCompile(`killed between the function's end|SIGSTOP|immediate|cut in the middle`)
	p := &programs{dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	// All at once, whatever -parallel says: they mostly wait for leases to end.
	var all sync.WaitGroup
	for _, r := range rows() {
		if !short.MatchString(r.name) {
			continue
		}
		r.set = rigged // one build for all
		all.Go(func() {
			begun := time.Now()
			o := r.run(ctx, p, brief)
			t.Log(o.text(time.Since(begun)))
			if !o.ok() {
				t.Errorf("%s: lost / duplicated / unaccounted = %s %s", r.name, o.Audit.verdict(), o.Failed)
			}
		})
	}
	all.Wait()
}
