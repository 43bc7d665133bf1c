package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// template is what "runnel init" writes.
//
//go:embed template
var template embed.FS

func (t *tool) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "Write a first function in TypeScript, with its types",
		Long: `Write a first function in TypeScript into a folder (default: this one): hello/,
tsconfig.json, and runnel.d.ts with the types of db, env and the events.

Nothing that exists is overwritten: when one of the files is there, nothing is
written.`,
		Args: atMost("FOLDER"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			files, err := writeTemplate(dir)
			if err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(map[string]any{"folder": dir, "files": files})
			}
			for _, f := range files {
				fmt.Fprintln(t.out, printable(filepath.Join(dir, f)))
			}
			next := self() + " dev"
			if filepath.Clean(dir) != "." {
				next += " " + dir
			}
			fmt.Fprintf(t.err, "Next: %s\n", printable(next))
			return nil
		},
	}
}

// writeTemplate writes the template's files below dir, all or none of them, and
// returns their names.
func writeTemplate(dir string) (files []string, err error) {
	content, err := fs.Sub(template, "template")
	if err != nil {
		return nil, err
	}
	var there []string
	err = fs.WalkDir(content, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files = append(files, name)
		switch _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name))); {
		case err == nil:
			there = append(there, name)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(there) > 0 {
		return nil, fmt.Errorf("%s has %s already, and nothing was written: choose another folder, or move what is there", dir, strings.Join(there, ", "))
	}
	for i, name := range files {
		if err := writeNew(filepath.Join(dir, filepath.FromSlash(name)), content, name); err != nil {
			for _, done := range files[:i] {
				_ = os.Remove(filepath.Join(dir, filepath.FromSlash(done)))
			}
			return nil, err
		}
	}
	return files, nil
}

// writeNew writes one file that must not exist.
func writeNew(path string, content fs.FS, name string) error {
	text, err := fs.ReadFile(content, name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
