package runnel_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
)

// isRefused checks that err is a complaint a caller can act on.
func isRefused(t *testing.T, what string, err error) {
	t.Helper()
	var e *runnel.Error
	if !errors.As(err, &e) || e.Code != runnel.CodeInvalidRequest {
		t.Errorf("%s: error %v, want InvalidRequest", what, err)
	} else if len(e.Message) > 500 {
		t.Errorf("%s: the message is %d bytes long", what, len(e.Message))
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "price-order", "a_b-9", "invoke2", "a" + strings.Repeat("b", 63)} {
		if err := runnel.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "invoke", "A", "9a", "-a", "_a", "a b", "a/b", "a.b", "a\n", "é", "a\x00", "a" + strings.Repeat("b", 64), strings.Repeat("x", 1<<20)} {
		isRefused(t, name[:min(len(name), 20)], runnel.CheckName(name))
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		`10`: 10 * time.Second, `0.25`: 250 * time.Millisecond, `"750ms"`: 750 * time.Millisecond, `"1m30s"`: 90 * time.Second,
		`1e1`: 10 * time.Second, `0`: 0, `-1`: -time.Second, `0.0000000001`: 0,
	} {
		var d runnel.Duration
		if err := json.Unmarshal([]byte(in), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s: got %v, %v, want %v", in, time.Duration(d), err, want)
		}
	}
	for _, in := range []string{`"10"`, `""`, `"soon"`, `true`, `{}`, `[]`, `1e300`, `"` + strings.Repeat("9", 1000) + `s"`} {
		var d runnel.Duration
		isRefused(t, in[:min(len(in), 20)], json.Unmarshal([]byte(in), &d))
	}
}

func TestBytes(t *testing.T) {
	for in, want := range map[string]int64{
		`1048576`: 1 << 20, `1048576.0`: 1 << 20, `1e6`: 1_000_000, `"128MB"`: 128 << 20, `"128 mb"`: 128 << 20, `"1GiB"`: 1 << 30, `"64k"`: 64 << 10, `"7"`: 7, `"7B"`: 7,
		`" 2m "`: 2 << 20, `0`: 0, `-1`: -1,
	} {
		var b runnel.Bytes
		if err := json.Unmarshal([]byte(in), &b); err != nil || int64(b) != want {
			t.Errorf("%s: got %d, %v, want %d", in, b, err, want)
		}
	}
	for _, in := range []string{`"MB"`, `""`, `"1.5MB"`, `"-1MB"`, `"1TB"`, `1.5`, `true`, `{}`, `"9223372036854775807KB"`, `9223372036854775808`, `"1 2MB"`} {
		var b runnel.Bytes
		isRefused(t, in, json.Unmarshal([]byte(in), &b))
	}
}

func TestConfigCheck(t *testing.T) {
	if err := (runnel.Config{}).Check(); err != nil {
		t.Errorf("an empty config: %v", err)
	}
	host := strings.Repeat("a", 63)
	for _, in := range []string{
		`{"timeout":0.001}`, `{"timeout":300}`, `{"timeout":"5m"}`,
		`{"max_memory":1048576}`, `{"max_memory":"512MB"}`,
		`{"max_attempts":0}`, `{"max_attempts":25}`, `{"max_concurrency":0}`, `{"max_concurrency":1048576}`,
		`{"environment":{"A":"","_b9":"x","API_KEY":"ключ"}}`, `{"environment":{}}`,
		`{"environment":{"A":"` + strings.Repeat("x", runnel.MaxEnvironment-1) + `"}}`,
		`{"allowed_hosts":["example.com","*.example.com","127.0.0.1","` + host + `.a"]}`, `{"allowed_hosts":[]}`,
		`{"description":""}`, `{"can_bypass_rls":true,"verify_jwt":false,"enabled":false}`, `{"timeout":null}`,
	} {
		var c runnel.Config
		if err := json.Unmarshal([]byte(in), &c); err != nil {
			t.Errorf("%.80s: %v", in, err)
		} else if err := c.Check(); err != nil {
			t.Errorf("%.80s: %v", in, err)
		}
	}
	for _, in := range []string{
		`{"timeout":0}`, `{"timeout":-1}`, `{"timeout":"999us"}`, `{"timeout":300.001}`, `{"timeout":1e9}`,
		`{"max_memory":1048575}`, `{"max_memory":"513MB"}`, `{"max_memory":-1}`,
		`{"max_attempts":-1}`, `{"max_attempts":26}`, `{"max_concurrency":-1}`, `{"max_concurrency":1048577}`,
		`{"environment":{"":"x"}}`, `{"environment":{"9a":"x"}}`, `{"environment":{"a-b":"x"}}`, `{"environment":{"a=b":"x"}}`,
		`{"environment":{"A":"x\u0000y"}}`, `{"environment":{"` + strings.Repeat("a", 129) + `":"x"}}`,
		`{"environment":{"A":"` + strings.Repeat("x", runnel.MaxEnvironment) + `"}}`,
		`{"allowed_hosts":["https://example.com"]}`, `{"allowed_hosts":["example.com:443"]}`, `{"allowed_hosts":["a..b"]}`,
		`{"allowed_hosts":["*"]}`, `{"allowed_hosts":["a.*.b"]}`, `{"allowed_hosts":[""]}`, `{"allowed_hosts":["-a.b"]}`, `{"allowed_hosts":["` + host + `a.b"]}`,
		`{"description":"` + strings.Repeat("x", 4097) + `"}`, `{"description":"\u0000"}`,
	} {
		var c runnel.Config
		if err := json.Unmarshal([]byte(in), &c); err != nil {
			t.Errorf("%.80s does not decode: %v", in, err)
			continue
		}
		isRefused(t, in[:min(len(in), 80)], c.Check())
	}
}

