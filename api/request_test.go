package api

import (
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
)

func TestRequestID(t *testing.T) {
	t.Parallel()
	for _, kept := range []string{"a", "7f3c-11", "req_01H.x:y/z+=@~", strings.Repeat("a", 128)} {
		if got := requestID(kept); got != kept {
			t.Errorf("%q became %q", kept, got)
		}
	}
	for _, refused := range []string{"", "a b", "a\nb", "a\x00", "é", `"`, strings.Repeat("a", 129)} {
		if got := requestID(refused); got == refused || !requestIDPattern.MatchString(got) {
			t.Errorf("%q became %q, want a new id", refused, got)
		}
	}
	if first, second := requestID(""), requestID(""); first == second {
		t.Error("two requests got the same id")
	}
}

func TestTraceparent(t *testing.T) {
	t.Parallel()
	const valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	if traceparent(valid) != valid {
		t.Errorf("%s was not kept", valid)
	}
	for _, refused := range []string{
		"", "00", strings.ToUpper(valid), valid + "-x", "ff" + valid[2:],
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
	} {
		if got := traceparent(refused); got != "" {
			t.Errorf("%q was kept as %q", refused, got)
		}
	}
}

func TestFunctionPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ escaped, name, path string }{
		{"/functions/v1/hello", "hello", "/hello"},
		{"/functions/v1/invoke/hello", "hello", "/hello"},
		{"/functions/v1/hello/", "hello", "/hello/"},
		{"/functions/v1/invoke/hello/a//../b%2Fc", "hello", "/hello/a//../b%2Fc"},
		{"/functions/v1/he%6Clo/x", "hello", "/hello/x"},
		{"/functions/v1/invoker", "invoker", "/invoker"},
	} {
		name, path, err := functionPath(c.escaped)
		if err != nil || name != c.name || path != c.path {
			t.Errorf("%s = %q, %q, %v; want %q, %q", c.escaped, name, path, err, c.name, c.path)
		}
	}
	for _, refused := range []string{
		"/functions/v1/", "/functions/v1/invoke", "/functions/v1/invoke/", "/functions/v1/invoke/invoke", "/functions/v1/Hello",
		"/functions/v1/a%00b", "/functions/v1/a%2Fb", "/functions/v1/%", "/functions/v1/..", "/functions/v1/a%0a", "/functions/v1/%C3%A9",
	} {
		if _, _, err := functionPath(refused); runnel.CodeOf(err) != runnel.CodeInvalidRequest || err == nil {
			t.Errorf("%s: error %v, want InvalidRequest", refused, err)
		}
	}
}
