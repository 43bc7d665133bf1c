package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel"
)

const (
	followInterval = time.Second
	// followWindow is how far back runnel logs -f looks for attempts that end
	// late: rows are sorted by when the invocation was made.
	followWindow = 15 * time.Minute
	followPages  = 10
)

func (t *tool) logsCommand() *cobra.Command {
	var (
		follow        bool
		status, since string
		limit         int
	)
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Show a function's invocations and what they logged, oldest first",
		Long:  "Show a function's invocations and what they logged, oldest first. With --json each is one line.",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			if status != "" {
				q.Set("status", status)
			}
			if since != "" {
				q.Set("since", since)
			}
			page, err := c.invocations(cmd.Context(), args[0], q)
			if err != nil {
				return err
			}
			if err := t.writeInvocations(page.Invocations); err != nil {
				return err
			}
			if !follow {
				return nil
			}
			return t.follow(cmd.Context(), c, args[0], status, page.Invocations)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	flags.StringVar(&status, "status", "", "only this status: success, error, timeout, out_of_memory, cancelled, lost, skipped")
	flags.StringVar(&since, "since", "", "only newer: 15m, or 2026-01-31T12:00:00Z")
	flags.IntVar(&limit, "limit", 20, "how many at most, 1 to 500")
	return cmd
}

type invocationPage struct {
	Invocations []runnel.Invocation
	NextCursor  string `json:"next_cursor"`
}

func (c *client) invocations(ctx context.Context, name string, q url.Values) (invocationPage, error) {
	var page invocationPage
	err := c.manage(ctx, http.MethodGet, c.functionPath(name)+"/invocations?"+q.Encode(), nil, nil, &page)
	return page, err
}

// follow shows every attempt once, as it ends.
func (t *tool) follow(ctx context.Context, c *client, name, status string, known []runnel.Invocation) error {
	type key struct {
		id      string
		attempt int
	}
	shown := make(map[key]time.Time)
	start := time.Now().Add(-followWindow)
	for _, inv := range known {
		shown[key{inv.ID, inv.Attempt}] = inv.CreatedAt
	}
	first := true
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for {
		since := time.Now().Add(-followWindow)
		if since.Before(start) {
			since = start
		}
		q := url.Values{"limit": {"500"}, "since": {since.UTC().Format(time.RFC3339)}}
		if status != "" {
			q.Set("status", status)
		}
		var fresh []runnel.Invocation
		for range followPages {
			page, err := c.invocations(ctx, name, q)
			if err != nil {
				return err
			}
			for _, inv := range page.Invocations {
				k := key{inv.ID, inv.Attempt}
				if _, ok := shown[k]; !ok {
					shown[k] = inv.CreatedAt
					fresh = append(fresh, inv)
				}
			}
			if page.NextCursor == "" {
				break
			}
			q.Set("cursor", page.NextCursor)
		}
		// What was there before the first page was asked for is not news.
		if !first {
			if err := t.writeInvocations(fresh); err != nil {
				return err
			}
		}
		first = false
		for k, created := range shown {
			if created.Before(since.Add(-followWindow)) {
				delete(shown, k)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// writeInvocations writes a page, which comes newest first, oldest first.
func (t *tool) writeInvocations(page []runnel.Invocation) error {
	for _, inv := range slices.Backward(page) {
		if t.json {
			if err := t.writeLine(inv); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprint(t.out, invocationText(inv)); err != nil {
			return err
		}
	}
	return nil
}

func invocationText(inv runnel.Invocation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-13s  %9.2f ms  %-8s  v%d  %s", inv.FinishedAt.Local().Format(time.DateTime), inv.Status, inv.DurationMS, inv.Trigger, inv.Version, inv.ID)
	if inv.Attempt > 1 {
		fmt.Fprintf(&b, "  attempt %d", inv.Attempt)
	}
	b.WriteByte('\n')
	if inv.ErrorCode != "" {
		fmt.Fprintf(&b, "    %s: %s\n", inv.ErrorCode, indent(inv.ErrorMessage))
	}
	for _, line := range inv.Logs {
		fmt.Fprintf(&b, "    %-5s %s\n", line.Level, indent(line.Message))
	}
	if len(inv.Result) > 0 && string(inv.Result) != "null" && json.Valid(inv.Result) {
		fmt.Fprintf(&b, "    = %.500s\n", indent(string(inv.Result)))
	}
	return b.String()
}

func indent(s string) string {
	return strings.ReplaceAll(printable(strings.TrimRight(s, "\n")), "\n", "\n          ")
}
