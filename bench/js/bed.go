package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js"
)

var event = []byte(`{"name":"Ada"}`)

// bed is a worker's sandbox, and a folder and processes that go with it.
type bed struct {
	ctx     context.Context
	runtime *sandbox.Runtime
	dir     string
	closers []func()
}

func newBed(ctx context.Context) (*bed, error) {
	rt, err := sandbox.New(ctx, sandbox.Config{Ask: js.Ask, Trace: js.Trace, CacheBytes: 1 << 30})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "runnel-bench-")
	return &bed{ctx: ctx, runtime: rt, dir: dir}, err
}

func (b *bed) onClose(f func()) { b.closers = append(b.closers, f) }

func (b *bed) close() {
	for _, f := range b.closers {
		f()
	}
	_ = b.runtime.Close(b.ctx)
	_ = os.RemoveAll(b.dir)
}

// build is a script as a deploy makes it.
func (b *bed) build(source string) ([]byte, error) {
	script, err := js.Translate("function.js", []byte(source))
	if err != nil {
		return nil, err
	}
	wasm, _, err := js.Build(b.ctx, b.runtime, script)
	return wasm, err
}

// caller calls a module as a worker does, and compares with the first answer.
func (b *bed) caller(wasm, event []byte) (call func(context.Context) error, answer []byte, err error) {
	sum := sha256.Sum256(wasm)
	c := sandbox.Call{
		Hash: hex.EncodeToString(sum[:]), Event: event, Timeout: time.Minute,
		Load: func(context.Context) ([]byte, error) { return wasm, nil },
	}
	out, err := b.runtime.Run(b.ctx, c)
	return func(ctx context.Context) error {
		again, err := b.runtime.Run(ctx, c)
		return differs(again.Output, out.Output, err)
	}, out.Output, err
}

func differs(got, want []byte, err error) error {
	if err == nil && string(got) != string(want) {
		err = fmt.Errorf("answered %.100q, not %.100q", got, want)
	}
	return err
}
