// Command worker is the worker process: it runs functions, as many at a time as
// RUNNEL_WORKERS says. Package settings lists what it reads from its environment.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/runnelhq/runnel/internal/process"
	"github.com/runnelhq/runnel/internal/settings"
	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sandbox/js"
)

func main() {
	if compile.IsChild() {
		os.Exit(compile.Child())
	}
	if js.IsChild() {
		os.Exit(js.Child())
	}
	if err := run(process.Signals()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s, err := settings.Load(os.Environ(), settings.DatabaseURL)
	if err != nil {
		return err
	}
	p := process.New(s, s.Logger())
	if err := p.CompileInChildren(); err != nil {
		return err
	}
	return process.Run(ctx, p.Metrics, p.Work)
}
