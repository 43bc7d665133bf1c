package prelude

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ask calls an operation as JavaScript does at a call.
func ask(t testing.TB, op string, args ...string) (string, error) {
	t.Helper()
	list := make([][]byte, len(args))
	for i, a := range args {
		list[i] = []byte(a)
	}
	out, _, err := Ask(op, list)
	var e *Error
	if err != nil && !errors.As(err, &e) {
		t.Errorf("%s failed with %T, which JavaScript cannot tell from a bug: %v", op, err, err)
	}
	return string(out), err
}

func name(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Name
	}
	return fmt.Sprint(err)
}

func TestUnknownOperationsAreRefused(t *testing.T) {
	for _, c := range []struct {
		op   string
		args []string
		want string
	}{
		{"read_file", []string{"/etc/passwd"}, "NotSupportedError"},
		{"", nil, "NotSupportedError"},
		{strings.Repeat("x", 1<<20), nil, "NotSupportedError"},
		{"digest", []string{"SHA-256"}, "TypeError"},
		{"digest", []string{"SHA-256", "a", "b"}, "TypeError"},
		{"digest", []string{"MD5", "a"}, "NotSupportedError"},
		{"random", []string{"65537"}, "QuotaExceededError"},
		{"random", []string{"-1"}, "QuotaExceededError"},
		{"random", []string{"1e9"}, "QuotaExceededError"},
		{"url_parse", []string{strings.Repeat("a", maxURL+1), "", ""}, "TypeError"},
	} {
		if _, err := ask(t, c.op, c.args...); name(err) != c.want {
			t.Errorf("%.20s%.40q: %.200v, want %s", c.op, c.args, err, c.want)
		}
	}
}

