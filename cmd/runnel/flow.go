package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flowFlags are the flags of a deploy that say how attempts are let through.
type flowFlags struct {
	concurrency, perKey, priority int
	key, rate, logSuccess         string
	paused                        bool
}

func (f *flowFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.concurrency, "max-concurrency", 0, "attempts that may run at once on all workers, 0: any number")
	flags.StringVar(&f.key, "concurrency-key", "", "a field of the body, payload or row, such as tenant.id, whose values are limited one by one")
	flags.IntVar(&f.perKey, "max-concurrency-per-key", 0, "attempts that may run at once for each value of the key, 0: 1")
	flags.StringVar(&f.rate, "rate", "", "attempts that may start in a time, such as 10/s or 600/m")
	flags.IntVar(&f.priority, "priority", 0, "1 runs first, 4 last")
	flags.StringVar(&f.logSuccess, "log-success", "", "which successes leave a log row: all, failures (none), or a part such as 0.1")
	flags.BoolVar(&f.paused, "paused", false, "invocations wait until the function is resumed")
}

func (f *flowFlags) set(set func(flag, field string, value any)) {
	set("max-concurrency", "max_concurrency", f.concurrency)
	set("concurrency-key", "concurrency_key", f.key)
	set("max-concurrency-per-key", "max_concurrency_per_key", f.perKey)
	set("rate", "rate", f.rate)
	set("priority", "priority", f.priority)
	set("paused", "paused", f.paused)
	set("log-success", "log_success", f.logSuccess)
}

func (t *tool) pauseCommand() *cobra.Command {
	return t.pausing("pause", "Let a function's invocations wait", "%s is paused. Its invocations wait; HTTP callers that wait are answered with 429.\n", true)
}

func (t *tool) resumeCommand() *cobra.Command {
	return t.pausing("resume", "Let a paused function go on", "%s goes on.\n", false)
}

func (t *tool) pausing(verb, short, done string, paused bool) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			var answer json.RawMessage
			if err := c.manage(cmd.Context(), http.MethodPatch, c.functionPath(args[0]), strings.NewReader(fmt.Sprintf(`{"paused":%t}`, paused)), http.Header{"Content-Type": {"application/json"}}, &answer); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(answer)
			}
			fmt.Fprintf(t.out, done, args[0])
			return nil
		},
	}
}
