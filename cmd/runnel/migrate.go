package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel/internal/settings"
	"github.com/runnelhq/runnel/sql"
)

func (t *tool) migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema of DATABASE_URL up to date",
		Long: `Bring the schema "runnel" of DATABASE_URL up to date, River's tables included.

It can be run again, and by several processes at once. Run it as the role that
the web and worker processes log in as. "runnel dev" does it by itself.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings.Load(os.Environ(), settings.DatabaseURL)
			if err != nil {
				return err
			}
			if err := sql.Migrate(cmd.Context(), s.DatabaseURL, s.Logger()); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(map[string]string{"status": "ok"})
			}
			fmt.Fprintln(t.out, "The schema is up to date.")
			return nil
		},
	}
}
