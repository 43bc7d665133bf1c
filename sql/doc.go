// Package sql holds Runnel's truth in Postgres: the schema and its migrations,
// the functions that SQL users call, and the statements behind every step of
// an invocation.
//
// Statements are files in query/, migrations are files in migration/; both are
// plain SQL that psql can run.
package sql
