package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel"
)

func (t *tool) statsCommand() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use:   "stats NAME",
		Short: "Count a function's attempts",
		Long: `Count a function's attempts.

Everything is counted, also what is no longer in the log or was never written to
it. Times are counted in whole hours.`,
		Example: "  runnel stats price-order --since 24h",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			path := c.functionPath(args[0]) + "/stats"
			if since != "" {
				path += "?" + url.Values{"since": {since}}.Encode()
			}
			var answer json.RawMessage
			if err := c.manage(cmd.Context(), http.MethodGet, path, nil, nil, &answer); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(answer)
			}
			var s runnel.Stats
			if err := json.Unmarshal(answer, &s); err != nil {
				return err
			}
			rows := [][]string{{"attempts", strconv.FormatInt(s.Attempts, 10)}}
			for _, status := range []runnel.Status{runnel.StatusSuccess, runnel.StatusError, runnel.StatusTimeout, runnel.StatusOutOfMemory,
				runnel.StatusLost, runnel.StatusCancelled, runnel.StatusSkipped} {
				rows = append(rows, []string{string(status), strconv.FormatInt(s.ByStatus[status], 10)})
			}
			rows = append(rows, []string{"error rate", fmt.Sprintf("%.2f %%", 100*s.ErrorRate)})
			for _, d := range []struct {
				name string
				ms   float64
			}{{"mean", s.Duration.Mean}, {"p50", s.Duration.P50}, {"p95", s.Duration.P95}, {"p99", s.Duration.P99}} {
				rows = append(rows, []string{d.name, fmt.Sprintf("%.3g ms", d.ms)})
			}
			last := "never"
			if s.LastAt != nil {
				last = s.LastAt.Format("2006-01-02 15:04:05Z07:00")
			}
			return t.writeTable([]string{"FIGURE", "VALUE"}, append(rows, []string{"last run", last}))
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "only what ended since then: a time, or how long ago, such as 24h")
	return cmd
}
