package runnel

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Flow is how a function's attempts are let through, on all workers together.
type Flow struct {
	// MaxConcurrency is how many attempts may run at once; 0: any number.
	MaxConcurrency int `json:"max_concurrency,omitempty"`
	// ConcurrencyKey is a field of the body, payload or row, such as "tenant.id".
	// Of the invocations that have it, those with the same value share
	// MaxConcurrencyPerKey.
	ConcurrencyKey       string `json:"concurrency_key,omitempty"`
	MaxConcurrencyPerKey int    `json:"max_concurrency_per_key,omitempty"`
	// Rate is how many attempts may start in a time; zero: any number.
	Rate Rate `json:"rate,omitzero"`
	// Priority is that of invocations which say none: 1 (first) to 4; 0: 1.
	Priority int `json:"priority,omitempty"`
	// Paused keeps invocations waiting. Unlike those of a disabled function they
	// are not lost to the function: they run when it goes on.
	Paused bool `json:"paused"`
}

// FlowConfig sets a Flow. A nil field is left as it is.
type FlowConfig struct {
	MaxConcurrency       *int    `json:"max_concurrency"`
	ConcurrencyKey       *string `json:"concurrency_key"`
	MaxConcurrencyPerKey *int    `json:"max_concurrency_per_key"`
	Rate                 *Rate   `json:"rate"`
	Priority             *int    `json:"priority"`
	Paused               *bool   `json:"paused"`
}

const maxConcurrency = 1 << 20

var keyPath = regexp.MustCompile(`^[^.\x00{}"\\]+(\.[^.\x00{}"\\]+)*$`)

func (c FlowConfig) check() error {
	if c.MaxConcurrency != nil && (*c.MaxConcurrency < 0 || *c.MaxConcurrency > maxConcurrency) {
		return Errorf(CodeInvalidRequest, "max_concurrency %d is out of range: use 1 to %d, or 0 for no limit", *c.MaxConcurrency, maxConcurrency)
	}
	if k := c.ConcurrencyKey; k != nil && *k != "" && (len(*k) > 256 || !keyPath.MatchString(*k)) {
		return Errorf(CodeInvalidRequest, "concurrency_key %.80q is not a field: use names with dots between them, such as tenant.id, or \"\" for none", *k)
	}
	if c.MaxConcurrencyPerKey != nil && (*c.MaxConcurrencyPerKey < 0 || *c.MaxConcurrencyPerKey > maxConcurrency) {
		return Errorf(CodeInvalidRequest, "max_concurrency_per_key %d is out of range: use 1 to %d", *c.MaxConcurrencyPerKey, maxConcurrency)
	}
	if c.MaxConcurrencyPerKey != nil && *c.MaxConcurrencyPerKey > 0 && c.ConcurrencyKey != nil && *c.ConcurrencyKey == "" {
		return Errorf(CodeInvalidRequest, "max_concurrency_per_key needs a concurrency_key: say which field, such as \"tenant.id\"")
	}
	if c.Priority != nil && (*c.Priority < 0 || *c.Priority > 4) {
		return Errorf(CodeInvalidRequest, "priority %d is out of range: use 1 (first) to 4, or 0 for the default", *c.Priority)
	}
	return nil
}

// Rate is a token bucket: on average PerSecond attempts start in a second, and up
// to Burst at once after a quiet time. The zero value is no limit.
type Rate struct {
	PerSecond float64 `json:"per_second"`
	Burst     int     `json:"burst"`
}

// What a rate may be: from one a day to more than workers can start.
const (
	minRate = 1.0 / 86400
	maxRate = 1e6
)

var rateText = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*/\s*(s|sec|second|m|min|minute|h|hour|d|day)$`)

// UnmarshalJSON reads "10/s", "600/m", "100/h" or "5/d", an object with one of
// per_second, per_minute, per_hour and, if it is to be more than a second's worth,
// burst; and "", which is no limit.
func (r *Rate) UnmarshalJSON(b []byte) error {
	wrong := func() error {
		return Errorf(CodeInvalidRequest, "%.80s is not a rate: use \"10/s\", \"600/m\" or {\"per_second\": 10, \"burst\": 20}, with 1 per day to 1000000 per second and a burst of 1 to 1000000, or \"\" for no limit", b)
	}
	var text string
	if json.Unmarshal(b, &text) == nil {
		if text == "" {
			*r = Rate{}
			return nil
		}
		m := rateText.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
		if m == nil {
			return wrong()
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return wrong()
		}
		return r.set(n/map[byte]float64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}[m[2][0]], nil, wrong)
	}
	var o struct {
		PerSecond *float64 `json:"per_second"`
		PerMinute *float64 `json:"per_minute"`
		PerHour   *float64 `json:"per_hour"`
		Burst     *int     `json:"burst"`
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return wrong()
	}
	switch {
	case o.PerSecond != nil && o.PerMinute == nil && o.PerHour == nil:
		return r.set(*o.PerSecond, o.Burst, wrong)
	case o.PerMinute != nil && o.PerSecond == nil && o.PerHour == nil:
		return r.set(*o.PerMinute/60, o.Burst, wrong)
	case o.PerHour != nil && o.PerSecond == nil && o.PerMinute == nil:
		return r.set(*o.PerHour/3600, o.Burst, wrong)
	}
	return wrong()
}

func (r *Rate) set(perSecond float64, burst *int, wrong func() error) error {
	n := int(max(1, math.Ceil(min(perSecond, maxRate))))
	if burst != nil {
		n = *burst
	}
	if !(perSecond >= minRate*0.999 && perSecond <= maxRate) || n < 1 || n > maxRate {
		return wrong()
	}
	*r = Rate{perSecond, n}
	return nil
}
