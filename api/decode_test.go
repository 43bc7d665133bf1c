package api

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/runnelhq/runnel"
)

func TestDecodeStrict(t *testing.T) {
	t.Parallel()
	var m metadata
	err := decodeStrict(strings.NewReader(`{"name":"f","timeout":"750ms","max_memory":"64MB","environment":{"A":"b"},"verify_jwt":false,"description":null} `), "metadata", &m)
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "f" || time.Duration(*m.Timeout) != 750*time.Millisecond || int64(*m.MaxMemory) != 64<<20 ||
		(*m.Environment)["A"] != "b" || *m.VerifyJWT || m.Description != nil || m.Enabled != nil {
		t.Errorf("decoded %+v", m)
	}
}

func TestDecodeStrictRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		`{"name":"f","timeuot":1}`:           `"timeuot"`,
		`{"name":"f","environment":{"A":1}}`: `field "environment" of`,
		`{"max_concurrency":"a"}`:            `field "max_concurrency" of`,
		`{"name":1}`:                         "name",
		`{"timeout":"soon"}`:                 "duration",
		`{"timeout":{}}`:                     "duration",
		`{"max_memory":"lots"}`:              "size",
		`{"max_memory":1.5}`:                 "size",
		`[]`:                                 "send an object",
		`"x"`:                                "send an object",
		``:                                   "empty",
		`{`:                                  "not valid JSON",
		`{"name":"f"} {}`:                    "something after",
		`{"name":"f"} x`:                     "something after",
		"{\"name\":\"f\"}\x00":               "something after",
	} {
		var m metadata
		err := decodeStrict(strings.NewReader(text), "metadata", &m)
		if err == nil || runnel.CodeOf(err) != runnel.CodeInvalidRequest || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want InvalidRequest saying %q", text, err, says)
		}
	}
}

func TestDecodeStrictKeepsReadErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	var m metadata
	for _, r := range []io.Reader{iotest.ErrReader(broken), io.MultiReader(strings.NewReader("{} "), iotest.ErrReader(broken))} {
		if err := decodeStrict(r, "metadata", &m); !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
	}
}

func FuzzDecodeStrict(f *testing.F) {
	f.Add(`{"name":"f","timeout":1e400,"max_memory":9223372036854775808}`)
	f.Add(`{"timeout":"9999999h","max_memory":"8589934592GB","allowed_hosts":["*"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var m metadata
		err := decodeStrict(strings.NewReader(text), "metadata", &m)
		if err == nil {
			err = m.Check()
		}
		if err != nil && runnel.CodeOf(err) != runnel.CodeInvalidRequest {
			t.Fatalf("%q: %v", text, err)
		}
		if err == nil && m.Timeout != nil && (time.Duration(*m.Timeout) < runnel.MinTimeout || time.Duration(*m.Timeout) > runnel.MaxTimeout) {
			t.Fatalf("%q: timeout %v", text, *m.Timeout)
		}
	})
}
