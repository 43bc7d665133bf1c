package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel/internal/doctor"
	"github.com/runnelhq/runnel/sql"
)

func (t *tool) doctorCommand() *cobra.Command {
	var script string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at the installation and say what is wrong and what to do",
		Long: `Look at the installation and say what is wrong and what to do.

Run it with the environment of the web and worker processes, or in the folder of
a "runnel dev". It looks at settings, database, rights, functions' SQL,
notifications, secrets, workers, the log's partitions and clocks, and lists what
in your own schema weakens the walls around functions' SQL.

The exit code is 1 when there is a problem. Warnings are for you to judge.`,
		Example: "  runnel doctor\n  runnel doctor --print harden | psql \"$DATABASE_URL\"",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("print") {
				text, ok := sql.Script(script)
				if !ok {
					return usagef("--print %s is not a script: use harden or supabase", script)
				}
				_, err := fmt.Fprint(t.out, text)
				return err
			}
			environ, err := devEnviron()
			if err != nil {
				return err
			}
			findings := doctor.Examine(cmd.Context(), environ)
			worst := doctor.Worst(findings)
			if t.json {
				err = t.writeJSON(map[string]any{"status": worst, "findings": findings})
			} else {
				err = t.writeFindings(findings)
			}
			if err == nil && worst == doctor.Problem {
				err = errors.New("there are problems, see above")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&script, "print", "", "print an SQL script for operators instead: harden or supabase")
	return cmd
}

// devEnviron is the environment, with what the runnel dev of this folder uses
// where no database is named.
func devEnviron() ([]string, error) {
	environ := os.Environ()
	if os.Getenv("DATABASE_URL") != "" || os.Getenv("DATABASE_URL_FILE") != "" {
		return environ, nil
	}
	s, ok, err := findState()
	if err != nil || !ok {
		return environ, err
	}
	return append(environ, "DATABASE_URL="+s.DatabaseURL, "RUNNEL_ADMIN_TOKEN="+s.AdminToken, "RUNNEL_JWT_SECRET="+s.JWTSecret,
		"RUNNEL_SLOT_SECRET="+s.SlotSecret, "RUNNEL_SECRET_KEYS="+s.SecretKeys), nil
}

func (t *tool) writeFindings(findings []doctor.Finding) error {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%-8s %s: %s\n", f.Status, f.Check, f.What)
		if f.Why != "" {
			fmt.Fprintf(&b, "%8s why:  %s\n", "", f.Why)
		}
		if f.Next != "" {
			fmt.Fprintf(&b, "%8s next: %s\n", "", f.Next)
		}
	}
	_, err := fmt.Fprint(t.out, printable(b.String()))
	return err
}
