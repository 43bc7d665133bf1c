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
		Long: `Show a function's invocations and what they logged, oldest first. With --json
each is one line.`,
		Args: exactly("NAME"),
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
			var f *follower
			if follow {
				// What is there already is not news, except for the page
				// below, which comes after: nothing can fall in between.
				f = &follower{client: c, name: args[0], status: status, seen: make(map[attempt]time.Time)}
				if _, err := f.news(cmd.Context()); err != nil {
					return err
				}
			}
			page, err := c.invocations(cmd.Context(), args[0], q)
			if err != nil {
				return err
			}
			if err := t.writeInvocations(page.Invocations); err != nil || !follow {
				return err
			}
			for _, inv := range page.Invocations {
				f.seen[attempt{inv.ID, inv.Attempt}] = inv.CreatedAt
			}
			tick := time.NewTicker(followInterval)
			defer tick.Stop()
			for {
				select {
				case <-cmd.Context().Done():
					return nil
				case <-tick.C:
				}
				news, err := f.news(cmd.Context())
				if cmd.Context().Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				if err := t.writeInvocations(news); err != nil {
					return err
				}
			}
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

// attempt is the key of a log row.
type attempt struct {
	id string
	n  int
}

// follower finds the attempts that have ended since it last looked.
type follower struct {
	client       *client
	name, status string
	seen         map[attempt]time.Time // when each was made
}

// news returns the log rows of the last minutes that are new, newest first.
func (f *follower) news(ctx context.Context) ([]runnel.Invocation, error) {
	since := time.Now().Add(-followWindow)
	q := url.Values{"limit": {"500"}, "since": {since.UTC().Format(time.RFC3339)}}
	if f.status != "" {
		q.Set("status", f.status)
	}
	var fresh []runnel.Invocation
	for range followPages {
		page, err := f.client.invocations(ctx, f.name, q)
		if err != nil {
			return nil, err
		}
		for _, inv := range page.Invocations {
			k := attempt{inv.ID, inv.Attempt}
			if _, ok := f.seen[k]; !ok {
				f.seen[k] = inv.CreatedAt
				fresh = append(fresh, inv)
			}
		}
		if page.NextCursor == "" {
			break
		}
		q.Set("cursor", page.NextCursor)
	}
	for k, created := range f.seen {
		if created.Before(since.Add(-time.Minute)) { // since was rounded
			delete(f.seen, k)
		}
	}
	return fresh, nil
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
