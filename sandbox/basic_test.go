package sandbox

import "testing"

func TestRunHello(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	out, err := run(t, r, hello())
	if err != nil || string(out.Output) != `{"hello":"world"}` {
		t.Fatalf("got %s, %v", out.Output, err)
	}
}
