package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// trigger is what of a database trigger the command line shows.
type trigger struct {
	ID          string   `json:"id"`
	Function    string   `json:"function"`
	Schema      string   `json:"schema"`
	Table       string   `json:"table"`
	Operations  []string `json:"operations"`
	Granularity string   `json:"granularity"`
	Level       string   `json:"level"`
	Condition   *string  `json:"condition"`
	Enabled     bool     `json:"enabled"`
}

func (t *tool) triggerCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "trigger",
		Short: "Run functions when rows change",
	}, t.triggerList(), t.triggerAdd(), t.triggerRemove())
}

func (t *tool) triggerList() *cobra.Command {
	return &cobra.Command{
		Use:   "list [FUNCTION]",
		Short: "List the database triggers, of one function or all",
		Args:  atMost("FUNCTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			path := "/admin/v1/triggers"
			if len(args) > 0 {
				path = c.functionPath(args[0]) + "/triggers"
			}
			var got struct{ Triggers []json.RawMessage }
			if err := c.manage(cmd.Context(), http.MethodGet, path, nil, nil, &got); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(got.Triggers)
			}
			rows := make([][]string, len(got.Triggers))
			for i, raw := range got.Triggers {
				var d trigger
				if err := json.Unmarshal(raw, &d); err != nil {
					return err
				}
				condition := ""
				if d.Condition != nil {
					condition = *d.Condition
				}
				if !d.Enabled {
					condition = strings.TrimSpace("disabled " + condition)
				}
				rows[i] = []string{d.Function, d.Schema + "." + d.Table, strings.Join(d.Operations, ","), d.Level, condition}
			}
			return t.writeTable([]string{"FUNCTION", "TABLE", "OPERATIONS", "LEVEL", "CONDITION"}, rows)
		},
	}
}

func (t *tool) triggerAdd() *cobra.Command {
	var operations []string
	var schema, granularity, condition string
	cmd := &cobra.Command{
		Use:   "add FUNCTION TABLE",
		Short: "Run a function after rows of a table have changed",
		Long: `Run a function after rows of a table have changed.

TABLE is written as in SQL, such as orders or app."Orders"; with --schema it is
the bare name. A second trigger of the same function and table replaces the
first.`,
		Example: `  runnel trigger add on-order orders --operations INSERT,UPDATE
  runnel trigger add on-paid orders --operations UPDATE --condition "NEW.paid AND NOT OLD.paid"`,
		Args: exactly("FUNCTION", "TABLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			wanted := map[string]any{"table": args[1], "schema": schema, "granularity": granularity, "condition": condition}
			if len(operations) > 0 {
				wanted["operations"] = operations
			}
			var raw json.RawMessage
			if err := c.manageJSON(cmd.Context(), http.MethodPost, c.functionPath(args[0])+"/triggers", wanted, &raw); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(raw)
			}
			var d trigger
			if err := json.Unmarshal(raw, &d); err != nil {
				return err
			}
			_, err = fmt.Fprintf(t.out, "%s runs after %s on %s.%s\n", d.Function, strings.Join(d.Operations, ", "), printable(d.Schema), printable(d.Table))
			return err
		},
	}
	cmd.Flags().StringSliceVar(&operations, "operations", nil, "INSERT, UPDATE, DELETE and TRUNCATE, with commas between (default the first three)")
	cmd.Flags().StringVar(&schema, "schema", "", "the table's schema, when TABLE is its bare name")
	cmd.Flags().StringVar(&granularity, "granularity", "auto", "auto and row make one invocation for each row, statement one for up to 100")
	cmd.Flags().StringVar(&condition, "condition", "", "an SQL expression over OLD and NEW, for each row")
	return cmd
}

func (t *tool) triggerRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "remove FUNCTION TABLE",
		Short: "Remove a database trigger",
		Args:  exactly("FUNCTION", "TABLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			var got struct{ Triggers []trigger }
			if err := c.manage(cmd.Context(), http.MethodGet, c.functionPath(args[0])+"/triggers", nil, nil, &got); err != nil {
				return err
			}
			var found []trigger
			for _, d := range got.Triggers {
				if args[1] == d.ID || args[1] == d.Table || args[1] == d.Schema+"."+d.Table {
					found = append(found, d)
				}
			}
			switch len(found) {
			case 0:
				return fmt.Errorf("NotFound: function %s has no trigger on %q: see runnel trigger list", args[0], args[1])
			case 1:
				if err := c.manage(cmd.Context(), http.MethodDelete, c.functionPath(args[0])+"/triggers/"+url.PathEscape(found[0].ID), nil, nil, nil); err != nil {
					return err
				}
				return t.removed(args[1], "no longer triggers "+args[0])
			}
			return usagef("%q is the name of %d tables: write its schema in front", args[1], len(found))
		},
	}
}
