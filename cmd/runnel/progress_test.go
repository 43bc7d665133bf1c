package main

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressIsForTerminals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		terminal, json bool
		takes          time.Duration
		want           string
	}{
		"long":      {true, false, 2500 * time.Millisecond, "\r\x1b[Kdeploying \\u001bf (1s)\r\x1b[Kdeploying \\u001bf (2s)\r\x1b[K"},
		"short":     {true, false, 900 * time.Millisecond, ""},
		"in a pipe": {false, false, time.Minute, ""},
		"as JSON":   {true, true, time.Minute, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			tl := &tool{streams: streams{err: &out}, terminal: c.terminal, json: c.json}
			done := tl.progress("deploying \x1bf")
			time.Sleep(c.takes)
			done()
			done()
			if out.String() != c.want {
				t.Errorf("%s: %q, want %q", name, out.String(), c.want)
			}
		})
	}
	if isTerminal(&strings.Builder{}) {
		t.Error("a buffer is no terminal")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if isTerminal(w) {
		t.Error("a pipe is no terminal")
	}
}
