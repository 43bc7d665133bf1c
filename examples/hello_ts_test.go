package examples_test

import (
	"context"
	"strings"
	"testing"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js"
)

func TestHelloTS(t *testing.T) {
	t.Parallel()
	script, err := js.Bundle("hello-ts/index.ts")
	if err != nil {
		t.Fatal(err)
	}
	r, err := sandbox.New(context.Background(), sandbox.Config{Ask: js.Ask, Trace: js.Trace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	wasm, _, err := js.Build(t.Context(), r, script)
	if err != nil {
		t.Fatal(err)
	}
	info, err := sandbox.Check(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	out, err := r.Run(t.Context(), sandbox.Call{
		Hash: info.Hash, Load: func(context.Context) ([]byte, error) { return wasm, nil },
		Event: []byte(`{"trigger":"http","query":{"name":"Ada"}}`),
		Query: func(_ context.Context, text string, params []byte) []byte {
			asked = append(asked, text+" "+string(params))
			return []byte(`{"columns":[{"name":"visits","type":"int4"}],"rows":[[3]],"row_count":1}`)
		},
	})
	if err != nil || !strings.HasPrefix(string(out.Output), `{"greeting":"Hello, Ada!","visits":3,"id":"`) {
		t.Errorf("%s, %v", out.Output, err)
	}
	if len(asked) != 2 || !strings.HasSuffix(asked[0], ` ["Ada"]`) {
		t.Errorf("it asked %q", asked)
	}
	if len(out.Logs) != 1 || !strings.HasPrefix(out.Logs[0].Message, "greeting {") {
		t.Errorf("it logged %v", out.Logs)
	}
}
