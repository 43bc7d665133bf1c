package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel"
)

func (t *tool) dlqCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "dlq",
		Short: "List, show, redrive and purge what failed for good",
		Long: `List, show, redrive and purge what failed for good.

A dead letter is an invocation whose attempts are used up, or that failed in a
way that does not heal. To redrive it is to run the same invocation again, with
as many attempts as a new one has. To purge it is to take it off the list; its
log stays.`,
	}, t.dlqList(), t.dlqShow(), t.dlqRedrive(), t.dlqPurge())
}

// letters is the filter of dead letters on a command line.
type letters struct{ function, code, trigger, since, before string }

func (l *letters) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&l.function, "function", "", "only this function's")
	flags.StringVar(&l.code, "code", "", "only those that failed with this code, such as Timeout")
	flags.StringVar(&l.since, "since", "", "only those that failed since: 15m, or 2026-01-31T12:00:00Z")
	flags.StringVar(&l.before, "before", "", "only those that failed before")
}

func (l *letters) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"function": l.function, "code": l.code, "trigger": l.trigger, "since": l.since, "before": l.before} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// letter is what of a dead letter the command line shows.
type letter struct {
	ID       string `json:"id"`
	Function string `json:"function_name"`
	Trigger  string `json:"trigger"`
	Code     string `json:"error_code"`
	Message  string `json:"error_message"`
	Attempts int    `json:"attempts"`
	FailedAt string `json:"failed_at"`
}

func (t *tool) dlqList() *cobra.Command {
	var l letters
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List dead letters, newest first",
		Example: "  runnel dlq list --function price-order --since 1h",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit is %d: use 1 or more", limit)
			}
			c, err := newClient()
			if err != nil {
				return err
			}
			all := []json.RawMessage{}
			q := l.query()
			for len(all) < limit {
				var page struct {
					Letters []json.RawMessage `json:"dead_letters"`
					Next    string            `json:"next_cursor"`
				}
				q.Set("limit", fmt.Sprint(min(limit-len(all), 500)))
				if err := c.manage(cmd.Context(), http.MethodGet, "/admin/v1/dead-letters?"+q.Encode(), nil, nil, &page); err != nil {
					return err
				}
				all = append(all, page.Letters...)
				if page.Next == "" {
					break
				}
				q.Set("cursor", page.Next)
			}
			if t.json {
				return t.writeJSON(all)
			}
			rows := make([][]string, len(all))
			for i, raw := range all {
				var d letter
				if err := json.Unmarshal(raw, &d); err != nil {
					return err
				}
				rows[i] = []string{d.ID, d.Function, d.Trigger, fmt.Sprint(d.Attempts), d.FailedAt, fmt.Sprintf("%s: %.100s", d.Code, d.Message)}
			}
			return t.writeTable([]string{"INVOCATION", "FUNCTION", "TRIGGER", "ATTEMPTS", "FAILED", "ERROR"}, rows)
		},
	}
	l.flags(cmd)
	cmd.Flags().StringVar(&l.trigger, "trigger", "", "only this trigger's: http, sql, database, schedule")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most")
	return cmd
}

func (t *tool) dlqShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show INVOCATION",
		Short: "Show a dead letter and the log of its attempts",
		Args:  exactly("INVOCATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			var raw json.RawMessage
			if err := c.manage(cmd.Context(), http.MethodGet, letterPath(args[0]), nil, nil, &raw); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(raw)
			}
			var d struct {
				letter
				Log []runnel.Invocation `json:"log"`
			}
			if err := json.Unmarshal(raw, &d); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(t.out, "%s  %s  %s  failed %s after %d attempts\n", d.ID, d.Function, d.Trigger, d.FailedAt, d.Attempts); err != nil {
				return err
			}
			for _, attempt := range d.Log {
				if _, err := fmt.Fprint(t.out, invocationText(attempt)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func letterPath(id string) string { return "/admin/v1/dead-letters/" + url.PathEscape(id) }

func (t *tool) dlqRedrive() *cobra.Command {
	var l letters
	var all bool
	var limit int
	cmd := &cobra.Command{
		Use:   "redrive [INVOCATION]",
		Short: "Run dead letters again: one, those of a filter, or --all",
		Example: `  runnel dlq redrive 0190c5a0-1f2e-7a3b-8c4d-5e6f7a8b9c0d
  runnel dlq redrive --function price-order --code Timeout --since 1h`,
		Args: atMost("INVOCATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := l.target(args, all, "/redrive", url.Values{"limit": {fmt.Sprint(limit)}})
			if err != nil {
				return err
			}
			c, err := newClient()
			if err != nil {
				return err
			}
			var got struct {
				Redriven []string `json:"redriven"`
			}
			if err := c.manage(cmd.Context(), http.MethodPost, target, nil, nil, &got); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(got)
			}
			if _, err := fmt.Fprintf(t.out, "%d run again\n", len(got.Redriven)); err != nil || len(got.Redriven) < limit {
				return err
			}
			fmt.Fprintln(t.err, "there may be more: repeat the command")
			return nil
		},
	}
	l.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters")
	cmd.Flags().IntVar(&limit, "limit", 1000, "how many at most, oldest first, up to 10000")
	return cmd
}

func (t *tool) dlqPurge() *cobra.Command {
	var l letters
	var all bool
	cmd := &cobra.Command{
		Use:   "purge [INVOCATION]",
		Short: "Take dead letters off the list: one, those of a filter, or --all",
		Args:  atMost("INVOCATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := l.target(args, all, "", nil)
			if err != nil {
				return err
			}
			c, err := newClient()
			if err != nil {
				return err
			}
			got := struct {
				Purged int64 `json:"purged"`
			}{1}
			out := any(&got)
			if len(args) == 1 {
				out = nil // no content
			}
			if err := c.manage(cmd.Context(), http.MethodDelete, target, nil, nil, out); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(got)
			}
			_, err = fmt.Fprintf(t.out, "%d purged; their log stays\n", got.Purged)
			return err
		},
	}
	l.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters")
	return cmd
}

// target is what to ask for one dead letter, or for those of the filter, which more
// belongs to.
func (l *letters) target(args []string, all bool, action string, more url.Values) (string, error) {
	q := l.query()
	switch {
	case len(args) == 1 && (len(q) > 0 || all):
		return "", usagef("an invocation goes with no filter and without --all: leave one of them out")
	case len(args) == 1:
		return letterPath(args[0]) + action, nil
	case len(q) > 0 && all:
		return "", usagef("--all goes with no filter: leave one of them out")
	case len(q) == 0 && !all:
		return "", usagef("say which: an INVOCATION, --function, --code, --since, --before, or --all")
	case all:
		q.Set("all", "true")
	}
	for name, values := range more {
		q[name] = values
	}
	return "/admin/v1/dead-letters" + action + "?" + q.Encode(), nil
}
