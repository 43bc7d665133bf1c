package runnel

import (
	"encoding/json"
	"strconv"
)

// Share is which part of a function's successes leaves a log row: 1 is all of them,
// 0 is none. Failures leave one always, and everything is counted.
type Share float64

// UnmarshalJSON reads "all", "failures", which is no success, or a number from 0 to 1.
func (s *Share) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `"all"`:
		*s = 1
		return nil
	case `"failures"`:
		*s = 0
		return nil
	}
	text := string(b)
	if len(b) > 0 && b[0] == '"' {
		_ = json.Unmarshal(b, &text) // what is no string is no number either
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return Errorf(CodeInvalidRequest, "%.40s is not a part of the successes: use \"all\", \"failures\" or a number from 0 to 1", b)
	}
	*s = Share(f)
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (s Share) MarshalJSON() ([]byte, error) {
	switch s {
	case 1:
		return []byte(`"all"`), nil
	case 0:
		return []byte(`"failures"`), nil
	}
	return json.Marshal(float64(s))
}
