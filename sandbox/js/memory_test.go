package js_test

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

// resident is the process's resident memory in bytes, after what is garbage is gone.
func resident(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skipf("resident memory is read from /proc: %v", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(status))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestFUNC_F1_MemoryStaysFlat: calls that keep all they can leave nothing behind. The
// first quarter of the calls fills pools and caches.
func TestFUNC_F1_MemoryStaysFlat(t *testing.T) {
	wasm, _, err := jstest.Build(t, `
		const kept = [];
		export async function handler() {
			for (let i = 0; i < 50; i++) kept.push("kept ".repeat(i * 20));
			setTimeout(() => {}, 100000);
			new Promise(() => {});
			console.log(kept.length);
			return kept.length;
		}`)
	if err != nil {
		t.Fatal(err)
	}
	n := isolationCalls()
	var before int64
	for i := range n {
		if i == n/4 {
			before = resident(t)
		}
		if _, err := jstest.RunModule(t, wasm, sandbox.Call{}); err != nil {
			t.Fatal(err)
		}
	}
	after := resident(t)
	t.Logf("%d MB resident after %d calls, %d MB after %d", before>>20, n/4, after>>20, n)
	if after > before+16<<20 {
		t.Errorf("%d MB resident after %d calls, %d MB after %d", before>>20, n/4, after>>20, n)
	}
}
