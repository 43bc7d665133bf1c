package api

import (
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/runnelhq/runnel"
)

// maxMetadata bounds the JSON of a management request. An environment may be
// 128 KB, and escaping can make six bytes of one.
const maxMetadata = 1 << 20

// decodeStrict reads one JSON object into v and refuses fields v does not have,
// so that a misspelt setting is not silently left out. The error, unless the
// reader failed, is CodeInvalidRequest and names the field.
func decodeStrict(r io.Reader, what string, v any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return decodeError(what, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		if err == nil || isSyntax(err) {
			return runnel.Errorf(runnel.CodeInvalidRequest, "%s has something after its JSON object: send one object", what)
		}
		return decodeError(what, err)
	}
	return nil
}

func decodeError(what string, err error) error {
	var (
		ours     *runnel.Error
		mistyped *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &mistyped):
		field := mistyped.Field
		for field != "" && field[0] >= 'A' && field[0] <= 'Z' {
			_, field, _ = strings.Cut(field, ".") // a type of ours that the field is in
		}
		if field == "" {
			return runnel.Errorf(runnel.CodeInvalidRequest, "%s is a JSON %s: send an object", what, mistyped.Value)
		}
		return runnel.Errorf(runnel.CodeInvalidRequest, "field %.80q of %s cannot be a JSON %s", field, what, mistyped.Value)
	case errors.Is(err, io.EOF):
		return runnel.Errorf(runnel.CodeInvalidRequest, "%s is empty: send a JSON object", what)
	case isSyntax(err):
		return runnel.Errorf(runnel.CodeInvalidRequest, "%s is not valid JSON (%v): correct it", what, err)
	}
	// encoding/json has no type for this one.
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return runnel.Errorf(runnel.CodeInvalidRequest, "%s has a field that is not known here: %.80s; remove it or correct its name", what, field)
	}
	return err
}

func isSyntax(err error) bool {
	return errors.As(err, new(*json.SyntaxError)) || errors.Is(err, io.ErrUnexpectedEOF)
}
