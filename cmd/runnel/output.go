package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/runnelhq/runnel/internal/terminal"
)

// writeJSON writes v on lines of its own.
func (t *tool) writeJSON(v any) error {
	enc := json.NewEncoder(t.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// writeLine writes v on one line, for output that has no end.
func (t *tool) writeLine(v any) error {
	enc := json.NewEncoder(t.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// inOneCell writes out what would end a cell of a table.
var inOneCell = strings.NewReplacer("\n", `\n`, "\t", `\t`)

// writeTable writes rows in columns.
func (t *tool) writeTable(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, printable(inOneCell.Replace(cell)))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// removed says that something is gone, and what that means.
func (t *tool) removed(name, what string) error {
	if t.json {
		return t.writeJSON(map[string]string{"deleted": name})
	}
	_, err := fmt.Fprintf(t.out, "%s %s\n", printable(name), what)
	return err
}

// size writes a number of bytes for people.
func size[N int | int64](n N) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d MB", n>>20)
}

// say tells on standard error what happens.
func (t *tool) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if t.json {
		b, _ := json.Marshal(map[string]string{"message": text})
		fmt.Fprintf(t.err, "%s\n", b)
		return
	}
	fmt.Fprintln(t.err, printable(text))
}

// printable is for all that somebody else has written.
var printable = terminal.Printable
