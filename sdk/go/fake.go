//go:build !wasip1

package runnel

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// Fake plays the host in tests:
//
//	fake := &runnel.Fake{Env: map[string]string{"API_KEY": "k"}, OnQuery: ...}
//	result, err := runnel.Invoke(fake.Context(ctx), handle, event)
//
// What a field does not answer fails, as it would on a worker without it.
type Fake struct {
	Env     map[string]string
	OnQuery func(sql string, params json.RawMessage) (*Rows, error) // an *Error is passed on
	OnBatch func(statements []Statement) ([]Rows, error)
	OnFetch func(Request) (*FetchResponse, error)

	mu   sync.Mutex
	logs []LogLine
}

// LogLine is a line that was logged.
type LogLine struct {
	Level   Level
	Message string
}

type fakeKey struct{}

// Context returns a context in which Query, Batch, Fetch, Env and Log are answered
// by the Fake.
func (f *Fake) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, fakeKey{}, f)
}

// Logs returns what was logged.
func (f *Fake) Logs() []LogLine {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]LogLine(nil), f.logs...)
}

// hostOf returns the Fake of the context; without one, an environment and a log that
// are the process's.
func hostOf(ctx context.Context) host {
	if f, ok := ctx.Value(fakeKey{}).(*Fake); ok {
		return f
	}
	return processHost{}
}

func (f *Fake) query(sql string, params []byte) []byte {
	var batch struct {
		Batch []Statement `json:"batch"`
	}
	if sql == "" && json.Unmarshal(params, &batch) == nil {
		if f.OnBatch == nil {
			return failed(&Error{Code: "RlsUnavailable", Message: "the Fake has no OnBatch"})
		}
		results, err := f.OnBatch(batch.Batch)
		if err != nil {
			return failed(err)
		}
		return encode(map[string]any{"results": results})
	}
	if f.OnQuery == nil {
		return failed(&Error{Code: "RlsUnavailable", Message: "the Fake has no OnQuery"})
	}
	rows, err := f.OnQuery(sql, params)
	if err != nil {
		return failed(err)
	}
	return encode(rows)
}

func (f *Fake) fetch(request []byte) []byte {
	var r struct {
		Method   string            `json:"method"`
		URL      string            `json:"url"`
		Headers  map[string]string `json:"headers"`
		Body     string            `json:"body"`
		IsBase64 bool              `json:"is_base64"`
	}
	if err := json.Unmarshal(request, &r); err != nil {
		return failed(err)
	}
	if f.OnFetch == nil {
		return failed(&Error{Code: "HostNotAllowed", Message: "the Fake has no OnFetch"})
	}
	body, err := (&HTTPEvent{Body: encode(r.Body), IsBase64: r.IsBase64}).Bytes()
	if err != nil {
		return failed(err)
	}
	response, err := f.OnFetch(Request{Method: r.Method, URL: r.URL, Headers: r.Headers, Body: body})
	if err != nil {
		return failed(err)
	}
	return encode(map[string]any{
		"status": response.Status, "headers": response.Headers, "cookies": response.Cookies, "url": response.URL,
		"body": string(response.Body),
	})
}

func (f *Fake) env(key string) (string, bool) {
	value, ok := f.Env[key]
	return value, ok
}

func (f *Fake) log(level Level, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs = append(f.logs, LogLine{level, message})
}

// processHost is for functions that are run as programs.
type processHost struct{}

func (processHost) query(string, []byte) []byte {
	return failed(&Error{Code: "RlsUnavailable", Message: "there is no host outside of Runnel: use a Fake"})
}

func (processHost) fetch([]byte) []byte {
	return failed(&Error{Code: "HostNotAllowed", Message: "there is no host outside of Runnel: use a Fake"})
}

func (processHost) env(key string) (string, bool) { return os.LookupEnv(key) }

func (processHost) log(level Level, message string) {
	fmt.Fprintln(os.Stderr, [...]string{"debug", "info", "warn", "error"}[min(max(level, 0), 3)], message)
}

func failed(err error) []byte {
	known, ok := err.(*Error)
	if !ok {
		known = &Error{Code: "QueryError", Message: err.Error()}
	}
	return encode(map[string]any{"error": known})
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a Fake's answer that is no JSON
	}
	return b
}
