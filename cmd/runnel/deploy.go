package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel"
)

func (t *tool) deployCommand() *cobra.Command {
	var (
		name              string
		config            configFlags
		createOnly, force bool
	)
	cmd := &cobra.Command{
		Use:   "deploy FILE|DIR",
		Short: "Deploy a script, a WebAssembly module or a function's folder",
		Long: `Deploy a script, a WebAssembly module or a function's folder.

A TypeScript or JavaScript file is bundled with what it imports, from its folder
and the node_modules there; its types are checked where a TypeScript compiler
and a tsconfig.json are installed.

A folder's runnel.json gives the name and the configuration; a Go main package
in it is compiled for WASI, and index.ts or index.js is bundled. For a FILE, the
runnel.json beside it counts. Flags win over runnel.json. What neither says
keeps its value, or gets its default on the first deploy.

A module that is the current version's already makes no new version: then only
the configuration is set. What a script logs while its top level runs, which it
does once, now, is written to standard error.`,
		Example: "  runnel deploy hello.ts\n  runnel deploy examples/price-order\n  runnel deploy build/resize.wasm --name resize --timeout 2s --env QUALITY=80",
		Args:    exactly("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := folderOf(args[0])
			if err != nil {
				return err
			}
			if f.Config == nil {
				f.Config = make(map[string]json.RawMessage)
			}
			if err := config.apply(f.Config); err != nil {
				return err
			}
			if name != "" {
				f.Name = name
			}
			if err := runnel.CheckName(f.Name); err != nil {
				if name != "" {
					return usagef("--name: %w", plainError(err))
				}
				return fmt.Errorf("%w; --name chooses another", plainError(err))
			}
			c, err := newClient()
			if err != nil {
				return err
			}
			if err := f.build(cmd.Context(), t.err); err != nil {
				return err
			}
			d, err := f.load(cmd.Context(), t.err)
			if err != nil {
				return err
			}
			d.anew = force
			var answer json.RawMessage
			done := t.progress("deploying " + d.name + ", " + size(len(d.wasm)))
			err = c.deploy(cmd.Context(), d, createOnly, &answer)
			done()
			if err != nil {
				t.tellFailure(d.name, err)
				return err
			}
			if file := f.sqlFile(); file != "" {
				database, err := databaseURL()
				if err != nil {
					return fmt.Errorf("%s was deployed, but its SQL (%s) was not run: %w", d.name, file, err)
				}
				if err := runFile(cmd.Context(), database, file); err != nil {
					return fmt.Errorf("%s was deployed, but its SQL failed: %w", d.name, err)
				}
			}
			if t.json {
				return t.writeJSON(answer)
			}
			var fn function
			if err := json.Unmarshal(answer, &fn); err != nil {
				return err
			}
			t.tell(fn)
			if fn.Unchanged {
				fmt.Fprintf(t.out, "%s is unchanged: version %d (sha256 %.12s).\n", fn.Name, fn.Version, fn.WasmHash)
			} else {
				fmt.Fprintf(t.out, "%s is deployed as version %d (sha256 %.12s, %s sent).\n", fn.Name, fn.Version, fn.WasmHash, size(len(d.wasm)))
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "name of the function (default: runnel.json, else the file's or folder's name)")
	config.add(cmd)
	flags.BoolVar(&createOnly, "create-only", false, "fail if the function exists")
	flags.BoolVar(&force, "force", false, "make a new version even if the module has not changed")
	return cmd
}

// folderOf describes what is deployed: a folder, or a file and the runnel.json
// beside it.
func folderOf(path string) (*folder, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: give a .ts, .js or .wasm file, or a function's folder", path)
	}
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return readFolder(path)
	}
	f, err := readFolder(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(f.dir, folderFile)); err != nil {
		f.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	f.Module, f.Build = filepath.Base(path), nil
	return f, nil
}

// tell says what the server has to say of a function that was deployed.
func (t *tool) tell(fn function) {
	t.tellLogs(fn.Name, fn.Logs)
	for _, w := range fn.Warnings {
		t.say("warning: %s: %s", fn.Name, w)
	}
}

// tellFailure says what a function logged that could not be deployed.
func (t *tool) tellFailure(name string, err error) {
	var e *apiError
	if !t.json && errors.As(err, &e) {
		t.tellLogs(name, e.Logs)
	}
}

func (t *tool) tellLogs(name string, logs []runnel.LogLine) {
	for _, l := range logs {
		for line := range strings.Lines(l.Message) {
			t.say("%s: %-5s %s", name, l.Level, strings.TrimSuffix(line, "\n"))
		}
	}
}

// runFile runs a file of SQL statements in one transaction.
func runFile(ctx context.Context, database, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return connectError(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.PgConn().Exec(ctx, string(b)).ReadAll(); err != nil {
		return fmt.Errorf("%s: %w", file, explainSQL(err, string(b)))
	}
	return nil
}
