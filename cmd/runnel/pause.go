package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

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
			if err := c.manageJSON(cmd.Context(), http.MethodPatch, c.functionPath(args[0]), map[string]bool{"paused": paused}, &answer); err != nil {
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
