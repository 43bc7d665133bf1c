package guests

import w "github.com/runnelhq/runnel/internal/wasmtest"

// Record hands its event, as the one parameter, to a statement, then sleeps, then
// answers with the event. When the statement fails it executes unreachable. With
// it a test knows how often an invocation ran, whatever the log says. Without a
// statement it sleeps and answers.
func Record(sql string, milliseconds int64) []byte {
	return reactor(func(m *w.Module) *w.Code {
		query := m.ImportFunc("runnel", "db_query", m.Type(i32s(4), i32s(1)))
		read := m.ImportFunc("runnel", "result_read", m.Type(i32s(2), i32s(1)))
		poll := m.ImportFunc("wasi_snapshot_preview1", "poll_oneoff", m.Type(i32s(4), i32s(1)))
		m.Data(queryAt, []byte(sql))
		const clockAt, firedAt, answerAt = 64, 128, 192
		m.Data(clockAt, relativeClock(milliseconds))
		// The byte before the event is free (the heap's first, or padding), and so
		// is the one behind: the allocator keeps a page in hand.
		c := w.Body()
		if sql != "" {
			c.
				LocalGet(0).I32Const(1).Op(w.I32Sub).I32Const('[').I32Store8(0).
				LocalGet(0).LocalGet(1).Op(w.I32Add).I32Const(']').I32Store8(0).
				I32Const(queryAt).I32Const(int32(len(sql))).
				LocalGet(0).I32Const(1).Op(w.I32Sub).LocalGet(1).I32Const(2).Op(w.I32Add).
				Call(query).Op(w.Drop).
				// {"error":... and not {"columns":...
				I32Const(answerAt).I32Const(8).Call(read).Op(w.Drop).
				I32Const(answerAt).I32Load8(2).I32Const('e').Op(w.I32Eq).
				If(w.Empty).Op(w.Unreachable).End()
		}
		if milliseconds > 0 {
			c = c.I32Const(clockAt).I32Const(firedAt).I32Const(1).I32Const(firedAt + 40).Call(poll).Op(w.Drop)
		}
		return pack(c, 0, 1).End()
	})
}

// relativeClock is one poll_oneoff subscription: the monotonic clock, from now.
func relativeClock(milliseconds int64) []byte {
	s := make([]byte, 48)
	s[16] = 1
	for i, ns := 0, uint64(milliseconds)*1e6; i < 8; i++ {
		s[24+i] = byte(ns >> (8 * i))
	}
	return s
}

// i32s is n of that type.
func i32s(n int) []byte {
	types := make([]byte, n)
	for i := range types {
		types[i] = w.I32
	}
	return types
}
