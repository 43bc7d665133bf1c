// Command runnel is the command line: a development server, deploys, calls and
// logs. It exits with 0 for success, 1 for a failure and 2 for a command line
// that makes no sense.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/runnelhq/runnel/internal/process"
	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sandbox/js"
)

func main() {
	if compile.IsChild() {
		os.Exit(compile.Child())
	}
	if js.IsChild() {
		os.Exit(js.Child())
	}
	os.Exit(run(process.Signals(), os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are where a command reads and writes. Results go to out, everything
// else to err.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// tool is what the commands share.
type tool struct {
	streams
	json     bool // --json
	terminal bool // err is one
}

func run(ctx context.Context, args []string, s streams) int {
	t := &tool{streams: s, terminal: isTerminal(s.err)}
	root := t.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return 1 // Ctrl-C needs no explanation
	}
	err = suggestFunction(ctx, cmd, err)
	var usage usageError
	isUsage := errors.As(err, &usage)
	if t.json {
		b, _ := json.Marshal(jsonError(err))
		fmt.Fprintf(s.err, "%s\n", b)
	} else {
		fmt.Fprintf(s.err, "runnel: %s\n", printable(err.Error()))
		if isUsage {
			fmt.Fprintf(s.err, "See %s --help.\n", cmd.CommandPath())
		}
	}
	if isUsage {
		return 2
	}
	return 1
}

// jsonError is an error in --json: its text, and what the server says of it.
func jsonError(err error) any {
	out := struct {
		Error string `json:"error"`
		*apiError
	}{Error: err.Error()}
	errors.As(err, &out.apiError)
	return out
}

func (t *tool) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "runnel",
		Short: "Serverless functions on your own Postgres",
		Long: `Serverless functions on your own Postgres.

Start with "runnel dev": it brings up everything, deploys the functions of a
folder and prints commands to try.

The other commands talk to the server that "runnel dev" runs in this folder or
one above it, or to the one named by RUNNEL_URL, with RUNNEL_ADMIN_TOKEN.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped 80 "))
	root.PersistentFlags().BoolVar(&t.json, "json", false, "write JSON")
	group(root)
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Start:", []*cobra.Command{t.initCommand(), t.devCommand(), t.deployCommand(), t.invokeCommand(), t.logsCommand()}},
		{"Functions:", []*cobra.Command{t.listCommand(), t.versionsCommand(), t.rollbackCommand(), t.pauseCommand(), t.resumeCommand(), t.statsCommand(), t.secretsCommand(), t.deleteCommand()}},
		{"Triggers:", []*cobra.Command{t.scheduleCommand(), t.triggerCommand()}},
		{"Invocations:", []*cobra.Command{t.cancelCommand(), t.replayCommand(), t.dlqCommand()}},
		{"Server:", []*cobra.Command{t.doctorCommand(), t.keysCommand(), t.migrateCommand(), t.sqlCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, cmd := range g.commands {
			cmd.GroupID = g.title
			root.AddCommand(cmd)
		}
	}
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" { // cobra's, which lets wrong arguments pass
			for _, shell := range group(cmd).Commands() {
				shell.Args = exactly()
			}
		}
	}
	root.SetHelpCommand(helpCommand())
	complete(root)
	return root
}

// helpCommand is cobra's, but for names of commands that there are not.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show what a command does",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if err := found.Args(found, rest); len(rest) > 0 && err != nil {
				return err // a group says what there is
			}
			return found.Help()
		},
	}
}

// group makes a command that does nothing but have others.
func group(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(subs...)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, sub := range cmd.Commands() {
			names = append(names, sub.Name())
		}
		advice := didYouMean(args[0], names)
		if advice == "" && cmd.HasParent() {
			advice = ": use " + strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
		}
		return usagef("there is no command %q%s", strings.TrimPrefix(cmd.CommandPath()+" ", "runnel ")+args[0], advice)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// version is that of the module this was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

// flagError is a wrong flag: of one that is not known, with the one it may have been.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
		return usagef("%w%s", err, didYouMean("--"+unknown.GetSpecifiedName(), known))
	}
	return usageError{err}
}

// exactly is cobra.ExactArgs with an error that names what is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing", names[len(args)])
		case len(args) > len(names):
			return tooMany(args[len(names)])
		}
		return nil
	}
}

// atMost is exactly, for arguments that may be left out.
func atMost(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return tooMany(args[len(names)])
		}
		return nil
	}
}

func tooMany(arg string) error {
	if arg == "true" || arg == "false" {
		return usagef("%q is one argument too many: the value of such a flag is written with =, as in --verify-jwt=%s", arg, arg)
	}
	return usagef("%q is one argument too many", arg)
}
