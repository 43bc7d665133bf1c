package js_test

import (
	"runtime"
	"testing"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

func TestAFunctionRuns(t *testing.T) {
	t.Parallel()
	if got := jstest.Eval(t, `await 0; return [1, "ä", {a: 1n < 2, b: new URL("http://a/b?c").search}]`); got != `[1,"ä",{"a":true,"b":"?c"}]` {
		t.Errorf("got %s", got)
	}
}

// The image has zeros where its allocator has free memory: a function takes all of it
// again, in many sizes, and finds in it what it put there.
func TestAFunctionUsesWhatWasFreedAtDeploy(t *testing.T) {
	t.Parallel()
	out, err := jstest.Run(t, `
		for (let i = 0; i < 40; i++) ("left over " + i).repeat(10_000);
		export function handler() {
			const kept = [];
			let made = 0;
			for (let round = 0; round < 3; round++) {
				for (let n = 1; n < 200_000; n += 1 + (n >> 3)) {
					const a = new Uint8Array(n);
					if (a.some((b) => b !== 0)) return "not zero";
					a.fill(n & 255);
					kept.push(a);
					if (++made % 3 === 0) kept.splice(kept.length >> 1, 1);
				}
			}
			return kept.every((a) => a.every((b) => b === (a.length & 255))) && kept.length > 100;
		}`, sandbox.Call{})
	if err != nil || string(out.Output) != "true" {
		t.Errorf("%s, %v", out.Output, err)
	}
}

// wazero's stacks were most of a call's garbage, 270 KB.
func TestACallLeavesLittleGarbage(t *testing.T) {
	wasm, _, err := jstest.Build(t, `export async function handler(event) { return "hello " + event }`)
	if err != nil {
		t.Fatal(err)
	}
	const calls = 50
	allocated := func() uint64 {
		var m runtime.MemStats
		for range calls {
			if _, err := jstest.RunModule(t, wasm, sandbox.Call{Event: []byte(`"Ada"`)}); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	before := allocated()
	if n := (allocated() - before) / calls; n > 150<<10 {
		t.Errorf("a call allocates %d KB", n>>10)
	}
}
