package sql

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/runnelhq/runnel"
)

// Bounds of what a function gets back.
const (
	maxRows     = 100_000               // of one statement
	maxResponse = runnel.MaxPayloadSize // bytes of JSON, all statements of a batch together
	maxBatch    = 1000                  // statements
)

// guestStatement is one statement of a function.
type guestStatement struct {
	SQL    string            `json:"sql"`
	Params []json.RawMessage `json:"params"`
}

// answers is the response while it is written.
type answers struct {
	buf   bytes.Buffer
	types *types
	q     querier
	began int // rows of the current statement
}

// transact runs statements in one transaction and commits it. The commit is the
// Sync message, and it is sent only when every statement's answer has been seen
// and is within the limits: before that nothing has happened.
//
// A *guestError that leaves the slot alive has been rolled back and the slot can
// be used again. Other errors wrap errGone: unless c.committing, nothing was
// committed.
func (c *slot) transact(ctx context.Context, statements []guestStatement, out *answers) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(runnel.MaxTimeout)
	}
	_ = c.conn.Conn().SetDeadline(deadline.Add(cancelTimeout))
	interrupt := context.AfterFunc(ctx, func() { _ = c.conn.Conn().SetDeadline(time.Unix(1, 0)) })
	err := c.statements(ctx, deadline, statements, out)
	if err == nil {
		err = c.commit()
	}
	if !interrupt() {
		c.stop() // the deadline in the past may come after the last read
	}
	return err
}

func (c *slot) statements(ctx context.Context, deadline time.Time, statements []guestStatement, out *answers) error {
	c.skip, c.committing = 0, false
	// A procedure in a transaction of its own could COMMIT, on some versions.
	explicit := len(statements) > 1 || firstWord(statements[0].SQL) == "CALL"
	for i, st := range statements {
		left := time.Until(deadline)
		left -= min(100*time.Millisecond, left/10) // so that the function can still see the error
		if left < time.Millisecond {
			return c.refuse(&guestError{Code: guestTimeout, Message: "no time is left for this query: raise the function's timeout, or do less in one call"})
		}
		c.own("SET statement_timeout = " + strconv.FormatInt(left.Milliseconds(), 10))
		if explicit && i == 0 {
			c.own("BEGIN")
		}
		if i > 0 {
			out.buf.WriteByte(',')
		}
		if err := c.statement(ctx, st, out); err != nil {
			var fault *guestError
			if errors.As(err, &fault) && len(statements) > 1 {
				fault.Statement = &i
			}
			return err
		}
	}
	if explicit {
		c.own("COMMIT")
	}
	return nil
}

// own sends a statement of ours.
func (c *slot) own(sql string) {
	c.front.SendParse(&pgproto3.Parse{Query: sql})
	c.front.SendBind(&pgproto3.Bind{})
	c.front.SendExecute(&pgproto3.Execute{})
	c.skip++
}

func (c *slot) statement(ctx context.Context, st guestStatement, out *answers) error {
	c.front.SendParse(&pgproto3.Parse{Query: st.SQL})
	c.front.SendDescribe(&pgproto3.Describe{ObjectType: 'S'})
	var described *described
	oids := make([]uint32, len(st.Params))
	var infos map[uint32]typeInfo
	if structured(st.Params) {
		c.front.Send(&pgproto3.Flush{})
		if err := c.flush(); err != nil {
			return err
		}
		var err error
		if described, err = c.describe(); err != nil {
			return err
		}
		copy(oids, described.params)
		if infos, err = out.types.lookup(ctx, out.q, oids); err != nil {
			c.stop()
			return err
		}
	}
	values := make([][]byte, len(st.Params))
	for i, p := range st.Params {
		v, fault := encodeParam(p, oids[i], cmp.Or(infos[oids[i]].delim, ','))
		if fault != nil {
			return c.refuse(fault)
		}
		values[i] = v
	}
	c.front.SendBind(&pgproto3.Bind{Parameters: values})
	c.front.SendExecute(&pgproto3.Execute{MaxRows: maxRows + 1})
	c.front.Send(&pgproto3.Flush{})
	if err := c.flush(); err != nil {
		return err
	}
	if described == nil {
		var err error
		if described, err = c.describe(); err != nil {
			return err
		}
	}
	return c.result(ctx, described, out)
}

// described is what the server says of a statement before it runs.
type described struct {
	params  []uint32
	columns []pgproto3.FieldDescription
	rows    bool // it returns rows, perhaps without columns
}

func (c *slot) describe() (*described, error) {
	d := &described{}
	for {
		m, err := c.receive()
		if err != nil {
			return nil, err
		}
		switch m := m.(type) {
		case *pgproto3.CommandComplete:
			c.skip--
		case *pgproto3.ParameterDescription:
			d.params = append(d.params, m.ParameterOIDs...)
		case *pgproto3.RowDescription:
			for _, f := range m.Fields {
				f.Name = bytes.Clone(f.Name)
				d.columns = append(d.columns, f)
			}
			d.rows = true
			return d, nil
		case *pgproto3.NoData:
			return d, nil
		case *pgproto3.ErrorResponse:
			return nil, c.failed(m)
		}
	}
}

