package js_test

import (
	"testing"

	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

func TestAFunctionRuns(t *testing.T) {
	t.Parallel()
	if got := jstest.Eval(t, `await 0; return [1, "ä", {a: 1n < 2, b: new URL("http://a/b?c").search}]`); got != `[1,"ä",{"a":true,"b":"?c"}]` {
		t.Errorf("got %s", got)
	}
}
