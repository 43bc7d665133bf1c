package guests

import w "github.com/runnelhq/runnel/internal/wasmtest"

const (
	queryAt  = 256   // where the SQL is, and the parameters behind it
	answerAt = 32768 // where the answer goes, above the event
	answers  = 24576 // bytes of it
)

// Query sends one query, whatever its event, and answers with db_query's answer.
// sql and params have at most 3 KB together.
func Query(sql, params string) []byte { return query(sql, params, false) }

// QueryAndTrap sends one query and then executes unreachable.
func QueryAndTrap(sql, params string) []byte { return query(sql, params, true) }

func query(sql, params string, trap bool) []byte {
	return reactor(func(m *w.Module) *w.Code {
		query := m.ImportFunc("runnel", "db_query", m.Type(i32s(4), i32s(1)))
		read := m.ImportFunc("runnel", "result_read", m.Type(i32s(2), i32s(1)))
		m.Data(queryAt, []byte(sql+params))
		c := w.Body().
			I32Const(queryAt).I32Const(int32(len(sql))).
			I32Const(int32(queryAt + len(sql))).I32Const(int32(len(params))).
			Call(query).Op(w.Drop).
			I32Const(answerAt).I32Const(answers).Call(read).LocalSet(3).
			I32Const(answerAt).LocalSet(2)
		if trap {
			return c.Op(w.Unreachable).End()
		}
		return pack(c, 2, 3).End()
	})
}