// result reads rows into out until the statement is complete.
func (c *slot) result(ctx context.Context, d *described, out *answers) error {
	columns, err := out.begin(ctx, d.columns)
	if err != nil {
		c.stop()
		return err
	}
	for {
		m, err := c.receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.DataRow:
			out.row(m.Values, columns)
			if out.buf.Len() > maxResponse {
				// More may be on its way than we want to read: nothing but the
				// end of the connection stops it.
				c.stop()
				return &guestError{Code: guestTooLarge, Message: "the result is over 6 MB; nothing was written: select less, or in parts"}
			}
		case *pgproto3.PortalSuspended:
			return c.refuse(&guestError{Code: guestTooLarge, Message: "the result has more than 100,000 rows; nothing was written: select less, or in parts"})
		case *pgproto3.CommandComplete:
			verb, rest, _ := strings.Cut(string(m.CommandTag), " ")
			if !allowed[verb] || verb == "SELECT" && !d.rows { // SELECT INTO
				return c.refuse(&guestError{Code: guestPermissionDenied, SQLState: "42501", Message: "this kind of statement is not available to functions, and was rolled back: " + string(m.CommandTag)})
			}
			count := int64(out.began)
			if n, err := strconv.ParseInt(rest[strings.LastIndexByte(rest, ' ')+1:], 10, 64); err == nil {
				count = n
			}
			out.end(count)
			return nil
		case *pgproto3.CopyInResponse, *pgproto3.CopyOutResponse, *pgproto3.CopyBothResponse:
			c.stop()
			return &guestError{Code: guestPermissionDenied, SQLState: "42501", Message: "COPY is not available to functions"}
		case *pgproto3.EmptyQueryResponse:
			return c.refuse(&guestError{Code: guestInvalidRequest, Message: "the SQL is empty"})
		case *pgproto3.ErrorResponse:
			return c.failed(m)
		}
	}
}

// commit sends the Sync that ends the transaction. Deferred constraints answer
// here.
func (c *slot) commit() error {
	c.front.Send(&pgproto3.Sync{})
	c.syncs++
	c.committing = true
	if err := c.flush(); err != nil {
		return err
	}
	var first error
	for c.syncs > 0 {
		m, err := c.receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			if first == nil {
				first = queryError(pgconn.ErrorResponseToPgError(m))
			}
		case *pgproto3.ReadyForQuery:
			if c.syncs--; m.TxStatus != 'I' {
				return c.rollback(first)
			}
		}
	}
	return first
}

// failed ends a transaction in which the server refused something.
func (c *slot) failed(m *pgproto3.ErrorResponse) error {
	err := queryError(pgconn.ErrorResponseToPgError(m))
	c.front.Send(&pgproto3.Sync{})
	c.syncs++
	return c.drain(err)
}

// refuse ends a transaction that the server is content with and we are not.
func (c *slot) refuse(err *guestError) error {
	c.own("ROLLBACK")
	c.front.Send(&pgproto3.Sync{})
	c.syncs++
	return c.drain(err)
}

// drain reads until the server is ready. A transaction that is still open, because
// it was an explicit one, is rolled back.
func (c *slot) drain(cause error) error {
	if c.flush() != nil {
		return cause
	}
	for c.syncs > 0 {
		m, err := c.receive()
		if err != nil {
			return cause // the connection is closed, and with it the transaction
		}
		if m, ok := m.(*pgproto3.ReadyForQuery); ok {
			if c.syncs--; c.syncs == 0 && m.TxStatus != 'I' {
				return c.rollback(cause)
			}
		}
	}
	return cause
}

func (c *slot) rollback(cause error) error {
	c.front.SendQuery(&pgproto3.Query{String: "ROLLBACK"})
	c.syncs++
	if c.flush() != nil {
		return cause
	}
	for c.syncs > 0 {
		m, err := c.receive()
		if err != nil {
			return cause
		}
		if m, ok := m.(*pgproto3.ReadyForQuery); ok {
			if c.syncs--; m.TxStatus != 'I' {
				c.kill()
				return cause
			}
		}
	}
	return cause
}

// column is a result column, with its type.
type column struct {
	oid  uint32
	info typeInfo
}

// begin writes the head of a statement's answer.
func (a *answers) begin(ctx context.Context, fields []pgproto3.FieldDescription) ([]column, error) {
	oids := make([]uint32, len(fields))
	for i, f := range fields {
		oids[i] = f.DataTypeOID
	}
	infos, err := a.types.lookup(ctx, a.q, oids)
	if err != nil {
		return nil, err
	}
	a.began = 0
	columns := make([]column, len(fields))
	a.buf.WriteString(`{"columns":[`)
	for i, f := range fields {
		if i > 0 {
			a.buf.WriteByte(',')
		}
		columns[i] = column{f.DataTypeOID, infos[f.DataTypeOID]}
		a.buf.WriteString(`{"name":`)
		appendString(&a.buf, f.Name)
		a.buf.WriteString(`,"type":`)
		appendString(&a.buf, []byte(columns[i].info.name))
		a.buf.WriteByte('}')
	}
	a.buf.WriteString(`],"rows":[`)
	return columns, nil
}

func (a *answers) row(values [][]byte, columns []column) {
	if a.began++; a.began > 1 {
		a.buf.WriteByte(',')
	}
	a.buf.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			a.buf.WriteByte(',')
		}
		if v == nil {
			a.buf.WriteString("null")
		} else {
			appendValue(&a.buf, v, columns[i].oid, columns[i].info)
		}
	}
	a.buf.WriteByte(']')
}

func (a *answers) end(count int64) {
	a.buf.WriteString(`],"row_count":`)
	a.buf.WriteString(strconv.FormatInt(count, 10))
	a.buf.WriteByte('}')
}
