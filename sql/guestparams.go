package sql

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// OIDs that decide how a JSON value is written as a parameter.
const (
	oidJSON       = 114
	oidJSONArray  = 199
	oidJSONB      = 3802
	oidJSONBArray = 3807
)

// maxPlainExponent bounds the zeros that 1e3 is written out with.
const maxPlainExponent = 40

// structured tells whether a parameter is an array or an object: how that is
// written depends on the parameter's type, which only the server knows.
func structured(params []json.RawMessage) bool {
	for _, p := range params {
		if len(p) > 0 && (p[0] == '[' || p[0] == '{') {
			return true
		}
	}
	return false
}

// encodeParam writes a JSON value as the text of a parameter; nil is NULL. A
// string is the text itself, so it carries whatever type Postgres can read: big
// numbers, dates, enums, composites. An array becomes an array, except for a json
// parameter. delim is what the parameter's type puts between elements.
func encodeParam(raw json.RawMessage, oid uint32, delim byte) ([]byte, *guestError) {
	switch raw[0] {
	case 'n':
		return nil, nil
	case '"':
		return unquote(raw)
	case '[':
		if oid == oidJSON || oid == oidJSONB {
			return raw, nil
		}
		var b bytes.Buffer
		err := encodeArray(&b, raw, oid == oidJSONArray || oid == oidJSONBArray, delim)
		return b.Bytes(), err
	case '{', 't', 'f':
		return raw, nil
	}
	return plainNumber(raw), nil
}

func unquote(raw json.RawMessage) ([]byte, *guestError) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, badParams()
	}
	if strings.IndexByte(s, 0) >= 0 {
		return nil, &guestError{Code: guestQueryError, SQLState: "22021", Message: "a text parameter contains a NUL character, which Postgres cannot store: remove it, or pass bytea as \\x and hexadecimal digits"}
	}
	return []byte(s), nil
}

// encodeArray writes an array literal. Elements of a json array are JSON.
func encodeArray(b *bytes.Buffer, raw json.RawMessage, ofJSON bool, delim byte) *guestError {
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return badParams()
	}
	b.WriteByte('{')
	for i, e := range elements {
		if i > 0 {
			b.WriteByte(delim)
		}
		e = bytes.TrimSpace(e)
		if e[0] == '[' && !ofJSON {
			if err := encodeArray(b, e, false, delim); err != nil {
				return err
			}
			continue
		}
		text := []byte(e)
		if !ofJSON {
			var err *guestError
			if text, err = encodeParam(e, 0, delim); err != nil {
				return err
			}
		} else if e[0] == 'n' {
			text = nil
		}
		if text == nil {
			b.WriteString("NULL")
			continue
		}
		b.WriteByte('"')
		for _, c := range text {
			if c == '"' || c == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return nil
}

// plainNumber writes 1e3 as 1000: JSON does not tell integers from other numbers,
// and Postgres does not read an integer with an exponent.
func plainNumber(raw json.RawMessage) []byte {
	mantissa, exponent, found := strings.Cut(strings.ToLower(string(raw)), "e")
	if !found {
		return raw
	}
	e, err := strconv.Atoi(exponent)
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if err != nil || e < len(fraction) || e > maxPlainExponent {
		return raw
	}
	return []byte(whole + fraction + strings.Repeat("0", e-len(fraction)))
}

func badParams() *guestError {
	return &guestError{Code: guestInvalidRequest, Message: "params must be a JSON array, one element for each parameter of the SQL"}
}
