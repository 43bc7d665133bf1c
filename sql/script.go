package sql

import "embed"

//go:embed harden.sql supabase.sql
var scripts embed.FS

// Script is a file that an operator may run on a database, by the name without
// .sql: harden, supabase. ok is false for any other name.
func Script(name string) (text string, ok bool) {
	b, err := scripts.ReadFile(name + ".sql")
	return string(b), err == nil
}
