package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
)

func TestFUNC_T3_ResultBecomesTheResponse(t *testing.T) {
	t.Parallel()
	header := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Add(kv[i], kv[i+1])
		}
		return h
	}
	for _, c := range []struct {
		result string
		want   response
	}{
		{"", response{204, header(), nil}},
		{" \n", response{204, header(), nil}},
		{"null", response{200, header("Content-Type", typeJSON), []byte("null")}},
		{`"hi \u00e9"`, response{200, header("Content-Type", typeText), []byte("hi é")}},
		{` {"b": 1, "a": 12345678901234567890} `, response{200, header("Content-Type", typeJSON), []byte(` {"b": 1, "a": 12345678901234567890} `)}},
		{"[1,2]", response{200, header("Content-Type", typeJSON), []byte("[1,2]")}},
		{"1e400", response{200, header("Content-Type", typeJSON), []byte("1e400")}},
		{`{"statusCode":201}`, response{201, header(), nil}},
		{`{"statusCode":201.0,"body":null}`, response{201, header(), nil}},
		{`{"statusCode":404,"body":"gone"}`, response{404, header("Content-Type", typeText), []byte("gone")}},
		{`{"statusCode":200,"body":{"b": 1,"a":1.0}}`, response{200, header("Content-Type", typeJSON), []byte(`{"b": 1,"a":1.0}`)}},
		{`{"statusCode":200,"body":"AAEC","is_base64":true}`, response{200, header("Content-Type", typeBinary), []byte{0, 1, 2}}},
		{`{"statusCode":200,"body":"AAEC","is_base64":true,"headers":{"content-type":"image/png"}}`, response{200, header("Content-Type", "image/png"), []byte{0, 1, 2}}},
		{`{"statusCode":302,"headers":{"location":"/x","set-cookie":["a=1","b=2"],"x-n":1,"x-t":true}}`,
			response{302, header("Location", "/x", "Set-Cookie", "a=1", "Set-Cookie", "b=2", "X-N", "1", "X-T", "true"), nil}},
		// These look like a response and are not.
		{`{"statusCode":"200"}`, response{200, header("Content-Type", typeJSON), []byte(`{"statusCode":"200"}`)}},
		{`{"statusCode":199}`, response{200, header("Content-Type", typeJSON), []byte(`{"statusCode":199}`)}},
		{`{"statusCode":600}`, response{200, header("Content-Type", typeJSON), []byte(`{"statusCode":600}`)}},
		{`{"statusCode":200.5}`, response{200, header("Content-Type", typeJSON), []byte(`{"statusCode":200.5}`)}},
		{`{"statuscode":201}`, response{200, header("Content-Type", typeJSON), []byte(`{"statuscode":201}`)}},
		{`{"a":{"statusCode":201}}`, response{200, header("Content-Type", typeJSON), []byte(`{"a":{"statusCode":201}}`)}},
		{`["statusCode"]`, response{200, header("Content-Type", typeJSON), []byte(`["statusCode"]`)}},
	} {
		got, err := respond([]byte(c.result))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s\ngot  %+v, %v\nwant %+v", c.result, got, err, c.want)
		}
	}
}

func TestHeadersOfTheConnectionAndOursAreDropped(t *testing.T) {
	t.Parallel()
	headers := map[string]string{"X-Kept": "1"}
	for _, name := range dropped {
		headers[strings.ToLower(name)] = "forged"
	}
	b, _ := json.Marshal(map[string]any{"statusCode": 200, "headers": headers})
	got, err := respond(b)
	if err != nil || !reflect.DeepEqual(got.Header, http.Header{"X-Kept": {"1"}}) {
		t.Errorf("headers %v, %v; want only X-Kept", got.Header, err)
	}
}

func TestResponsesThatCannotBeSentAreRefused(t *testing.T) {
	t.Parallel()
	for _, result := range []string{
		`{"statusCode":200,"headers":{"x":"a\r\nset-cookie: b"}}`,
		`{"statusCode":200,"headers":{"x":"a\nb"}}`,
		`{"statusCode":200,"headers":{"x":"a\u0000b"}}`,
		`{"statusCode":200,"headers":{"x":["ok","a\rb"]}}`,
		`{"statusCode":200,"headers":{"x: y":"a"}}`,
		`{"statusCode":200,"headers":{"x\r\ny":"a"}}`,
		`{"statusCode":200,"headers":{"":"a"}}`,
		`{"statusCode":200,"headers":{"é":"a"}}`,
		`{"statusCode":200,"headers":{"x":{}}}`,
		`{"statusCode":200,"headers":{"x":null}}`,
		`{"statusCode":200,"headers":{"x":[[]]}}`,
		`{"statusCode":200,"headers":["x"]}`,
		`{"statusCode":200,"headers":"x"}`,
		`{"statusCode":200,"body":"!","is_base64":true}`,
		`{"statusCode":200,"body":{},"is_base64":true}`,
		`{"statusCode":200,"is_base64":"yes"}`,
		`{"statusCode":200`,
		`"unterminated`,
	} {
		_, err := respond([]byte(result))
		if err == nil || runnel.CodeOf(err) != runnel.CodeFunctionError {
			t.Errorf("%s: error %v, want FunctionError", result, err)
		}
	}
}

func TestFunctionPagesAreSandboxed(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]bool{
		"text/html": true, "Text/HTML; charset=utf-8": true, "image/svg+xml": true, "application/xhtml+xml": true,
		"application/json": false, "text/plain; charset=utf-8": false,
	} {
		b, _ := json.Marshal(map[string]any{"statusCode": 200, "body": "x", "headers": map[string]string{
			"content-type": contentType, "content-security-policy": "default-src *"}})
		res, err := respond(b)
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		res.write(rec)
		if got := slices.Contains(rec.Header().Values("Content-Security-Policy"), sandboxed); got != want {
			t.Errorf("%s: sandboxed %v, want %v", contentType, got, want)
		}
		if rec.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: nosniff is missing", contentType)
		}
	}
}

func FuzzRespond(f *testing.F) {
	for _, seed := range []string{
		"", `"x"`, `{"statusCode":200,"headers":{"a":"b","c":["d",1]},"body":"AA==","is_base64":true}`,
		`{"statusCode":200,"headers":{"a":"\r\n"}}`, `{"statusCode":304,"body":[1]}`, `{ "statusCode" : 2e2 , "headers" : { "a" : [ "b" , true ] } }`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, result []byte) {
		if len(bytes.TrimSpace(result)) > 0 && !json.Valid(result) {
			t.Skip() // the sandbox lets only JSON through
		}
		res, err := respond(result)
		if err != nil {
			if runnel.CodeOf(err) != runnel.CodeFunctionError {
				t.Fatalf("%q: %v", result, err)
			}
			return
		}
		if res.Status < 200 || res.Status > 599 {
			t.Fatalf("%q: status %d", result, res.Status)
		}
		var wire bytes.Buffer
		if err := res.Header.Write(&wire); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for name, values := range res.Header {
			if slices.Contains(dropped, name) {
				t.Fatalf("%q: header %s was not dropped", result, name)
			}
			lines += len(values)
		}
		if got := bytes.Count(wire.Bytes(), []byte("\n")); got != lines {
			t.Fatalf("%q: %d header values make %d lines: %q", result, lines, got, wire.Bytes())
		}
	})
}
