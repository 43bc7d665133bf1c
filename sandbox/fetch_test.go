package sandbox

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
)

// answered reads the response of a host call that said it is n bytes long.
func (h *hostCalls) answered(n uint32, err error) string {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	if int(n) != len(h.inv.response) {
		h.t.Errorf("the call returned %d, its response has %d bytes", n, len(h.inv.response))
	}
	return string(h.inv.response)
}

func TestHTTPFetchIsHandedOut(t *testing.T) {
	t.Parallel()
	var got []byte
	h := newHostCalls(t, Call{Fetch: func(_ context.Context, request []byte) []byte {
		got = request
		return []byte(`{"status":204}`)
	}})
	h.write(64, []byte(`{"url":"x"}`))
	if r := h.answered(h.call("http_fetch", 64, 11)); r != `{"status":204}` {
		t.Errorf("response %s", r)
	}
	h.write(64, []byte("overwritten"))
	if string(got) != `{"url":"x"}` {
		t.Errorf("the request became %q: it has to be a copy", got)
	}
	if n, err := h.call("result_read", 512, 100); err != nil || string(h.inv.memory.bytes[512:512+n]) != `{"status":204}` {
		t.Errorf("result_read: %d, %v", n, err)
	}
	_, err := h.call("http_fetch", 65530, 7)
	wantCode(t, err, runnel.CodeFunctionError)
}

func TestHTTPFetchErrorsAreValues(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{})
	if r := h.answered(h.call("http_fetch", 0, 2)); !strings.HasPrefix(r, `{"error":{"code":"HostNotAllowed","message":`) {
		t.Errorf("without Fetch: %s", r)
	}
	h = newHostCalls(t, Call{Memory: 32 << 20, Fetch: func(context.Context, []byte) []byte {
		t.Error("a request over the limit was handed out")
		return nil
	}})
	h.inv.memory.Reallocate(maxFetch + 65536)
	if r := h.answered(h.call("http_fetch", 0, maxFetch+1)); !strings.HasPrefix(r, `{"error":{"code":"TooLarge","message":`) {
		t.Errorf("over the limit: %s", r)
	}
}

func TestFUNC_I2_FetchEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{Timeout: 50 * time.Millisecond, Fetch: func(ctx context.Context, _ []byte) []byte {
		<-ctx.Done()
		return nil
	}})
	_, err := h.call("http_fetch", 0, 2)
	wantCode(t, err, runnel.CodeTimeout)
}

func TestFetchEndsWhenTheRuntimeCloses(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	r := newRuntime(t, Config{})
	g := newGuest("http_fetch")
	wasm := g.command(nil, body().I32Const(0).I32Const(0).Call(g.imports["http_fetch"]).Op(0x1a))
	call := callOf(wasm)
	call.Timeout = time.Minute
	call.Fetch = func(ctx context.Context, _ []byte) []byte {
		close(begun)
		<-ctx.Done()
		return bytes.Repeat([]byte("x"), 10)
	}
	ended := make(chan error, 1)
	go func() { _, err := r.Run(context.Background(), call); ended <- err }()
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // no time for guests to finish
	_ = r.Close(ctx)
	wantCode(t, <-ended, runnel.CodeCancelled)
}
