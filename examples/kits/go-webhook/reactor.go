//go:build reactor

// With -tags reactor and -buildmode=c-shared this is a handler reactor.

package main

import "github.com/runnelhq/runnel/sdk/go/reactor"

func init() { reactor.Handle(handle) }

func main() {}
