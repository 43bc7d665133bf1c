package prelude

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

const maxFormParts = 10_000

func init() {
	register("multipart_decode", operation{args: 2, run: multipartDecode})
}

type formPart struct {
	Name     string `json:"name"`
	File     bool   `json:"file"`
	Filename string `json:"filename,omitempty"`
	Type     string `json:"type,omitempty"`
	Size     int    `json:"size"`
}

// multipartDecode(body, content type) returns the parts of a form: the length of a
// JSON array of formPart, 4 bytes little-endian, the array, and the data of the
// parts one after the other.
func multipartDecode(args [][]byte) ([]byte, error) {
	bad := func(why string) error { return fail("TypeError", "the body is not valid multipart/form-data: %s", why) }
	_, params, err := mime.ParseMediaType(string(args[1]))
	if err != nil || params["boundary"] == "" {
		return nil, bad("its content type has no boundary")
	}
	if !bytes.Contains(args[0], []byte("--"+params["boundary"]+"--")) {
		return nil, bad("it ends early")
	}
	parts := []formPart{}
	var data bytes.Buffer
	for r := multipart.NewReader(bytes.NewReader(args[0]), params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, bad("it ends early")
		}
		if len(parts) == maxFormParts {
			return nil, bad("it has too many parts")
		}
		name, filename, file, ok := disposition(p.Header.Get("Content-Disposition"))
		if !ok {
			return nil, bad("a part has no name")
		}
		n, err := io.Copy(&data, p)
		if err != nil {
			return nil, bad("it ends early")
		}
		part := formPart{Name: name, File: file, Filename: filename, Size: int(n)}
		if file {
			part.Type = p.Header.Get("Content-Type")
			if part.Type == "" {
				part.Type = "text/plain"
			}
		}
		parts = append(parts, part)
	}
	head, err := json.Marshal(parts)
	if err != nil {
		return nil, err
	}
	out := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(head)+data.Len()), uint32(len(head)))
	return append(append(out, head...), data.Bytes()...), nil
}

// disposition reads a Content-Disposition as browsers write it: raw UTF-8 in quotes,
// with %22, %0D and %0A for what cannot stand there.
func disposition(h string) (name, filename string, file, ok bool) {
	kind, rest, _ := strings.Cut(h, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "form-data") {
		return "", "", false, false
	}
	unescape := strings.NewReplacer("%22", `"`, "%0D", "\r", "%0A", "\n", "%0d", "\r", "%0a", "\n")
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimLeft(rest, "; \t") {
		key, value, found := strings.Cut(rest, "=")
		if !found {
			break
		}
		if strings.HasPrefix(value, `"`) {
			value, rest = quotedValue(value[1:])
			value = unescape.Replace(value)
		} else {
			value, rest, _ = strings.Cut(value, ";")
		}
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "name":
			name, ok = strings.ToValidUTF8(value, "\uFFFD"), true
		case "filename":
			filename, file = strings.ToValidUTF8(value, "\uFFFD"), true
		}
	}
	return name, filename, file, ok
}

// quotedValue returns what stands before the closing quote, and what follows it.
// Older clients write \" for a quote.
func quotedValue(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}
