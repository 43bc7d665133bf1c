package main

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"
)

func (t *tool) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the functions",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			var got struct{ Functions []json.RawMessage }
			if err := c.manage(cmd.Context(), http.MethodGet, "/admin/v1/functions", nil, nil, &got); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(got.Functions)
			}
			rows := make([][]string, len(got.Functions))
			for i, raw := range got.Functions {
				var fn function
				if err := json.Unmarshal(raw, &fn); err != nil {
					return err
				}
				calls := "with a token"
				if !fn.VerifyJWT {
					calls = "by anyone"
				}
				if !fn.Enabled {
					calls = "disabled"
				}
				rows[i] = []string{fn.Name, strconv.Itoa(fn.Version), fn.WasmHash[:min(12, len(fn.WasmHash))], calls, fn.UpdatedAt}
			}
			return t.writeTable([]string{"NAME", "VERSION", "SHA256", "CALLED", "UPDATED"}, rows)
		},
	}
}
