package runnel_test

import (
	"encoding/json"
	"testing"

	"github.com/runnelhq/runnel"
)

func TestShares(t *testing.T) {
	for in, want := range map[string]runnel.Share{`"all"`: 1, `"failures"`: 0, `0`: 0, `1`: 1, `0.25`: 0.25, `"0.1"`: 0.1, `1e-3`: 0.001} {
		var s runnel.Share
		if err := json.Unmarshal([]byte(in), &s); err != nil || s != want {
			t.Errorf("%s: %v, %v", in, s, err)
			continue
		}
		b, err := json.Marshal(s)
		var back runnel.Share
		if err != nil || json.Unmarshal(b, &back) != nil || back != s {
			t.Errorf("%s becomes %s, %v", in, b, err)
		}
	}
	for _, in := range []string{`"none"`, `""`, `-0.1`, `1.1`, `true`, `{}`, `[]`, `"NaN"`, `1e999`} {
		var s runnel.Share
		isRefused(t, in, json.Unmarshal([]byte(in), &s))
	}
}
