package redact

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
)

// JSON returns the JSON text b with every secret replaced by Mask, in keys too.
// It stays valid JSON, and what holds no secret stays byte for byte as it was.
// A number that contains a secret becomes the string Mask; so does the smallest
// array or object whose own text, across its members, contains one. When b is
// not valid JSON it is treated as String does.
func (r *Redactor) JSON(b []byte) []byte {
	if r.find.empty() {
		return bytes.Clone(b)
	}
	if !json.Valid(b) {
		return replace(b, r.spans(b))
	}
	edits := r.edits(b)
	out := make([]byte, 0, len(b)+len(edits)*(len(Mask)+2))
	at := 0
	for _, e := range edits {
		if e.from < at {
			continue // inside a value that was replaced as a whole
		}
		out = append(out, b[at:e.from]...)
		if e.value {
			out = append(out, '"')
		}
		out = append(out, Mask...)
		if e.value {
			out = append(out, '"')
		}
		at = e.to
	}
	return append(out, b[at:]...)
}

// edit is a range of JSON text to be replaced by Mask: a whole value, which
// needs quotes around the Mask, or a part of what a string's quotes enclose.
type edit struct {
	span
	value bool
}

// edits returns what to replace in the valid JSON text b, in order; where one
// edit is inside another, the outer comes first.
func (r *Redactor) edits(b []byte) []edit {
	var (
		edits   []edit
		open    []int                                                   // where the arrays and objects around i begin
		plain   = merge(r.find.in(view{text: b}, nil))                  // secrets as they are in the text, still ahead
		across  []span                                                  // those behind that are not inside one token
		enclose = func(s span) { edits = append(edits, edit{s, true}) } // replace a value
	)
	for i := 0; i < len(b); {
		token := span{i, i + 1}
		switch c := b[i]; c {
		case '"':
			token.to = endOfString(b, i)
			inner := span{i + 1, token.to - 1}
			for _, s := range r.inString(b[inner.from:inner.to]) {
				edits = append(edits, edit{span{inner.from + s.from, inner.from + s.to}, false})
			}
		case '{', '[':
			open = append(open, i)
		case '}', ']', ',', ':', ' ', '\t', '\r', '\n':
		default: // a number, true, false or null
			for token.to < len(b) && bytes.IndexByte([]byte(",]} \t\r\n"), b[token.to]) < 0 {
				token.to++
			}
			if len(r.spans(b[i:token.to])) > 0 {
				enclose(token)
			}
		}
		for len(plain) > 0 && plain[0].from < token.to {
			switch s := plain[0]; {
			case b[i] == '"' && s.to <= token.to:
				if s.from == i || s.to == token.to { // with a quote
					edits = append(edits, edit{span{i + 1, token.to - 1}, false})
				}
			case s.to > token.to:
				across = append(across, s)
			}
			plain = plain[1:]
		}
		if c := b[i]; c == '}' || c == ']' {
			value := span{open[len(open)-1], token.to}
			open = open[:len(open)-1]
			contains := false
			for n := len(across) - 1; n >= 0 && value.from <= across[n].from && across[n].to <= value.to; n-- {
				across = across[:n]
				contains = true
			}
			if contains {
				enclose(value)
			}
		}
		i = token.to
	}
	if len(across) > 0 { // with white space around the outermost value
		enclose(span{0, len(b)})
	}
	slices.SortFunc(edits, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to))
	})
	return edits
}

// inString returns where secrets are in what a JSON string's quotes enclose,
// never a part of an escape.
func (r *Redactor) inString(text []byte) []span {
	if len(text) < r.find.shortest {
		return nil
	}
	plain := view{text: text}
	v, escaped := plain.unescape(backslash)
	if !escaped {
		return r.spans(text)
	}
	var found []span
	for _, s := range r.spans(v.text) {
		found = append(found, v.source(s))
	}
	for _, s := range r.find.in(plain, nil) { // a value that looks like an escaped text
		found = append(found, v.whole(s))
	}
	return merge(found)
}

// endOfString returns the position after the string that begins at i.
func endOfString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}
