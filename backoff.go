package runnel

import (
	"encoding/json"
	"math/rand/v2"
	"time"
)

// Bounds of a Backoff.
const (
	DefaultBackoff    = time.Second
	DefaultBackoffMax = 5 * time.Minute
	MinBackoff        = 100 * time.Millisecond
	MaxBackoff        = 24 * time.Hour
)

// Backoff is how long a function's failed invocations wait for their next attempt:
// Initial after the first, doubled after each, at most Max. A zero field means the
// default.
type Backoff struct {
	Initial Duration `json:"initial"`
	Max     Duration `json:"max"`
}

// WithDefaults fills in what is zero.
func (b Backoff) WithDefaults() Backoff {
	if b.Initial == 0 {
		b.Initial = Duration(DefaultBackoff)
		if b.Max > 0 {
			b.Initial = min(b.Initial, b.Max)
		}
	}
	if b.Max == 0 {
		b.Max = max(Duration(DefaultBackoffMax), b.Initial)
	}
	return b
}

func (b Backoff) check() error {
	b = b.WithDefaults()
	for _, d := range []Duration{b.Initial, b.Max} {
		if time.Duration(d) < MinBackoff || time.Duration(d) > MaxBackoff {
			return Errorf(CodeInvalidRequest, "backoff %s is out of range: use %s to %s", time.Duration(d), MinBackoff, MaxBackoff)
		}
	}
	if b.Initial > b.Max {
		return Errorf(CodeInvalidRequest, "backoff initial %s is over its max %s: raise max, or lower initial", time.Duration(b.Initial), time.Duration(b.Max))
	}
	return nil
}

// Pause is how long to wait after attempt n, counted from 1: give or take a fifth,
// so that invocations that failed together do not come back together.
func (b Backoff) Pause(n int) time.Duration {
	b = b.WithDefaults()
	d, most := time.Duration(b.Initial), time.Duration(b.Max)
	for i := 1; i < n && d < most; i++ {
		d *= 2
	}
	return time.Duration(float64(min(d, most)) * (0.8 + 0.4*rand.Float64()))
}

// MarshalJSON writes the durations as they can be read again: "1s".
func (b Backoff) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"initial": time.Duration(b.Initial).String(), "max": time.Duration(b.Max).String()})
}
