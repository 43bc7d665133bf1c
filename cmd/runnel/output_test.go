package main

import (
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
)

func TestInvocationText(t *testing.T) {
	t.Parallel()
	got := invocationText(runnel.Invocation{
		ID: "id-1", Status: runnel.StatusError, Attempt: 2, DurationMS: 1.5, Trigger: runnel.TriggerSQL, Version: 3,
		ErrorCode: runnel.CodeFunctionError, ErrorMessage: "first\nsecond\x1b[31m",
		Logs:       []runnel.LogLine{{Level: "info", Message: "one\ntwo\n"}},
		Result:     []byte(`{"a":1}`),
		FinishedAt: time.Now(),
	})
	for _, want := range []string{"error", "1.50 ms", "sql", "v3", "id-1", "attempt 2", "FunctionError: first\n          second\\u001b[31m", "info  one\n          two\n", `= {"a":1}`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Error("an escape sequence reaches the terminal")
	}
}

func TestWriteTable(t *testing.T) {
	t.Parallel()
	var out buffer
	tl := &tool{streams: streams{out: &out}}
	if err := tl.writeTable([]string{"A", "LONG"}, [][]string{{"wide cell", "x\ny\tz"}, {"é", "\x1b"}}); err != nil {
		t.Fatal(err)
	}
	want := "A          LONG\nwide cell  x\\ny\\tz\né          \\u001b\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
