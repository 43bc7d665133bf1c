package js_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

// moduleCall is a call of a script that was built.
func moduleCall(b testing.TB, script string) sandbox.Call {
	b.Helper()
	wasm, _, err := jstest.Build(b, script)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256(wasm)
	return sandbox.Call{
		Hash: hex.EncodeToString(sum[:]), Event: []byte(`{"name":"Ada"}`),
		Load: func(context.Context) ([]byte, error) { return wasm, nil },
	}
}

// BenchmarkFreshCall is an invocation in a fresh instance, as a worker makes it.
func BenchmarkFreshCall(b *testing.B) {
	rt := jstest.Runtime(b)
	call := moduleCall(b, `export async function handler(event) { return "hello " + event.name }`)
	run := func() {
		if _, err := rt.Run(context.Background(), call); err != nil {
			b.Fatal(err)
		}
	}
	run()
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			run()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				run()
			}
		})
	})
}
