package runnel

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of what can be deployed. They are the contract's, section 2.
const (
	DefaultTimeout = 10 * time.Second
	MinTimeout     = time.Millisecond
	MaxTimeout     = 300 * time.Second

	DefaultMemory = 128 << 20 // bytes
	MinMemory     = 1 << 20
	MaxMemory     = 512 << 20

	MaxModuleSize  = 10 << 20  // bytes of a deployed module
	MaxPayloadSize = 6 << 20   // bytes of a request body, and of a result
	MaxLogSize     = 256 << 10 // bytes of log messages kept per invocation
	MaxKeptResult  = 256 << 10 // bytes of a result kept in its log row
	MaxAttempts    = 25
	MaxEnvironment = 128 << 10 // bytes of all keys and values of an environment
)

// Function is a deployed function: its configuration and the version that is
// current. Code lives in versions, so that a deploy or a rollback moves a pointer.
type Function struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Description  string            `json:"description"`
	Version      int               `json:"version"`   // current version
	WasmHash     string            `json:"wasm_hash"` // hex sha256 of the current version's module
	Timeout      time.Duration     `json:"-"`
	MaxMemory    int64             `json:"max_memory"` // bytes
	Environment  map[string]string `json:"environment"`
	Sealed       map[string][]byte `json:"-"` // more of the environment, as it is stored: encrypted
	CanBypassRLS bool              `json:"can_bypass_rls"`
	AllowedHosts []string          `json:"allowed_hosts"`
	MaxAttempts  int               `json:"max_attempts"` // 0: by trigger
	Backoff      Backoff           `json:"backoff"`
	VerifyJWT    bool              `json:"verify_jwt"`
	Enabled      bool              `json:"enabled"`
	CreatedAt    time.Time         `json:"created_at"`
	UpdatedAt    time.Time         `json:"updated_at"`
	Flow
	LogSuccess Share `json:"log_success"` // of successes, those that leave a log row
}

// Version is one immutable deploy of a function.
type Version struct {
	Version   int       `json:"version"`
	WasmHash  string    `json:"wasm_hash"`
	Kind      string    `json:"kind"` // "command", "reactor", "extism" or "javascript"
	Size      int64     `json:"size"` // bytes
	CreatedAt time.Time `json:"created_at"`
	Current   bool      `json:"current"`
}

// Config is what a deploy or a PATCH may set. A nil field is left as it is (or
// takes the default on the first deploy).
type Config struct {
	Description  *string            `json:"description"`
	Timeout      *Duration          `json:"timeout"`
	MaxMemory    *Bytes             `json:"max_memory"`
	Environment  *map[string]string `json:"environment"`
	CanBypassRLS *bool              `json:"can_bypass_rls"`
	AllowedHosts *[]string          `json:"allowed_hosts"`
	MaxAttempts  *int               `json:"max_attempts"`
	Backoff      *Backoff           `json:"backoff"`
	VerifyJWT    *bool              `json:"verify_jwt"`
	Enabled      *bool              `json:"enabled"`
	FlowConfig
	LogSuccess *Share `json:"log_success"`
}

var functionName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// CheckName tells whether name can be a function's name.
func CheckName(name string) error {
	if !functionName.MatchString(name) {
		return Errorf(CodeInvalidRequest, "function name %.80q is not valid: use 1 to 64 of a-z, 0-9, _ and -, starting with a letter", name)
	}
	if name == "invoke" {
		return Errorf(CodeInvalidRequest, `function name "invoke" is reserved for the path /functions/v1/invoke/: choose another`)
	}
	return nil
}

var envKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// Check reports the first field that is out of bounds.
func (c Config) Check() error {
	if c.Timeout != nil {
		if d := time.Duration(*c.Timeout); d < MinTimeout || d > MaxTimeout {
			return Errorf(CodeInvalidRequest, "timeout %s is out of range: use %s to %s", d, MinTimeout, MaxTimeout)
		}
	}
	if c.MaxMemory != nil {
		if b := int64(*c.MaxMemory); b < MinMemory || b > MaxMemory {
			return Errorf(CodeInvalidRequest, "max_memory of %d bytes is out of range: use 1MB to 512MB", b)
		}
	}
	if c.MaxAttempts != nil && (*c.MaxAttempts < 0 || *c.MaxAttempts > MaxAttempts) {
		return Errorf(CodeInvalidRequest, "max_attempts %d is out of range: use 1 to %d, or 0 for the trigger's default", *c.MaxAttempts, MaxAttempts)
	}
	if c.Backoff != nil {
		if err := c.Backoff.check(); err != nil {
			return err
		}
	}
	if err := c.FlowConfig.check(); err != nil {
		return err
	}
	if c.Description != nil && (len(*c.Description) > 4096 || strings.ContainsRune(*c.Description, 0)) {
		return Errorf(CodeInvalidRequest, "description is longer than 4096 bytes or contains a NUL byte: shorten it")
	}
	if c.Environment != nil {
		total := 0
		for _, k := range slices.Sorted(maps.Keys(*c.Environment)) {
			v := (*c.Environment)[k]
			if !envKey.MatchString(k) {
				return Errorf(CodeInvalidRequest, "environment key %.80q is not valid: use letters, digits and _, not starting with a digit", k)
			}
			if strings.ContainsRune(v, 0) {
				return Errorf(CodeInvalidRequest, "the value of environment key %s contains a NUL byte: encode it, for example as base64", k)
			}
			total += len(k) + len(v)
		}
		if total > MaxEnvironment {
			return Errorf(CodeInvalidRequest, "environment is %d bytes: keep all keys and values together under %d", total, MaxEnvironment)
		}
	}
	if c.AllowedHosts != nil {
		for _, h := range *c.AllowedHosts {
			if !allowedHost.MatchString(h) {
				return Errorf(CodeInvalidRequest, "allowed_hosts entry %.80q is not a host: use a name such as api.example.com or *.example.com, without scheme, port or path", h)
			}
		}
	}
	return nil
}

var allowedHost = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// Duration reads a JSON number as seconds and a string as Go writes durations
// ("750ms", "1m30s").
type Duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		v, err := time.ParseDuration(s)
		if err != nil {
			return Errorf(CodeInvalidRequest, "%.40q is not a duration: use a number of seconds, or a string such as \"750ms\"", s)
		}
		*d = Duration(v)
		return nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > 1e9 {
		return Errorf(CodeInvalidRequest, "%.40s is not a duration: use a number of seconds, or a string such as \"750ms\"", b)
	}
	*d = Duration(math.Round(f * float64(time.Second)))
	return nil
}

// Bytes reads a JSON number as bytes and a string such as "128MB", where KB,
// MB and GB are powers of 1024 (so are KiB, MiB and GiB).
type Bytes int64

// UnmarshalJSON implements json.Unmarshaler.
func (n *Bytes) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		v, err := ParseBytes(s)
		if err != nil {
			return err
		}
		*n = Bytes(v)
		return nil
	}
	// JSON writers that know only floating point write 1048576.0, or 1.048576e6.
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil || v != math.Trunc(v) || math.Abs(v) > 1<<53 {
		return Errorf(CodeInvalidRequest, "%.40s is not a size: use a whole number of bytes, or a string such as \"128MB\"", b)
	}
	*n = Bytes(v)
	return nil
}

var byteUnits = []struct {
	suffix string
	shift  uint
}{{"kib", 10}, {"mib", 20}, {"gib", 30}, {"kb", 10}, {"mb", 20}, {"gb", 30}, {"k", 10}, {"m", 20}, {"g", 30}, {"b", 0}, {"", 0}}

// ParseBytes reads "128MB", "1gib" or "65536".
func ParseBytes(s string) (int64, error) {
	t := strings.ToLower(strings.TrimSpace(s))
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(t, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || v < 0 || v > math.MaxInt64>>u.shift {
			break
		}
		return v << u.shift, nil
	}
	return 0, Errorf(CodeInvalidRequest, "%.40q is not a size: use a whole number of bytes, or a string such as \"128MB\"", s)
}

// MarshalJSON writes the timeout in seconds, as the contract reads it, and null for
// what is left to the default.
func (f Function) MarshalJSON() ([]byte, error) {
	type plain Function
	return json.Marshal(struct {
		plain
		Timeout        float64 `json:"timeout"`
		MaxAttempts    *int    `json:"max_attempts"`
		MaxConcurrency *int    `json:"max_concurrency"`
	}{plain(f), f.Timeout.Seconds(), given(f.MaxAttempts), given(f.MaxConcurrency)})
}

// given is nil for a zero value, which JSON has as null.
func given[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// String names the function and its version, for messages and process logs.
func (f Function) String() string { return fmt.Sprintf("%s@%d", f.Name, f.Version) }
