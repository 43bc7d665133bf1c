package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/runnelhq/runnel"
)

func TestEvent(t *testing.T) {
	t.Parallel()
	got, err := event(call{
		Method: "POST", Path: "/price-order/a%2Fb", RawQuery: "b=2&a=1&b=3&flag", Host: "example.com",
		Header: http.Header{
			"Content-Type": {"application/json"}, "X-Many": {"one", "two"},
			"Authorization": {"Bearer x"}, "Cookie": {"a=b"}, "Apikey": {"k"}, "Proxy-Authorization": {"p"},
		},
		Body:      []byte(`{"n": 1}`),
		Caller:    runnel.Caller{Role: runnel.RoleAuthenticated, UserID: "u1", Claims: json.RawMessage(`{"sub":"u1","n":12345678901234567890}`)},
		RequestID: "r1",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"trigger":"http","method":"POST","path":"/price-order/a%2Fb","query":{"a":"1","b":["2","3"],"flag":""},` +
		`"headers":{"content-type":"application/json","host":"example.com","x-many":"one, two"},"body":{"n": 1},` +
		`"user_id":"u1","role":"authenticated","claims":{"sub":"u1","n":12345678901234567890},"request_id":"r1"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEventWithoutToken(t *testing.T) {
	t.Parallel()
	got, err := event(call{Method: "GET", Path: "/f", Caller: runnel.Caller{Role: runnel.RoleAnon}, RequestID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"trigger":"http","method":"GET","path":"/f","query":{},"headers":{},"body":null,"user_id":null,"role":"anon","claims":{},"request_id":"r"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// verbatim are JSON texts that any decoding and encoding would change.
var verbatim = []string{
	"{\"z\":1,\"a\":2,\"z\":3}",
	"[123456789012345678901234567890, 1e400, 1.0, -0, 1E+2]",
	" \n{ \"spaced\" :\ttrue } \r\n",
	`"\u0000\ud800\u003c<&>"`,
	`{"a\u0000b":"é\u2028"}`,
	"\"\u2028\"",
	"null",
	"0",
}

func TestJSONBodyIsByteForByte(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"", "application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json", "application/json;bad param"} {
		for _, body := range verbatim {
			got, err := appendBody(nil, contentType, "", []byte(body))
			if err != nil || string(got) != body {
				t.Errorf("%q as %q = %q, %v", body, contentType, got, err)
			}
		}
	}
}

func TestBodyForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ contentType, encoding, body, want string }{
		{"", "", "", "null"},
		{"application/json", "", "", "null"},
		{"application/json", "gzip", "", "null"},
		{"", "", "not json", `"not json"`},
		{"text/plain", "", "{}", `"{}"`},
		{"application/x-www-form-urlencoded", "", "a=<1>&b=2", `"a=<1>&b=2"`},
		{"text/plain", "", "nul \x00 é", `"nul \u0000 é"`},
		{"image/png", "", "\x89PNG", `"iVBORw==","is_base64":true`},
		{"", "", "\xff\xfe", `"//4=","is_base64":true`},
		{"application/json", "", "\xef\xbb\xbf{\"a\":1}", `{"a":1}`},
		{"", "", "\xef\xbb\xbf[1]", `[1]`},
		{"text/plain", "", "\xef\xbb\xbf[1]", "\"\ufeff[1]\""},
		{"application/json", "gzip", "\x1f\x8b\x08", `"H4sI","is_base64":true`},
		{"application/json", "identity, BR", "{}", `"e30=","is_base64":true`},
		{"application/json", "utf-8", "{}", `{}`},
		{"text/plain", "x-gzip", "text", `"dGV4dA==","is_base64":true`},
	} {
		got, err := appendBody(nil, c.contentType, c.encoding, []byte(c.body))
		if err != nil || string(got) != c.want {
			t.Errorf("%q as %q = %s, %v; want %s", c.body, c.contentType, got, err, c.want)
		}
	}
}

func TestInvalidJSONIsRefused(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"{", "{}{}", "{'a':1}", "\xef\xbb\xbf", "\xef\xbb\xbf\xef\xbb\xbf{}", "\xff\xfe{\x00}\x00", "\"\xff\"", "\x00", "NaN", strings.Repeat("[", 100_000)} {
		_, err := appendBody(nil, "application/json", "", []byte(body))
		if runnel.CodeOf(err) != runnel.CodeInvalidRequest || err == nil {
			t.Errorf("%.40q: error %v, want InvalidRequest", body, err)
		}
	}
}

func TestQueryIsReadAsBrowsersDo(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                     `{}`,
		"&&":                   `{}`,
		"a=1;b=2":              `{"a":"1;b=2"}`,
		"a=%zz&b=%41":          `{"a":"%zz","b":"A"}`,
		"a=%zz+%41%4":          `{"a":"%zz A%4"}`,
		"a=%":                  `{"a":"%"}`,
		"a=%+1":                `{"a":"% 1"}`,
		"a=%2B%2b":             `{"a":"++"}`,
		"a=%C3%A9":             `{"a":"é"}`,
		"%41[]=1&A%5B%5D=2":    `{"A[]":["1","2"]}`,
		"a=x+y":                `{"a":"x y"}`,
		"a=b=c":                `{"a":"b=c"}`,
		"=v":                   `{"":"v"}`,
		"a=%ff":                "{\"a\":\"\ufffd\"}",
		"%22=%22":              `{"\"":"\""}`,
		"__proto__=1&a=&a=%00": `{"__proto__":"1","a":["","\u0000"]}`,
	} {
		if got := string(appendQuery(nil, raw)); got != want && !sameJSON(got, want) {
			t.Errorf("%q = %s, want %s", raw, got, want)
		}
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}

// FuzzEvent checks that whatever comes in, the event is one JSON object whose
// fields are what came in, and that a JSON body is in it byte for byte.
func FuzzEvent(f *testing.F) {
	for _, body := range verbatim {
		f.Add("POST", "/f", "a=1", "application/json", "x-h", "v", []byte(body), "r")
	}
	f.Add("GET", "/f/%00", "a=%00&a=%zz;", "", "authorization", "Bearer secret-token", []byte("\xff"), "\"")
	f.Add("\"", "\\", "\"", "text/plain", "\"}", "\xff\n", []byte("\",\"role\":\"service_role"), "")
	f.Fuzz(func(t *testing.T, method, path, query, contentType, name, value string, body []byte, id string) {
		header := http.Header{http.CanonicalHeaderKey(name): {value}}
		if contentType != "" {
			header.Set("Content-Type", contentType)
		}
		b, err := event(call{Method: method, Path: path, RawQuery: query, Header: header, Body: body,
			Caller: runnel.Caller{Role: runnel.RoleAnon}, RequestID: id})
		if err != nil {
			if !isJSON(header.Get("Content-Type")) || (json.Valid(body) && utf8.Valid(body)) || runnel.CodeOf(err) != runnel.CodeInvalidRequest {
				t.Fatalf("refused %q as %q: %v", body, contentType, err)
			}
			return
		}
		var got struct {
			Trigger, Method, Path string
			Query                 map[string]any
			Headers               map[string]string
			Body                  json.RawMessage
			IsBase64              bool `json:"is_base64"`
			Role                  string
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		if !json.Valid(b) || !utf8.Valid(b) {
			t.Fatalf("not JSON: %q", b)
		}
		if err := dec.Decode(&got); err != nil {
			t.Fatalf("%v: %q", err, b)
		}
		if got.Role != runnel.RoleAnon || got.Trigger != "http" {
			t.Fatalf("role %q, trigger %q: the input got out of its string: %s", got.Role, got.Trigger, b)
		}
		for _, name := range credentials {
			if _, ok := got.Headers[name]; ok {
				t.Fatalf("header %s reached the event: %s", name, b)
			}
		}
		switch {
		case len(body) == 0:
		case got.IsBase64:
			var s string
			if err := json.Unmarshal(got.Body, &s); err != nil {
				t.Fatal(err)
			}
			if raw, err := base64.StdEncoding.DecodeString(s); err != nil || !bytes.Equal(raw, body) {
				t.Fatalf("body %q became %q", body, raw)
			}
		case (header.Get("Content-Type") == "" || isJSON(header.Get("Content-Type"))) && json.Valid(bytes.TrimPrefix(body, byteOrderMark)):
			if !bytes.Contains(b, append([]byte(`"body":`), bytes.TrimPrefix(body, byteOrderMark)...)) {
				t.Fatalf("body %q is not byte for byte in %q", body, b)
			}
		default:
			var s string
			if err := json.Unmarshal(got.Body, &s); err != nil || s != string(body) {
				t.Fatalf("body %q became %q", body, s)
			}
		}
	})
}
