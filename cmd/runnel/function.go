package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel"
)

func (t *tool) versionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "versions NAME",
		Short: "List a function's versions, newest first",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			versions, err := c.versions(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(versions)
			}
			rows := make([][]string, len(versions))
			for i, v := range versions {
				current := ""
				if v.Current {
					current = "current"
				}
				rows[i] = []string{strconv.Itoa(v.Version), v.Kind, size(v.Size), v.WasmHash[:min(12, len(v.WasmHash))], v.CreatedAt.UTC().Format(time.RFC3339), current}
			}
			return t.writeTable([]string{"VERSION", "KIND", "SIZE", "SHA256", "DEPLOYED", ""}, rows)
		},
	}
}

func (c *client) versions(ctx context.Context, name string) ([]runnel.Version, error) {
	var got struct{ Versions []runnel.Version } // newest first
	err := c.manage(ctx, http.MethodGet, c.functionPath(name)+"/versions", nil, nil, &got)
	return got.Versions, err
}

func (t *tool) rollbackCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rollback NAME [VERSION]",
		Short: "Make an earlier version of a function the current one",
		Long: `Make an earlier version of a function the current one.

Without VERSION it is the one before the current. Invocations that wait run the
version that is current when they start.`,
		Example: "  runnel rollback price-order\n  runnel rollback price-order 3",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usagef("NAME is missing")
			case len(args) > 2:
				return tooMany(args[2])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var version int
			if len(args) == 2 {
				n, err := strconv.Atoi(args[1])
				if err != nil || n < 1 {
					return usagef("%q is not a version: use a number such as 3", args[1])
				}
				version = n
			}
			c, err := newClient()
			if err != nil {
				return err
			}
			if version == 0 {
				if version, err = t.versionBefore(cmd, c, args[0]); err != nil {
					return err
				}
			}
			var raw json.RawMessage
			if err := c.manageJSON(cmd.Context(), http.MethodPost, c.functionPath(args[0])+"/rollback", map[string]int{"version": version}, &raw); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(raw)
			}
			_, err = fmt.Fprintf(t.out, "%s is at version %d; invocations that start from now on run it\n", args[0], version)
			return err
		},
	}
}

// versionBefore is the newest version below the current one.
func (t *tool) versionBefore(cmd *cobra.Command, c *client, name string) (int, error) {
	versions, err := c.versions(cmd.Context(), name)
	if err != nil {
		return 0, err
	}
	current := 0
	for _, v := range versions {
		switch {
		case v.Current:
			current = v.Version
		case current > 0:
			return v.Version, nil
		}
	}
	if current == 0 {
		if _, err := c.get(cmd.Context(), name); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("function %s does not exist: \"runnel list\" shows what there is", name)
	}
	return 0, fmt.Errorf("%s has no version before %d: deploy one", name, current)
}

func (t *tool) deleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a function with its versions, triggers and secrets",
		Long: `Delete a function with its versions, triggers, schedules and secrets.

Its log stays. Invocations that wait are logged as skipped. It cannot be undone,
so say --yes.`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usagef("this cannot be undone: add --yes to delete %s", args[0])
			}
			c, err := newClient()
			if err != nil {
				return err
			}
			if err := c.manage(cmd.Context(), http.MethodDelete, c.functionPath(args[0]), nil, nil, nil); err != nil {
				return err
			}
			return t.removed(args[0], "is deleted; its log stays")
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do it")
	return cmd
}
