package api

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/redact"
)

// part is one field of a multipart form; with a filename it is a file.
type part struct{ name, filename, content string }

func form(t testing.TB, parts ...part) (body *bytes.Buffer, contentType string) {
	t.Helper()
	body = new(bytes.Buffer)
	w := multipart.NewWriter(body)
	for _, p := range parts {
		var dst io.Writer
		var err error
		if p.filename != "" {
			dst, err = w.CreateFormFile(p.name, p.filename)
		} else {
			dst, err = w.CreateFormField(p.name)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(dst, p.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return body, w.FormDataContentType()
}

func uploadOf(t testing.TB, parts ...part) (upload, error) {
	t.Helper()
	body, contentType := form(t, parts...)
	r := httptest.NewRequest("POST", "/admin/v1/functions", body)
	r.Header.Set("Content-Type", contentType)
	return readUpload(httptest.NewRecorder(), r)
}

func TestReadUpload(t *testing.T) {
	t.Parallel()
	meta := part{"metadata", "", `{"name":"f","timeout":2}`}
	file := part{"file", "f.wasm", "\x00asm\x01\x00\x00\x00"}
	for _, parts := range [][]part{{meta, file}, {file, meta}} {
		u, err := uploadOf(t, parts...)
		if err != nil || u.Name != "f" || string(u.File) != file.content || u.Timeout == nil {
			t.Errorf("%+v, %v", u, err)
		}
	}
}

func TestSourceIsToldFromModules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, content string
		script        bool
	}{
		{"index.JS", "export default {}", true},
		{"a.ts", "", true},
		{"f", "export const handler = 1", true},
		{"f.wasm", "export const handler = 1", false},
		{"f.wat", "(module)", false},
		{"f.ts", "\x00asm\x01\x00\x00\x00", false},
		{"f", "\x7fELF\x00", false},
		{"f", "\xff\xfe", false},
		{"f", "", false},
	} {
		u, err := uploadOf(t, part{"metadata", "", `{"name":"f"}`}, part{"file", c.name, c.content})
		if err != nil || u.script() != c.script {
			t.Errorf("%s with %q: script %t, %v", c.name, c.content, u.script(), err)
		}
	}
}

func TestReadUploadRefuses(t *testing.T) {
	t.Parallel()
	meta := part{"metadata", "", `{"name":"f"}`}
	file := part{"file", "f.wasm", "\x00asm"}
	for name, c := range map[string]struct {
		parts []part
		code  runnel.Code
		says  string
	}{
		"no file":          {[]part{meta}, runnel.CodeInvalidRequest, `"file" is missing`},
		"no metadata":      {[]part{file}, runnel.CodeInvalidRequest, `"metadata" is missing`},
		"file twice":       {[]part{meta, file, file}, runnel.CodeInvalidRequest, "twice"},
		"unknown field":    {[]part{meta, file, {"extra", "", "x"}}, runnel.CodeInvalidRequest, `"extra"`},
		"unknown setting":  {[]part{{"metadata", "", `{"name":"f","memory":1}`}, file}, runnel.CodeInvalidRequest, `"memory"`},
		"module too large": {[]part{meta, {"file", "f.wasm", strings.Repeat("x", runnel.MaxModuleSize+1)}}, runnel.CodeTooLarge, "limit"},
		"form too large":   {[]part{{"file", "f.wasm", strings.Repeat("x", runnel.MaxModuleSize+2<<20)}, meta}, runnel.CodeTooLarge, "limit"},
	} {
		_, err := uploadOf(t, c.parts...)
		if err == nil || runnel.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want %s saying %q", name, err, c.code, c.says)
		}
	}
	r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	if _, err := readUpload(httptest.NewRecorder(), r); runnel.CodeOf(err) != runnel.CodeInvalidRequest || err == nil {
		t.Errorf("not a form: error %v, want InvalidRequest", err)
	}
}

// countingReader fails the test when more is read of a body than is needed to
// refuse it.
type countingReader struct{ n int64 }

func (c *countingReader) Read(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

func TestOversizedBodiesAreNotRead(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(http.ResponseWriter, *http.Request) error{
		"deploy": func(w http.ResponseWriter, r *http.Request) error { _, err := readUpload(w, r); return err },
		"call": func(w http.ResponseWriter, r *http.Request) error {
			_, err := readBody(w, r, runnel.MaxPayloadSize)
			return err
		},
	} {
		body := new(countingReader)
		r := httptest.NewRequest("POST", "/", body)
		r.ContentLength = 1 << 40
		err := read(httptest.NewRecorder(), r)
		if explain(err, "").Code != runnel.CodeTooLarge || body.n != 0 {
			t.Errorf("%s: error %v after %d bytes, want TooLarge after 0", name, err, body.n)
		}
		// Without a length, reading stops at the limit.
		r.ContentLength = -1
		if name == "call" {
			err := read(httptest.NewRecorder(), r)
			if explain(err, "").Code != runnel.CodeTooLarge || body.n > 2*runnel.MaxPayloadSize {
				t.Errorf("%s: error %v after %d bytes", name, err, body.n)
			}
		}
	}
}

func TestMasksAreNotWrittenBack(t *testing.T) {
	t.Parallel()
	env := map[string]string{"API_KEY": redact.Mask}
	err := checkConfig(runnel.Config{Environment: &env})
	if err == nil || !strings.Contains(err.Error(), "API_KEY") {
		t.Errorf("error %v, want one that names API_KEY", err)
	}
}

func FuzzReadUpload(f *testing.F) {
	body, contentType := form(f, part{"metadata", "", `{"name":"f"}`}, part{"file", "f.wasm", "\x00asm"})
	f.Add(body.Bytes(), contentType)
	f.Add([]byte("--x\r\n\r\n--x--"), "multipart/form-data; boundary=x")
	f.Add([]byte("--x\r\nContent-Disposition: form-data; name=metadata\r\n\r\n{}"), "multipart/form-data; boundary=x")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		if _, err := readUpload(httptest.NewRecorder(), r); err != nil {
			switch explain(err, "").Code {
			case runnel.CodeInvalidRequest, runnel.CodeInvalidModule, runnel.CodeTooLarge:
			default:
				t.Fatalf("%v", err)
			}
		}
	})
}
