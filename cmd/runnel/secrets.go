package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel"
)

func (t *tool) secretsCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "secrets",
		Short: "Set, list and remove a function's secrets",
		Long: `Set, list and remove a function's secrets.

A secret is an environment variable that is encrypted in the database and never
shown again: not here, not in logs and not in results that are kept. The server
needs RUNNEL_SECRET_KEYS; "runnel dev" makes a key of its own.`,
	}, t.secretsSet(), t.secretsList(), t.secretsUnset(), t.secretsRotate())
}

func (t *tool) secretsSet() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "set NAME KEY[=VALUE]",
		Short: "Set a secret, read from standard input",
		Long: `Set a secret, read from standard input or a file.

A line break at its end is left out. A value on the command line (--data, or
KEY=VALUE) can be read by others on this machine and stays in the shell's
history.`,
		Example: "  runnel secrets set price-order API_KEY < key.txt\n  runnel secrets set price-order API_KEY --data @key.txt",
		Args:    exactly("NAME", "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			key, value, given := strings.Cut(args[1], "=")
			switch {
			case given && cmd.Flags().Changed("data"):
				return usagef("the value of %s is given twice: write KEY=VALUE, or KEY with --data", key)
			case !given:
				if value, err = t.readSecret(data); err != nil {
					return err
				}
			}
			var got struct{ Warnings []string }
			var raw json.RawMessage
			if err := c.manageJSON(cmd.Context(), http.MethodPut, c.secretPath(args[0], key), map[string]string{"value": value}, &raw); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(raw)
			}
			if err := json.Unmarshal(raw, &got); err != nil {
				return err
			}
			for _, w := range got.Warnings {
				fmt.Fprintf(t.err, "warning: %s\n", printable(w))
			}
			_, err = fmt.Fprintf(t.out, "%s is set for %s; invocations that start from now on have it\n", key, args[0])
			return err
		},
	}
	cmd.Flags().StringVarP(&data, "data", "d", "-", "value: the text itself, @FILE, or - for standard input")
	return cmd
}

// readSecret reads a value and takes the line break that editors and echo put at
// its end.
func (t *tool) readSecret(data string) (string, error) {
	if data == "-" {
		b, err := io.ReadAll(io.LimitReader(t.in, runnel.MaxEnvironment+1))
		if err != nil {
			return "", err
		}
		return trimLine(string(b)), nil
	}
	b, err := t.readData(data)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(data, "@") {
		return trimLine(string(b)), nil
	}
	return string(b), nil
}

func trimLine(s string) string { return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r") }

func (t *tool) secretsList() *cobra.Command {
	return &cobra.Command{
		Use:   "list NAME",
		Short: "List the keys of a function's secrets",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			var got struct {
				Secrets []struct {
					Key       string `json:"key"`
					CreatedAt string `json:"created_at"`
					UpdatedAt string `json:"updated_at"`
				} `json:"secrets"`
			}
			if err := c.manage(cmd.Context(), http.MethodGet, c.functionPath(args[0])+"/secrets", nil, nil, &got); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(got.Secrets)
			}
			rows := make([][]string, len(got.Secrets))
			for i, s := range got.Secrets {
				rows[i] = []string{s.Key, s.CreatedAt, s.UpdatedAt}
			}
			return t.writeTable([]string{"KEY", "CREATED", "UPDATED"}, rows)
		},
	}
}

func (t *tool) secretsUnset() *cobra.Command {
	return &cobra.Command{
		Use:   "unset NAME KEY",
		Short: "Remove a secret",
		Args:  exactly("NAME", "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			if err := c.manage(cmd.Context(), http.MethodDelete, c.secretPath(args[0], args[1]), nil, nil, nil); err != nil {
				return err
			}
			return t.removed(args[1], "is removed from "+args[0])
		},
	}
}

func (t *tool) secretsRotate() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Encrypt everything with the first of RUNNEL_SECRET_KEYS",
		Long: `Encrypt all secrets and environments with the first of RUNNEL_SECRET_KEYS, also
what was stored in the clear when there was no key.

To change the key: put the new one before the old in RUNNEL_SECRET_KEYS of all
processes and restart them, run this, then take the old one out. Where processes
restart one by one, put the new one behind the old first, and then in front. It
can be run again at any time, and by several at once.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			var got struct {
				Rotated    int      `json:"rotated"`
				Total      int      `json:"total"`
				Unreadable []string `json:"unreadable"`
			}
			if err := c.manage(cmd.Context(), http.MethodPost, "/admin/v1/secrets/rotate", nil, nil, &got); err != nil {
				return err
			}
			if t.json {
				err = t.writeJSON(got)
			} else {
				_, err = fmt.Fprintln(t.out, strconv.Itoa(got.Rotated)+" of "+strconv.Itoa(got.Total)+" secrets and environment values were encrypted anew; the others were up to date or could not be read")
			}
			if err == nil && len(got.Unreadable) > 0 {
				return fmt.Errorf("no key of the server reads %s: keep the old key in RUNNEL_SECRET_KEYS, or set (deploy) them again", strings.Join(got.Unreadable, ", "))
			}
			return err
		},
	}
}

func (c *client) secretPath(function, key string) string {
	return c.functionPath(function) + "/secrets/" + url.PathEscape(key)
}
