package runnel

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Error is a failure of Query, Batch or Fetch. Nothing else is wrong: a handler can
// go on.
type Error struct {
	Code       string `json:"code"` // PermissionDenied, RlsUnavailable, QueryError, HostNotAllowed, FetchError, TooLarge, ...
	Message    string `json:"message"`
	SQLState   string `json:"sqlstate"`
	Detail     string `json:"detail"`
	Hint       string `json:"hint"`
	Table      string `json:"table"`
	Column     string `json:"column"`
	Constraint string `json:"constraint"`
	Statement  *int   `json:"statement"` // of a batch
}

// Error implements error.
func (e *Error) Error() string {
	if e.SQLState != "" {
		return e.Code + " (" + e.SQLState + "): " + e.Message
	}
	return e.Code + ": " + e.Message
}

// CodeOf returns the code of an error of this package, or "".
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// SQLStateOf returns the SQLSTATE of an error of this package, or "".
func SQLStateOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.SQLState
	}
	return ""
}

// host is Runnel, or a Fake.
type host interface {
	query(sql string, params []byte) []byte
	fetch(request []byte) []byte
	env(key string) (string, bool)
	log(level Level, message string)
}

// Column is a column of a result; Type is Postgres's name.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Rows is what a statement returned.
type Rows struct {
	Columns  []Column            `json:"columns"`
	Rows     [][]json.RawMessage `json:"rows"`
	RowCount int64               `json:"row_count"` // returned or changed
}

// Decode reads row i into a struct or map, by the names of the columns.
func (r *Rows) Decode(i int, v any) error {
	if i < 0 || i >= len(r.Rows) {
		return fmt.Errorf("there is no row %d of %d", i, len(r.Rows))
	}
	var object bytes.Buffer
	object.WriteByte('{')
	for j, value := range r.Rows[i] {
		if j > 0 {
			object.WriteByte(',')
		}
		name, err := json.Marshal(r.Columns[j].Name)
		if err != nil {
			return err
		}
		object.Write(name)
		object.WriteByte(':')
		object.Write(value)
	}
	object.WriteByte('}')
	return json.Unmarshal(object.Bytes(), v)
}

// Statement is one of a Batch.
type Statement struct {
	SQL    string `json:"sql"`
	Params []any  `json:"params"`
}

// Query runs one statement as the caller of the function, in a transaction of its
// own that is committed when Query returns. Its errors are *Error.
func Query(ctx context.Context, sql string, params ...any) (*Rows, error) {
	if params == nil {
		params = []any{}
	}
	encoded, err := json.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("the parameters are not JSON: %w", err)
	}
	var answer queryAnswer
	return &answer.Rows, decode(hostOf(ctx).query(sql, encoded), &answer, &answer.Error)
}

// QueryAs is Query with the rows as structs, or maps, by the names of the columns.
func QueryAs[T any](ctx context.Context, sql string, params ...any) ([]T, error) {
	rows, err := Query(ctx, sql, params...)
	if err != nil {
		return nil, err
	}
	out := make([]T, len(rows.Rows))
	for i := range out {
		if err := rows.Decode(i, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Batch runs statements in one transaction: all of them are committed, or none.
func Batch(ctx context.Context, statements ...Statement) ([]Rows, error) {
	for i := range statements {
		if statements[i].Params == nil {
			statements[i].Params = []any{}
		}
	}
	encoded, err := json.Marshal(map[string][]Statement{"batch": statements})
	if err != nil {
		return nil, fmt.Errorf("the parameters are not JSON: %w", err)
	}
	var answer batchAnswer
	err = decode(hostOf(ctx).query("", encoded), &answer, &answer.Error)
	return answer.Results, err
}

// Request is an HTTP request to a host in the function's allowed_hosts.
type Request struct {
	Method  string // default GET
	URL     string
	Headers map[string]string
	Body    []byte
}

// FetchResponse is the answer, after redirects.
type FetchResponse struct {
	Status  int
	Headers map[string]string // lower-case names
	Cookies []string          // lines of set-cookie
	URL     string
	Body    []byte
}

// Fetch sends a request. A status of 400 or more is an answer and no error.
func Fetch(ctx context.Context, r Request) (*FetchResponse, error) {
	request := fetchRequest{Method: r.Method, URL: r.URL, Headers: r.Headers, Body: string(r.Body)}
	if !utf8.Valid(r.Body) {
		request.Body, request.IsBase64 = base64.StdEncoding.EncodeToString(r.Body), true
	}
	encoded, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	var answer fetchAnswer
	if err := decode(hostOf(ctx).fetch(encoded), &answer, &answer.Error); err != nil {
		return nil, err
	}
	body := []byte(answer.Body)
	if answer.IsBase64 {
		if body, err = base64.StdEncoding.DecodeString(answer.Body); err != nil {
			return nil, err
		}
	}
	return &FetchResponse{answer.Status, answer.Headers, answer.Cookies, answer.URL, body}, nil
}

// Env returns a value of the function's environment, secrets included.
func Env(ctx context.Context, key string) (string, bool) { return hostOf(ctx).env(key) }

// Level is how loud a log line is.
type Level int

// The levels.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)

// Log writes a line to the invocation's log.
func Log(ctx context.Context, level Level, message string) { hostOf(ctx).log(level, message) }

// What the host is asked with and answers.
type (
	queryAnswer struct {
		Rows
		Error *Error `json:"error"`
	}
	batchAnswer struct {
		Results []Rows `json:"results"`
		Error   *Error `json:"error"`
	}
	fetchRequest struct {
		Method   string            `json:"method,omitempty"`
		URL      string            `json:"url"`
		Headers  map[string]string `json:"headers,omitempty"`
		Body     string            `json:"body,omitempty"`
		IsBase64 bool              `json:"is_base64,omitempty"`
	}
	fetchAnswer struct {
		Status   int               `json:"status"`
		Headers  map[string]string `json:"headers"`
		Cookies  []string          `json:"cookies"`
		Body     string            `json:"body"`
		IsBase64 bool              `json:"is_base64"`
		URL      string            `json:"url"`
		Error    *Error            `json:"error"`
	}
)

// decode reads an answer, which is a failure when it has an error in it.
func decode(answer []byte, into any, failure **Error) error {
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("the host's answer is not JSON: %w", err)
	}
	if *failure != nil {
		return *failure
	}
	return nil
}
