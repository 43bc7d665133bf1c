package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completeLimit is how long the shell waits for the server when Tab is pressed.
const completeLimit = 2 * time.Second

// flagValues are what completion offers for flags with few values, by command.
var flagValues = map[string]map[string][]string{
	"runnel dlq list":     {"trigger": {"http", "sql", "database", "schedule"}},
	"runnel invoke":       {"method": {"GET", "POST", "PUT", "PATCH", "DELETE"}},
	"runnel keys":         {"role": {"anon", "authenticated", "service_role"}},
	"runnel logs":         {"status": {"success", "error", "timeout", "out_of_memory", "cancelled", "lost", "skipped"}},
	"runnel schedule add": {"catch-up": {"all", "latest", "none"}, "overlap": {"allow", "skip", "queue"}},
	"runnel trigger add":  {"granularity": {"auto", "row", "statement"}, "operations": {"INSERT", "UPDATE", "DELETE", "TRUNCATE"}},
}

// complete has the shell complete what the commands' usage names: functions and
// schedules of the server, files where there can be one, and nothing otherwise.
func complete(cmd *cobra.Command) {
	for flag, values := range flagValues[cmd.CommandPath()] {
		// It fails for a flag that is not there, which a test would find.
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	if cmd.Flags().Lookup("function") != nil {
		_ = cmd.RegisterFlagCompletionFunc("function", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return names(cmd.Context(), "/admin/v1/functions", "functions"), cobra.ShellCompDirectiveNoFileComp
		})
	}
	for _, sub := range cmd.Commands() {
		complete(sub)
	}
	if cmd.HasSubCommands() || cmd.ValidArgsFunction != nil {
		return
	}
	wanted := strings.Fields(cmd.Use)[1:]
	schedule := cmd.Parent() != nil && cmd.Parent().Name() == "schedule"
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(wanted) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		switch strings.Trim(wanted[len(args)], "[]") {
		case "FILE|DIR":
			return nil, cobra.ShellCompDirectiveDefault
		case "COMMAND":
			var all []string
			for _, sub := range cmd.Root().Commands() {
				all = append(all, sub.Name()+"\t"+sub.Short)
			}
			return all, cobra.ShellCompDirectiveNoFileComp
		case "FOLDER":
			return nil, cobra.ShellCompDirectiveFilterDirs
		case "FUNCTION":
			return names(cmd.Context(), "/admin/v1/functions", "functions"), cobra.ShellCompDirectiveNoFileComp
		case "NAME":
			switch {
			case schedule && cmd.Name() == "add": // a new one
			case schedule:
				return names(cmd.Context(), "/admin/v1/schedules", "schedules"), cobra.ShellCompDirectiveNoFileComp
			default:
				return names(cmd.Context(), "/admin/v1/functions", "functions"), cobra.ShellCompDirectiveNoFileComp
			}
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// names are those of the server's functions or schedules; none when it does not
// answer.
func names(ctx context.Context, path, list string) []string {
	c, err := newClient()
	if err != nil {
		return nil
	}
	return c.names(ctx, path, list)
}

func (c *client) names(ctx context.Context, path, list string) []string {
	ctx, cancel := context.WithTimeout(ctx, completeLimit)
	defer cancel()
	var got map[string][]struct{ Name string }
	if c.manage(ctx, http.MethodGet, path, nil, nil, &got) != nil {
		return nil
	}
	var all []string
	for _, one := range got[list] {
		all = append(all, one.Name)
	}
	return all
}
