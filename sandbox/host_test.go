package sandbox

import (
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/runnelhq/runnel"
)

func TestHostEnvAndResultRead(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{Env: map[string]string{"API_KEY": "secret value", "EMPTY": ""}})
	env := func(key string) uint32 {
		h.write(0, []byte(key))
		n, err := h.call("env", 0, uint64(len(key)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	read := func(room uint64) string {
		n, err := h.call("result_read", 1024, room)
		if err != nil {
			t.Fatal(err)
		}
		return string(h.inv.memory.bytes[1024 : 1024+n])
	}
	unset := uint32(api.EncodeI32(-1))
	if n := env("API_KEY"); n != 12 {
		t.Errorf("env is %d", n)
	}
	for range 2 {
		if got := read(100); got != "secret value" {
			t.Errorf("read %q", got)
		}
	}
	if got := read(6); got != "secret" {
		t.Errorf("read %q with room for 6", got)
	}
	// The room may reach past the memory's end as long as the response does not.
	if n, err := h.call("result_read", 65536-12, 1<<32-1); err != nil || n != 12 {
		t.Errorf("at the end of memory: %d, %v", n, err)
	}
	_, err := h.call("result_read", 65536-11, 12)
	wantCode(t, err, runnel.CodeFunctionError)

	if n := env("EMPTY"); n != 0 {
		t.Errorf("an empty value is %d", n)
	}
	for _, key := range []string{"", "NOPE", "API_KEY\x00"} {
		if n := env(key); n != unset {
			t.Errorf("env(%q) is %d", key, int32(n))
		}
	}
	if n, err := h.call("env", 0, 65536); err != nil || n != unset {
		t.Errorf("a key of 64 KB: %d, %v", int32(n), err)
	}
	if got := read(100); got != "" {
		t.Errorf("read %q after a key that is not set", got)
	}
}

func TestHostLog(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{})
	before := time.Now()
	h.write(0, []byte("a\x00b\xffc\nd\n"))
	for level := range uint64(5) {
		if _, err := h.call("log", level, 0, 8); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"debug", "info", "warn", "error", "info"}
	if len(h.inv.logs.lines) != len(want) {
		t.Fatalf("%d lines", len(h.inv.logs.lines))
	}
	for i, l := range h.inv.logs.lines {
		if l.Level != want[i] || l.Message != "ab\uFFFDc\nd" || l.T.Before(before) {
			t.Errorf("line %d is %+v", i, l)
		}
	}
}
