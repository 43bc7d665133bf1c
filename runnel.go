// Package runnel holds the nouns of Runnel, serverless functions on your own
// Postgres: Function, Version, Invocation, Status, Trigger, Caller, Error.
//
// It imports nothing but the standard library. The machinery is in the folders
// beside it; docs/ARCHITECTURE.md draws the whole house.
package runnel
