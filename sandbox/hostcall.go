package sandbox

import (
	"bytes"
	"context"

	"github.com/runnelhq/runnel"
)

// Bounds of what a guest may hand to a host call. The answers' sizes are bounded by
// whoever makes them.
const (
	maxQuery  = 1 << 20               // bytes of SQL text
	maxParams = runnel.MaxPayloadSize // bytes of parameters
)

// hostQuery is db_query(sql, sql_len, params, params_len) -> n.
func (inv *invocation) hostQuery(p []uint64) uint64 {
	return inv.query(inv.text("db_query", p[0], p[1]), inv.text("db_query", p[2], p[3]))
}

var queryTooLarge = []byte(`{"error":{"code":"TooLarge","message":"the SQL text is over 1 MB: pass data as parameters"}}`)

// query hands a query out. The response waits for whoever reads it.
func (inv *invocation) query(sql, params []byte) uint64 {
	switch {
	case inv.call.Query == nil:
		return inv.respond([]byte(`{"error":{"code":"RlsUnavailable","message":"db_query is not available here: run the function on a worker with a database"}}`))
	case len(sql) > maxQuery:
		return inv.respond(queryTooLarge)
	case len(params) > maxParams:
		return inv.respond([]byte(`{"error":{"code":"TooLarge","message":"the parameters are over 6 MB: split the work over several queries"}}`))
	}
	text, values := string(sql), bytes.Clone(params) // the guest's memory is its own again
	return inv.hostCall(func(ctx context.Context) []byte { return inv.call.Query(ctx, text, values) })
}

// hostCall runs what leaves the sandbox. Its context ends with the invocation:
// deadline, caller or Runtime. The answer waits for result_read.
func (inv *invocation) hostCall(do func(context.Context) []byte) uint64 {
	ctx, cancel := context.WithDeadline(inv.caller, inv.deadline)
	defer cancel()
	go func() {
		select {
		case <-inv.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	response := do(ctx)
	inv.check()
	return inv.respond(response)
}

func (inv *invocation) respond(response []byte) uint64 {
	inv.response = response
	return uint64(len(response))
}
