//go:build !wasip1

package runnel_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	runnel "github.com/runnelhq/runnel/sdk/go"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event string
		check func(e runnel.Event) bool
	}{
		"http": {`{"trigger":"http","method":"POST","path":"/f/x","query":{"a":"1","b":["2","3"]},"headers":{"content-type":"application/json"},"body":{"n": 12345678901234567890},"user_id":null,"role":"anon","claims":{},"request_id":"r"}`, func(e runnel.Event) bool {
			body, err := e.HTTP.Bytes()
			return e.HTTP.Query.Get("a") == "1" && len(e.HTTP.Query["b"]) == 2 && e.HTTP.Query.Get("c") == "" && err == nil && string(body) == `{"n": 12345678901234567890}`
		}},
		"text body":   {`{"trigger":"http","headers":{"content-type":"text/plain"},"body":"\"quoted\""}`, func(e runnel.Event) bool { b, _ := e.HTTP.Bytes(); return string(b) == `"quoted"` }},
		"JSON string": {`{"trigger":"http","headers":{"content-type":"application/json"},"body":"text"}`, func(e runnel.Event) bool { b, _ := e.HTTP.Bytes(); return string(b) == `"text"` }},
		"binary body": {`{"trigger":"http","headers":{},"body":"/wA=","is_base64":true}`, func(e runnel.Event) bool { b, _ := e.HTTP.Bytes(); return string(b) == "\xff\x00" }},
		"no body":     {`{"trigger":"http","headers":{},"body":null}`, func(e runnel.Event) bool { b, err := e.HTTP.Bytes(); return b == nil && err == nil }},
		"database": {`{"trigger":"database","schema":"s","table":"t","operation":"UPDATE","old":{"a":1},"new":{"a":2},"timestamp":"2026-11-25T10:00:00.5+00:00","transaction_id":"771"}`, func(e runnel.Event) bool {
			var row struct{ A int }
			return e.Decode(&row) == nil && row.A == 2 && e.Database.Timestamp.Year() == 2026 && e.Database.TransactionID == "771"
		}},
		"statement": {`{"trigger":"database","operation":"DELETE","old":null,"new":null,"rows":[{"old":{"a":1},"new":null}],"timestamp":"2026-11-25T10:00:00Z","transaction_id":771}`, func(e runnel.Event) bool {
			return len(e.Database.Rows) == 1 && string(e.Database.Rows[0].Old) == `{"a":1}`
		}},
		"schedule": {`{"trigger":"schedule","schedule":"s","cron":"* * * * *","timezone":"UTC","scheduled_time":"2026-11-25T10:00:00Z","actual_time":"2026-11-25T10:00:01Z","payload":[1]}`, func(e runnel.Event) bool {
			var p []int
			return e.Decode(&p) == nil && p[0] == 1 && e.Schedule.ActualTime.After(e.Schedule.ScheduledTime)
		}},
		"sql": {`{"trigger":"sql","payload":"x"}`, func(e runnel.Event) bool { var p string; return e.Decode(&p) == nil && p == "x" }},
	} {
		e, err := runnel.ParseEvent([]byte(c.event))
		if err != nil || !c.check(e) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	for _, event := range []string{``, `[]`, `{"trigger":"queue"}`, `{"trigger":"http","query":{"a":1}}`} {
		if _, err := runnel.ParseEvent([]byte(event)); err == nil {
			t.Errorf("%s is an event", event)
		}
	}
}

// What is prepared for a snapshot fits this package's types; it panics otherwise.
func TestPrepare(t *testing.T) {
	t.Parallel()
	runnel.Prepare()
}

