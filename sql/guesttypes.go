package sql

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// OIDs whose text is not simply a JSON string.
const (
	oidBool        = 16
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidOID         = 26
	oidFloat4      = 700
	oidFloat8      = 701
	oidTimestamp   = 1114
	oidTimestampTZ = 1184
)

// maxSafe is the largest integer that every reader of JSON takes as it is.
const maxSafe = 1<<53 - 1

// typeInfo is what is known of a type.
type typeInfo struct {
	name  string
	elem  uint32 // of an array: its elements' type, or their domain's; else 0
	delim byte   // between elements
}

// types remembers the database's types. Its own connection reads them: what a
// function can see does not matter.
type types struct {
	mu    sync.Mutex
	known map[uint32]typeInfo // guarded by mu
}

// lookup returns the types of columns. A type that is gone is named by its OID.
func (t *types) lookup(ctx context.Context, q querier, oids []uint32) (map[uint32]typeInfo, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		known := map[uint32]typeInfo{}
		if err := readTypes(ctx, q, nil, known); err != nil {
			return nil, err
		}
		t.known = known
	}
	var unknown []uint32
	found := make(map[uint32]typeInfo, len(oids))
	for _, oid := range oids {
		if _, ok := t.known[oid]; !ok {
			unknown = append(unknown, oid)
		}
	}
	if unknown != nil {
		if err := readTypes(ctx, q, unknown, t.known); err != nil {
			return nil, err
		}
	}
	for _, oid := range oids {
		info, ok := t.known[oid]
		if !ok {
			info.name = strconv.FormatUint(uint64(oid), 10)
		}
		found[oid] = info
	}
	return found, nil
}

func readTypes(ctx context.Context, q querier, oids []uint32, into map[uint32]typeInfo) error {
	rows, err := q.Query(ctx, typesSQL, oids)
	if err != nil {
		return err
	}
	var (
		oid, elem, base uint32
		name, delim     string
	)
	_, err = pgx.ForEachRow(rows, []any{&oid, &name, &elem, &base, &delim}, func() error {
		if base != 0 {
			elem = base
		}
		into[oid] = typeInfo{name: name, elem: elem, delim: delim[0]}
		return nil
	})
	return err
}

// appendValue writes a value, given in Postgres's text form, as JSON. Whatever has
// no exact counterpart in JSON is a string with that text.
func appendValue(b *bytes.Buffer, text []byte, oid uint32, t typeInfo) {
	switch oid {
	case oidBool:
		if len(text) == 1 && text[0] == 't' {
			b.WriteString("true")
		} else {
			b.WriteString("false")
		}
		return
	case oidInt2, oidInt4, oidOID:
		b.Write(text)
		return
	case oidInt8:
		if v, err := strconv.ParseInt(string(text), 10, 64); err == nil && v <= maxSafe && v >= -maxSafe {
			b.Write(text)
			return
		}
	case oidFloat4, oidFloat8:
		if c := text[max(0, len(text)-1):]; string(c) >= "0" && string(c) <= "9" { // not NaN or Infinity
			b.Write(text)
			return
		}
	case oidJSON, oidJSONB:
		b.Write(text)
		return
	case oidTimestamp, oidTimestampTZ:
		appendString(b, rfc3339(text))
		return
	}
	if t.elem != 0 && appendArray(b, text, t) {
		return
	}
	appendString(b, text)
}

func appendString(b *bytes.Buffer, text []byte) {
	if !slices.ContainsFunc(text, func(c byte) bool { return c < ' ' || c >= 0x7f || c == '"' || c == '\\' }) {
		b.WriteByte('"')
		b.Write(text)
		b.WriteByte('"')
		return
	}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(string(text)) // a string is always encoded
	b.Truncate(b.Len() - 1)    // the newline
}

// rfc3339 writes a timestamp of Postgres's ISO style with a T, and its offset as
// RFC 3339 does. A timestamp without time zone has none. Others (infinity, BC,
// years over 9999, another DateStyle) stay as they are.
func rfc3339(text []byte) []byte {
	s := string(text)
	if len(s) < 19 || s[4] != '-' || s[7] != '-' || s[10] != ' ' || strings.HasSuffix(s, "BC") {
		return text
	}
	day, clock := s[:10], s[11:]
	at := strings.IndexAny(clock, "+-")
	if at < 0 {
		return []byte(day + "T" + clock)
	}
	clock, offset := clock[:at], clock[at:]
	switch {
	case offset == "+00":
		offset = "Z"
	case len(offset) == 3:
		offset += ":00"
	}
	return []byte(day + "T" + clock + offset)
}

// maxArrayDepth is Postgres's own limit of dimensions.
const maxArrayDepth = 6

// appendArray writes an array's text as nested JSON arrays. It is false, and
// nothing is written, for a text that is not an array literal.
func appendArray(b *bytes.Buffer, text []byte, t typeInfo) bool {
	s := text
	if len(s) > 0 && s[0] == '[' { // [0:1]={...}: bounds other than 1
		_, rest, ok := bytes.Cut(s, []byte("="))
		if !ok {
			return false
		}
		s = rest
	}
	start := b.Len()
	n, ok := appendLevel(b, s, t, 1)
	if !ok || n != len(s) {
		b.Truncate(start)
		return false
	}
	return true
}

// appendLevel reads {a,b,...} at the start of s and answers its length.
func appendLevel(b *bytes.Buffer, s []byte, t typeInfo, depth int) (int, bool) {
	if len(s) < 2 || s[0] != '{' || depth > maxArrayDepth {
		return 0, false
	}
	b.WriteByte('[')
	if s[1] == '}' {
		b.WriteByte(']')
		return 2, true
	}
	for i := 1; i < len(s); {
		switch s[i] {
		case '{':
			n, ok := appendLevel(b, s[i:], t, depth+1)
			if !ok {
				return 0, false
			}
			i += n
		case '"':
			element, n, ok := quotedElement(s[i:])
			if !ok {
				return 0, false
			}
			appendValue(b, element, t.elem, typeInfo{})
			i += n
		default:
			n := bytes.IndexAny(s[i:], string(rune(t.delim))+"}")
			if n <= 0 {
				return 0, false
			}
			if element := s[i : i+n]; string(element) == "NULL" {
				b.WriteString("null")
			} else {
				appendValue(b, element, t.elem, typeInfo{})
			}
			i += n
		}
		if i >= len(s) {
			return 0, false
		}
		switch s[i] {
		case t.delim:
			b.WriteByte(',')
			i++
		case '}':
			b.WriteByte(']')
			return i + 1, true
		default:
			return 0, false
		}
	}
	return 0, false
}

// quotedElement reads "..." at the start of s; a backslash takes the next byte as
// it is.
func quotedElement(s []byte) (element []byte, n int, ok bool) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return element, i + 1, true
		case '\\':
			if i++; i == len(s) {
				return nil, 0, false
			}
		}
		element = append(element, s[i])
	}
	return nil, 0, false
}