// busy is how long f keeps a processor busy, whatever else the machine does.
func busy(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := func() time.Duration {
		const thread = 1 // RUSAGE_THREAD
		var u syscall.Rusage
		_ = syscall.Getrusage(thread, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	f()
	return used() - before
}

// No argument takes an operation long. The bound is wide because the race detector
// may be on; what it catches is time that grows with the square of a size.
func TestOperationsAreBoundedInTime(t *testing.T) {
	big := strings.Repeat("x", maxArgument)
	for _, c := range []struct {
		op   string
		args []string
	}{
		{"url_parse", []string{"http://a/" + strings.Repeat("../", maxURL/3-10), "", ""}},
		{"url_parse", []string{"http://a/" + strings.Repeat("a/../", maxURL/5-10), "", ""}},
		{"url_parse", []string{"http://" + strings.Repeat("a.", maxURL/2-10), "", ""}},
		{"url_parse", []string{"http://" + strings.Repeat("@", maxURL-10), "", ""}},
		{"url_parse", []string{"http://" + strings.Repeat("ü", maxURL/2-10), "", ""}},
		{"url_parse", []string{"http://" + strings.Repeat("xn--", maxURL/4-10), "", ""}},
		{"url_parse", []string{"http://[" + strings.Repeat("1:", maxURL/2-10) + "]", "", ""}},
		{"url_parse", []string{"http://" + strings.Repeat("1.", maxURL/2-10), "", ""}},
		{"url_parse", []string{strings.Repeat("\t", maxURL-10), "http://a/" + strings.Repeat("b/", maxURL/2-10), "base"}},
		{"url_set", []string{"http://a/", "pathname", strings.Repeat("a/../", maxURL/5-10)}},
		{"form_decode", []string{strings.Repeat("&", maxArgument)}},
		{"form_decode", []string{strings.Repeat("a=%", maxArgument/3)}},
		{"json_member", []string{strings.Repeat("[", maxArgument), "body"}},
		{"json_member", []string{`{"a":` + strings.Repeat("[", maxArgument-10), "body"}},
		{"utf8_decode", []string{strings.Repeat("\xe2\x82", maxArgument/2), ""}},
		{"utf16_decode", []string{big, ""}},
		{"latin1_decode", []string{big, ""}},
		{"digest", []string{"SHA-512", big}},
		{"multipart_decode", []string{strings.Repeat("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n", 60000), "multipart/form-data; boundary=b"}},
		{"multipart_decode", []string{strings.Repeat("--b-", maxArgument/4), "multipart/form-data; boundary=b-"}},
		{"derive", []string{`{"name":"PBKDF2","hash":"SHA-512","salt":"AAAA","iterations":600000,"bits":512}`, "password", ""}},
		{"derive", []string{`{"name":"PBKDF2","hash":"SHA-512","salt":"AAAA","iterations":600000,"bits":8192}`, "password", ""}},
	} {
		if d := busy(func() { _, _ = ask(t, c.op, c.args...) }); d > 5*time.Second {
			t.Errorf("%s with %.40q... took %v", c.op, c.args[0], d)
		} else if testing.Verbose() {
			t.Logf("%s with %.40q... took %v", c.op, c.args[0], d)
		}
	}
}

// Repeating any character in any place of a URL takes no longer than its length
// allows.
func TestURLsAreBoundedInTime(t *testing.T) {
	var slowest time.Duration
	for _, place := range []string{"http://%s", "http://%s@a/", "http://a/%s", "x://%s"} {
		for _, piece := range []string{"a", "@", ":", "/", "\\", "%", "%41", "ü", "\u00ad", "xn--", "\t", "../", "C|", "\U0001F600", "@:", "．"} {
			url := strings.Replace(place, "%s", strings.Repeat(piece, (maxURL-20)/len(piece)), 1)
			d := busy(func() {
				_, _ = ask(t, "url_parse", url, "http://base/b", "base")
				_, _ = ask(t, "url_parse", "?b", url, "base")
			})
			if slowest = max(slowest, d); d > 2*time.Second {
				t.Errorf("%q repeated in %q takes %v", piece, place, d)
			}
		}
	}
	t.Logf("the slowest took %v", slowest)
}

func TestFormsAreReadAsBrowsersWriteThem(t *testing.T) {
	body := "--x\r\nContent-Disposition: form-data; name=\"a%22b\"\r\n\r\n1\r\n" +
		"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"ü \\\"q\\\".txt\"\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x--\r\n"
	got, err := ask(t, "multipart_decode", body, "multipart/form-data; boundary=x")
	want := `[{"name":"a\"b","file":false,"size":1},{"name":"f","file":true,"filename":"ü \"q\".txt","type":"text/plain","size":2}]`
	if err != nil || !strings.HasSuffix(got, want+"1hi") {
		t.Errorf("got %q, %v", got, err)
	}
	for _, c := range [][2]string{
		{body, "multipart/form-data"},
		{body[:len(body)-20], "multipart/form-data; boundary=x"},
		{"--x\r\nA: b\r\n\r\n1\r\n--x--\r\n", "multipart/form-data; boundary=x"},
		{"", "multipart/form-data; boundary=x"},
	} {
		if got, err := ask(t, "multipart_decode", c[0], c[1]); name(err) != "TypeError" && c[0] != "" {
			t.Errorf("%.30q as %s: %q, %v, want a TypeError", c[0], c[1], got, err)
		}
	}
}

func TestFormEncoding(t *testing.T) {
	for _, c := range [][2]string{
		{`[["a","1"],["b c","~*-._é&=+"]]`, "a=1&b+c=%7E*-._%C3%A9%26%3D%2B"},
		{`[]`, ""},
	} {
		if got, err := ask(t, "form_encode", c[0]); err != nil || got != c[1] {
			t.Errorf("%s: %q, %v, want %q", c[0], got, err, c[1])
		}
	}
	for _, c := range [][2]string{
		{"a=1&b+c=%7E%zz&&d&=e&%ff=%E2%82", `[["a","1"],["b c","~%zz"],["d",""],["","e"],["�","�"]]`},
		{"", `[]`},
	} {
		if got, err := ask(t, "form_decode", c[0]); err != nil || got != c[1] {
			t.Errorf("%s: %s, %v, want %s", c[0], got, err, c[1])
		}
	}
}

func TestJSONMemberIsByteForByte(t *testing.T) {
	text := `{"trigger":"http","headers":{"body":"no"}, "body" : {"a": 1.0,  "a":12345678901234567890, "s":"\u0000"} ,"x":1}`
	if got, err := ask(t, "json_member", text, "body"); err != nil || got != `{"a": 1.0,  "a":12345678901234567890, "s":"\u0000"}` {
		t.Errorf("got %s, %v", got, err)
	}
	for _, bad := range []string{"", "[]", "{", `{"a"`, `{"a":1}`, `{"a":tru}`} {
		if got, err := ask(t, "json_member", bad, "body"); err != nil || got != "null" {
			t.Errorf("%q: %q, %v, want null", bad, got, err)
		}
	}
}

// FuzzAsk calls every operation with anything: it fails with an Error, or not at
// all.
func FuzzAsk(f *testing.F) {
	f.Add("key_import", []byte("jwk"), []byte(`{"name":"ECDSA","curve":"P-256"}`), []byte(`{"kty":"EC","crv":"P-256","x":"","y":""}`), []byte{})
	f.Add("decrypt", []byte(`{"name":"AES-CBC","iv":"AAAAAAAAAAAAAAAAAAAAAA=="}`), []byte("0123456789abcdef"), []byte("0123456789abcdef"), []byte{})
	f.Add("encrypt", []byte(`{"name":"AES-CTR","iv":"//////////////////8=","counter":2}`), []byte("0123456789abcdef"), []byte("0123456789"), []byte{})
	f.Add("derive", []byte(`{"name":"HKDF","hash":"SHA-256","salt":"","info":"","bits":256}`), []byte("k"), []byte{}, []byte{})
	f.Add("url_set", []byte("http://a/"), []byte("host"), []byte("[::1]:80"), []byte{})
	f.Add("multipart_decode", []byte("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--"), []byte("multipart/form-data; boundary=x"), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, op string, a, b, c, d []byte) {
		o, ok := operations[op]
		if !ok {
			for op, o = range operations { // any
				break
			}
		}
		// What is slow on purpose is tested elsewhere.
		if bytes.Contains(a, []byte("iterations")) {
			return
		}
		_, _, err := Ask(op, [][]byte{a, b, c, d}[:o.args])
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%s: %T %v", op, err, err)
		}
	})
}
