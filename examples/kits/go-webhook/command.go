//go:build !reactor

package main

import runnel "github.com/runnelhq/runnel/sdk/go"

func main() { runnel.Handle(handle) }