func TestInvoke(t *testing.T) {
	t.Parallel()
	run := func(result any, err error) (string, error) {
		out, err := runnel.Invoke(t.Context(), func(context.Context, runnel.Event) (any, error) { return result, err }, []byte(`{"trigger":"sql","payload":1}`))
		return string(out), err
	}
	for want, result := range map[string]any{
		"":         nil,
		`"<text>"`: "<text>",
		`{"a":1}`:  map[string]int{"a": 1},
		`{"statusCode":404,"body":{"error":"none"}}`: runnel.Response{StatusCode: 404, Body: map[string]string{"error": "none"}},
	} {
		if got, err := run(result, nil); err != nil || got != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
	if _, err := run(nil, errors.New("no such order")); err == nil || err.Error() != "no such order" {
		t.Error(err)
	}
	if _, err := run(make(chan int), nil); err == nil {
		t.Error("a channel is a result")
	}
}

func TestHostCallsWithAFake(t *testing.T) {
	t.Parallel()
	fake := &runnel.Fake{
		Env: map[string]string{"KEY": "value"},
		OnQuery: func(sql string, params json.RawMessage) (*runnel.Rows, error) {
			if sql == "bad" {
				return nil, &runnel.Error{Code: "QueryError", SQLState: "42601", Message: "syntax error"}
			}
			if sql != "select id, name from t where id = $1" || string(params) != `[1]` {
				t.Errorf("got %s %s", sql, params)
			}
			return &runnel.Rows{
				Columns:  []runnel.Column{{Name: "id", Type: "int4"}, {Name: "na\"me", Type: "text"}},
				Rows:     [][]json.RawMessage{{json.RawMessage("1"), json.RawMessage(`"Ada"`)}},
				RowCount: 1,
			}, nil
		},
		OnBatch: func(s []runnel.Statement) ([]runnel.Rows, error) { return make([]runnel.Rows, len(s)), nil },
		OnFetch: func(r runnel.Request) (*runnel.FetchResponse, error) {
			return &runnel.FetchResponse{Status: 201, Body: append([]byte(r.Method+" "), r.Body...)}, nil
		},
	}
	ctx := fake.Context(t.Context())
	rows, err := runnel.QueryAs[struct{ ID int }](ctx, "select id, name from t where id = $1", 1)
	if err != nil || len(rows) != 1 || rows[0].ID != 1 {
		t.Errorf("got %+v, %v", rows, err)
	}
	maps, err := runnel.QueryAs[map[string]any](ctx, "select id, name from t where id = $1", 1)
	if err != nil || len(maps) != 1 || maps[0]["na\"me"] != "Ada" {
		t.Errorf("got %+v, %v", maps, err)
	}
	if _, err := runnel.Query(ctx, "bad"); runnel.CodeOf(err) != "QueryError" || runnel.SQLStateOf(err) != "42601" || !strings.Contains(err.Error(), "42601") {
		t.Errorf("got %v", err)
	}
	if results, err := runnel.Batch(ctx, runnel.Statement{SQL: "a"}, runnel.Statement{SQL: "b"}); err != nil || len(results) != 2 {
		t.Errorf("got %v, %v", results, err)
	}
	if r, err := runnel.Fetch(ctx, runnel.Request{Method: "PUT", URL: "https://a.test/", Body: []byte("body")}); err != nil || r.Status != 201 || string(r.Body) != "PUT body" {
		t.Errorf("got %+v, %v", r, err)
	}
	if v, ok := runnel.Env(ctx, "KEY"); v != "value" || !ok {
		t.Errorf("got %q, %v", v, ok)
	}
	runnel.Log(ctx, runnel.LevelWarn, "careful")
	if logs := fake.Logs(); len(logs) != 1 || logs[0] != (runnel.LogLine{Level: runnel.LevelWarn, Message: "careful"}) {
		t.Errorf("got %v", logs)
	}
	// What nobody answers fails, with the codes of a worker.
	empty := (&runnel.Fake{}).Context(t.Context())
	for _, ctx := range []context.Context{empty, t.Context()} {
		_, query := runnel.Query(ctx, "select 1")
		_, fetch := runnel.Fetch(ctx, runnel.Request{URL: "https://a.test/"})
		if runnel.CodeOf(query) != "RlsUnavailable" || runnel.CodeOf(fetch) != "HostNotAllowed" {
			t.Errorf("got %v, %v", query, fetch)
		}
	}
}
