package redact

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Mask stands where a secret was.
const Mask = "***REDACTED***"

// MinLength is the shortest value, in characters, that is masked by value. A
// shorter one would also mask ordinary words; it is masked by its key only.
const MinLength = 8

var sensitive = [...]string{"API_KEY", "SECRET", "PASSWORD", "TOKEN"}

// SensitiveKey tells whether the value of an environment key is a secret: the
// name contains API_KEY, SECRET, PASSWORD or TOKEN, in any case.
func SensitiveKey(key string) bool {
	key = strings.ToUpper(key)
	for _, s := range sensitive {
		if strings.Contains(key, s) {
			return true
		}
	}
	return false
}

// Environment returns a copy of env in which the value of every sensitive key
// is Mask. It is never nil.
func Environment(env map[string]string) map[string]string {
	out := make(map[string]string, len(env))
	for k, v := range env {
		if SensitiveKey(k) {
			v = Mask
		}
		out[k] = v
	}
	return out
}

// Unmaskable returns, sorted, the sensitive keys whose value is not empty and
// too short to be masked by value: such a value is readable wherever the
// function writes it. Tell the owner at deploy.
func Unmaskable(env map[string]string) []string {
	var keys []string
	for k, v := range env {
		if v != "" && SensitiveKey(k) && !maskable(v) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func maskable(value string) bool { return utf8.RuneCountInString(value) >= MinLength }

// Redactor removes a fixed set of values from text. It is cheap to make (one
// per invocation), and safe for concurrent use.
type Redactor struct {
	find    matcher
	escapes []escape
}

// New returns a Redactor of values. Those shorter than MinLength are ignored.
func New(values ...string) *Redactor {
	r := &Redactor{find: newMatcher(patterns(values)), escapes: []escape{backslash, percent, entity}}
	if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, " ") }) {
		r.escapes = append(r.escapes, query)
	}
	return r
}

// ForEnvironment returns a Redactor of the values of env's sensitive keys.
func ForEnvironment(env map[string]string) *Redactor {
	var values []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		if SensitiveKey(k) {
			values = append(values, env[k])
		}
	}
	return New(values...)
}

// String returns s with every secret replaced by Mask. Overlapping and touching
// secrets become one Mask.
func (r *Redactor) String(s string) string {
	spans := r.spans([]byte(s))
	if len(spans) == 0 {
		return s
	}
	return string(replace(s, spans))
}

// spans returns where secrets are in text, in order and apart from each other.
func (r *Redactor) spans(text []byte) []span {
	if len(text) < r.find.shortest || r.find.empty() {
		return nil
	}
	var found []span
	plain := view{text: text}
	found = r.find.in(plain, found)
	for _, first := range r.escapes {
		once, ok := plain.unescape(first)
		if !ok {
			continue
		}
		found = r.find.in(once, found)
		for _, second := range r.escapes {
			if twice, ok := once.unescape(second); ok {
				found = r.find.in(twice, found)
			}
		}
	}
	return merge(found)
}
