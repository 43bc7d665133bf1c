package sandbox

import (
	"bytes"
	"context"

	"github.com/runnelhq/runnel"
)

// maxFetch bounds the JSON of a request: a body of 6 MB grows to 8 MB as base64,
// and to twice its size as a string that is mostly quotes.
const maxFetch = 2*runnel.MaxPayloadSize + 1<<20

// hostFetch is http_fetch(request, request_len) -> n.
func (inv *invocation) hostFetch(p []uint64) uint64 {
	return inv.fetch(inv.text("http_fetch", p[0], p[1]))
}

// fetch hands a request out. The response waits for whoever reads it.
func (inv *invocation) fetch(request []byte) uint64 {
	switch {
	case inv.call.Fetch == nil:
		return inv.respond([]byte(`{"error":{"code":"HostNotAllowed","message":"http_fetch is not available to this invocation"}}`))
	case len(request) > maxFetch:
		return inv.respond([]byte(`{"error":{"code":"TooLarge","message":"the request is larger than 13 MB: send a body of at most 6 MB"}}`))
	}
	return inv.hostCall(func(ctx context.Context) []byte { return inv.call.Fetch(ctx, bytes.Clone(request)) })
}
