package prelude

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// maxArgument bounds each argument of an operation, in bytes: a body of 6 MB and
// its base64.
const maxArgument = 16 << 20

// operation is one synchronous operation. text tells whether its result becomes a
// string in JavaScript rather than a Uint8Array.
type operation struct {
	args int // how many arguments it takes, exactly
	text bool
	run  func(args [][]byte) ([]byte, error)
}

var operations = map[string]operation{}

func register(name string, o operation) { operations[name] = o }

// Error is a failure that JavaScript sees as an exception of that name.
type Error struct {
	Name    string // of the DOMException, or "TypeError"
	Message string
}

func (e *Error) Error() string { return e.Name + ": " + e.Message }

func fail(name, format string, args ...any) error {
	return &Error{name, fmt.Sprintf(format, args...)}
}

// Names returns the names of all operations, sorted.
func Names() []string { return slices.Sorted(maps.Keys(operations)) }

// Ask answers a synchronous operation of JavaScript, on its thread. Strings arrive
// as UTF-8, bytes as they are, numbers as decimal text; nothing is written to them,
// and the result shares no memory with them. It becomes a string when text is true
// and a Uint8Array otherwise.
//
// It needs no context: each operation is bounded by the size of its arguments, and
// takes at most some ten milliseconds for each megabyte.
func Ask(op string, args [][]byte) (result []byte, text bool, err error) {
	o, ok := operations[op]
	switch {
	case !ok:
		return nil, false, fail("NotSupportedError", "the host has no operation %.40q", op)
	case len(args) != o.args:
		return nil, false, fail("TypeError", "%s takes %d arguments, not %d", op, o.args, len(args))
	}
	for _, a := range args {
		if len(a) > maxArgument {
			return nil, false, fail("QuotaExceededError", "%s takes at most %d MB", op, maxArgument>>20)
		}
	}
	if result, err = o.run(args); err != nil {
		return nil, false, err
	}
	return result, o.text, err
}

func init() {
	register("json_member", operation{args: 2, text: true, run: jsonMember})
}

// jsonMember(text, name) returns a member of an object as it stands in its text.
func jsonMember(args [][]byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(args[0]))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return []byte("null"), nil
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			break
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			break
		}
		if key == string(args[1]) {
			return value, nil
		}
	}
	return []byte("null"), nil
}