func TestConfigCheckNamesNoValue(t *testing.T) {
	env := map[string]string{"API_KEY": "sk_live_hunter2\x00"}
	err := runnel.Config{Environment: &env}.Check()
	isRefused(t, "NUL in a value", err)
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the message shows the value: %v", err)
	}
}

func TestFunctionMarshalsTimeoutInSeconds(t *testing.T) {
	b, err := json.Marshal(runnel.Function{Name: "f", Version: 3, Timeout: 750 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got["timeout"] != 0.75 || got["name"] != "f" {
		t.Errorf("got %s", b)
	}
	if got := (runnel.Function{Name: "f", Version: 3}).String(); got != "f@3" {
		t.Errorf("String() = %q", got)
	}
}

func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		`{"timeout":"750ms","max_memory":"128MB","environment":{"A":"b"},"allowed_hosts":["*.a.b"]}`,
		`{"timeout":1e-9,"max_memory":9223372036854775807}`, `{"timeout":"-2540400h","max_memory":"8GB"}`, `{"environment":{"a\u0000":"\u0000"}}`,
		`{"timeout":null,"max_attempts":-9223372036854775808}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c runnel.Config
		if json.Unmarshal(b, &c) != nil || c.Check() != nil {
			return
		}
		if c.Timeout != nil && (time.Duration(*c.Timeout) < runnel.MinTimeout || time.Duration(*c.Timeout) > runnel.MaxTimeout) {
			t.Errorf("timeout %v passed", time.Duration(*c.Timeout))
		}
		if c.MaxMemory != nil && (*c.MaxMemory < runnel.MinMemory || *c.MaxMemory > runnel.MaxMemory) {
			t.Errorf("max_memory %d passed", *c.MaxMemory)
		}
		if c.Environment != nil {
			for k, v := range *c.Environment {
				if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
					t.Errorf("environment %q=%q passed", k, v)
				}
			}
		}
		if c.AllowedHosts != nil {
			for _, h := range *c.AllowedHosts {
				if h == "" || strings.ContainsAny(h, "/:@ \n") {
					t.Errorf("host %q passed", h)
				}
			}
		}
	})
}

func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"128MB", "1gib", "65536", "", "b", "9223372036854775807", "8589934592g", " 1 kb", "+1", "0x1", "1_0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := runnel.ParseBytes(s)
		if err != nil {
			isRefused(t, "ParseBytes", err)
		} else if n < 0 {
			t.Errorf("%q is %d bytes", s, n)
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{`1`, `"1s"`, `"-1ns"`, `1e9`, `1e-12`, `"9223372036854775807ns"`, `nan`, `Inf`, `0x1p4`, `"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d runnel.Duration
		if err := d.UnmarshalJSON(b); err != nil {
			return
		}
		if len(b) == 0 || b[0] != '"' {
			if s := time.Duration(d).Seconds(); math.Abs(s) > 1e9+1 {
				t.Errorf("%s is %v seconds", b, s)
			}
		}
	})
}

func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"a", "invoke", "a\n", "A", "price-order"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if runnel.CheckName(s) != nil {
			return
		}
		if s == "" || len(s) > 64 || s == "invoke" || s[0] < 'a' || s[0] > 'z' || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			t.Errorf("%q passed", s)
		}
	})
}
