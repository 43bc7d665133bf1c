package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func invocationPath(id string) string { return "/admin/v1/invocations/" + url.PathEscape(id) }

func (t *tool) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel INVOCATION",
		Short: "Cancel an invocation that waits or runs",
		Long: `Cancel an invocation that waits or runs.

What it has committed stays committed. One that has ended is an error.`,
		Args: exactly("INVOCATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			var got struct {
				ID     string `json:"invocation_id"`
				Status string `json:"status"`
			}
			if err := c.manage(cmd.Context(), http.MethodPost, invocationPath(args[0])+"/cancel", nil, nil, &got); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(got)
			}
			text := "was cancelled and will not run"
			if got.Status == "stopping" {
				text = "is being stopped by its worker"
			}
			_, err = fmt.Fprintf(t.out, "%s %s\n", got.ID, text)
			return err
		},
	}
}

func (t *tool) replayCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "replay INVOCATION",
		Short: "Run an invocation's event again, as a new invocation",
		Long: `Run an invocation's event again, as a new invocation.

It has the same event, role, user and claims, runs the function's current
version, and names the old one in its log row and its event. What the old one
committed is not undone.`,
		Args: exactly("INVOCATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			var got struct {
				ID       string `json:"invocation_id"`
				ReplayOf string `json:"replay_of"`
			}
			if err := c.manage(cmd.Context(), http.MethodPost, invocationPath(args[0])+"/replay", nil, nil, &got); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(got)
			}
			_, err = fmt.Fprintf(t.out, "%s runs again as %s\n", got.ReplayOf, got.ID)
			return err
		},
	}
}
