// Command api is the web process: it answers HTTP on PORT. Package settings
// lists what it reads from its environment.
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
	l, err := process.Listen(ctx, "PORT", s.Port)
	if err != nil {
		return err
	}
	p := process.New(s, s.Logger())
	if err := p.CompileInChildren(); err != nil {
		return err
	}
	return process.Run(ctx, p.Metrics, func(ctx context.Context) error { return p.Web(ctx, l) })
}
