package js_test

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

// isolationCalls is how many calls the test of isolation makes; RUNNEL_ISOLATION_CALLS
// asks for more.
func isolationCalls() int {
	if n, err := strconv.Atoi(os.Getenv("RUNNEL_ISOLATION_CALLS")); err == nil {
		return n
	}
	return 400
}

func TestFUNC_E2_NothingOfACallIsSeenInAnother(t *testing.T) {
	dirty, _, err := jstest.Build(t, `
		let calls = 0; const kept = [];
		export async function handler() {
			const seen = [++calls, kept.length, globalThis.left, Object.prototype.left, Array.prototype.map.left, "left" in Math];
			globalThis.left = 1; Object.prototype.left = 2; Array.prototype.map.left = 3; Math.left = 4; JSON.parse = () => 5;
			for (let i = 0; i < 50; i++) kept.push("dirt ".repeat(i * 20));
			setTimeout(() => {}, 100000).unref?.();
			new Promise(() => {});
			return [seen, Math.random()];
		}`)
	if err != nil {
		t.Fatal(err)
	}
	clean, _, err := jstest.Build(t, `
		let calls = 0;
		function clear(a) { for (let i = 0; i < a.length; i++) if (a[i] !== 0) return false; return true }
		export const handler = () => [++calls, globalThis.left, Object.prototype.left, clear(new Float64Array(10000)), Math.random()]`)
	if err != nil {
		t.Fatal(err)
	}
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		numbers = map[string]bool{}
		n       = isolationCalls()
	)
	run := func(wasm []byte, format string) {
		out, err := jstest.RunModule(t, wasm, sandbox.Call{})
		if err != nil {
			t.Error(err)
			return
		}
		var random string
		if _, err := fmt.Sscanf(string(out.Output), format, &random); err != nil {
			t.Errorf("%s: %v", out.Output, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if numbers[random] {
			t.Errorf("Math.random gave %s twice", random)
		}
		numbers[random] = true
	}
	for range 4 {
		wg.Go(func() {
			for range n / 8 {
				run(dirty, "[[1,0,null,null,null,false],%s")
				run(clean, "[1,null,null,true,%s")
			}
		})
	}
	wg.Wait()
}
