package api

import (
	"net/http"
	"testing"
	"time"
)

func TestParsePrefer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines []string
		want  prefer
	}{
		{nil, prefer{false, -1}},
		{[]string{"respond-async"}, prefer{true, -1}},
		{[]string{"Respond-Async, wait=10"}, prefer{true, 10 * time.Second}},
		{[]string{"wait=5", "wait=9"}, prefer{false, 5 * time.Second}},
		{[]string{` wait = "7" ; x=y, handling=lenient`}, prefer{false, 7 * time.Second}},
		{[]string{"wait=0"}, prefer{false, 0}},
		{[]string{"wait=-1"}, prefer{false, -1}},
		{[]string{"wait=1.5"}, prefer{false, -1}},
		{[]string{"wait=99999999999999999999"}, prefer{false, -1}},
		{[]string{"wait", "return=minimal"}, prefer{false, -1}},
		{[]string{"respond-asynchronously"}, prefer{false, -1}},
	} {
		if got := parsePrefer(http.Header{"Prefer": c.lines}); got != c.want {
			t.Errorf("%q = %+v, want %+v", c.lines, got, c.want)
		}
	}
}

func FuzzParsePrefer(f *testing.F) {
	f.Add("respond-async, wait=10")
	f.Add("wait=\"\";,=")
	f.Fuzz(func(t *testing.T, line string) {
		p := parsePrefer(http.Header{"Prefer": {line}})
		if p.Wait < -1 || p.Wait > (1<<31)*time.Second {
			t.Fatalf("%q: wait %v", line, p.Wait)
		}
	})
}
