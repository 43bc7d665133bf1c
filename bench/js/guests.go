package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/runnelhq/runnel/sandbox"
)

// goGuests are functions in other languages, through the same sandbox: built here, so
// that each needs its toolchain.
func goGuests(ctx context.Context, rt *sandbox.Runtime) []peer {
	dir, err := os.MkdirTemp("", "runnel-bench-")
	if err != nil {
		return []peer{{name: "Go", skip: err}}
	}
	const source = `package main

import "unsafe"

func main() {}

var buffer []byte

//go:wasmexport runnel_alloc
func alloc(n int32) uintptr {
	buffer = make([]byte, n+1)
	return uintptr(unsafe.Pointer(&buffer[0]))
}

var answer = []byte("\"hello\"")

//go:wasmexport handler
func handler(ptr, n int32) int64 {
	return int64(uintptr(unsafe.Pointer(&answer[0])))<<32 | int64(len(answer))
}
`
	file, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "go.wasm")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		return []peer{{name: "Go", skip: err}}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, file)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=mod")
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return []peer{{name: "Go", skip: errors.New(string(text))}}
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		return []peer{{name: "Go", skip: err}}
	}
	peers := []peer{{name: "runnel, Go reactor", note: "starts Go's runtime for each call", call: caller(rt, wasm, 0)}}
	shot, _, err := rt.Snapshot(ctx, sandbox.Snapshot{Wasm: wasm})
	return append(peers, peer{name: "runnel, Go reactor with a snapshot", note: "begins where _initialize ended", skip: err, call: caller(rt, shot, 0)})
}
