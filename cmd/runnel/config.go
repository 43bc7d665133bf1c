package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/runnelhq/runnel"
)

// setting is a flag of a deploy and the field of the function's configuration that it
// sets. Whatever a runnel.json can say has one.
type setting struct {
	flag    string
	field   string // with a dot: a field of an object
	read    reader
	usage   string
	example string   // what could stand after the flag
	values  []string // that the shell's completion offers
}

// reader makes a field of a flag's text. had is what the flag, given before, made.
type reader func(text string, had json.RawMessage) (any, error)

var configurable = []setting{
	{"description", "description", asText, "what it does", `"resizes pictures"`, nil},
	{"timeout", "timeout", asNumberOrText, "how long it may run, 1ms to 300s; default 10s", "750ms", []string{"1s", "10s", "60s"}},
	{"max-memory", "max_memory", asText, "memory it may use, 1MB to 512MB; default 128MB", "64MB", []string{"32MB", "64MB", "128MB", "256MB", "512MB"}},
	{"env", "environment", asPair, "environment variable, KEY=VALUE; all of them together replace the environment", "CURRENCY=EUR", nil},
	{"allowed-hosts", "allowed_hosts", asList, `hosts it may fetch from, with commas between, or "" for none`, "api.example.com,*.example.org", nil},
	{"can-bypass-rls", "can_bypass_rls", asBool, "its queries see every row, whoever calls it", "false", truth},
	{"verify-jwt", "verify_jwt", asBool, "HTTP calls need a valid token; default true", "false", truth},
	{"enabled", "enabled", asBool, "it can be called; default true", "false", truth},
	{"snapshot", "snapshot", asBool, "initialise a reactor (Go's c-shared, C, Rust) once, now, and begin each call there; scripts always do", "true", truth},
	{"max-attempts", "max_attempts", asNumber, "how often an invocation is tried, 1 to 25; 0: by trigger", "3", nil},
	{"backoff", "backoff.initial", asNumberOrText, "how long a failed invocation waits for its second attempt, then twice as long, and so on; default 1s", "2s", nil},
	{"backoff-max", "backoff.max", asNumberOrText, "and how long at most; default 5m", "10m", nil},
	{"max-concurrency", "max_concurrency", asNumber, "attempts that may run at once on all workers; 0: any number", "4", nil},
	{"concurrency-key", "concurrency_key", asText, "a field of the body, payload or row whose values are limited one by one", "tenant.id", nil},
	{"max-concurrency-per-key", "max_concurrency_per_key", asNumber, "attempts that may run at once for each value of the key; 0: 1", "2", nil},
	{"rate", "rate", asText, `attempts that may start in a time, or "" for any number`, "600/m", []string{"10/s", "600/m", "1000/h"}},
	{"burst", "rate.burst", asBurst, "attempts that may start at once after a quiet time; default a second's worth", "20", nil},
	{"priority", "priority", asNumber, "of invocations that say none: 1 runs first, 4 last", "2", []string{"1", "2", "3", "4"}},
	{"paused", "paused", asBool, "invocations wait until the function is resumed", "true", truth},
	{"log-success", "log_success", asNumberOrText, "which successes leave a log row: all, failures (none), or a part", "0.1", []string{"all", "failures"}},
}

var truth = []string{"true", "false"}

func asText(text string, _ json.RawMessage) (any, error) { return text, nil }

func asNumber(text string, _ json.RawMessage) (any, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, errors.New("it is not a whole number")
	}
	return n, nil
}

// asBurst is asNumber within the bounds of a rate's burst, which the rate could name
// only together with itself.
func asBurst(text string, had json.RawMessage) (any, error) {
	n, err := asNumber(text, had)
	if err == nil && (n.(int) < 1 || n.(int) > 1e6) {
		return nil, errors.New("it is out of range: use 1 to 1000000")
	}
	return n, err
}

func asNumberOrText(text string, _ json.RawMessage) (any, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil && json.Valid([]byte(text)) {
		return n, nil
	}
	return text, nil
}

func asBool(text string, _ json.RawMessage) (any, error) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return nil, errors.New("it is neither true nor false")
	}
	return b, nil
}

func asList(text string, had json.RawMessage) (any, error) {
	list := []string{}
	_ = json.Unmarshal(had, &list) // nothing before the first
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one != "" {
			list = append(list, one)
		}
	}
	return list, nil
}

func asPair(text string, had json.RawMessage) (any, error) {
	pairs := map[string]string{}
	_ = json.Unmarshal(had, &pairs) // nothing before the first
	key, value, ok := strings.Cut(text, "=")
	if !ok {
		return nil, errors.New("it has no value: write KEY=VALUE")
	}
	pairs[key] = value
	return pairs, nil
}

// configFlags are the flags of all settings, and what they were given.
type configFlags struct {
	given map[string]json.RawMessage // by flag
}

// add adds the flags to a command.
func (c *configFlags) add(cmd *cobra.Command) {
	c.given = make(map[string]json.RawMessage)
	for _, s := range configurable {
		f := cmd.Flags().VarPF(&flagValue{s, c.given}, s.flag, "", s.usage)
		if slices.Equal(s.values, truth) {
			f.NoOptDefVal = "true"
		}
		// It fails for a flag that is not there, or has a completion.
		_ = cmd.RegisterFlagCompletionFunc(s.flag, cobra.FixedCompletions(s.values, cobra.ShellCompDirectiveNoFileComp))
	}
}

// apply sets what was given in config, over what is there.
func (c *configFlags) apply(config map[string]json.RawMessage) error {
	for _, s := range configurable {
		value, ok := c.given[s.flag]
		if !ok {
			continue
		}
		name, inner, nested := strings.Cut(s.field, ".")
		if !nested {
			config[name] = value
			continue
		}
		object, err := objectOf(name, config[name])
		if err != nil {
			return err
		}
		object[inner] = value
		config[name], _ = json.Marshal(object) // of what was JSON
	}
	if err := checkConfig(config); err != nil {
		return usageError{err}
	}
	return nil
}

// objectOf is a field that a flag sets a part of.
func objectOf(name string, value json.RawMessage) (map[string]json.RawMessage, error) {
	if name == "rate" { // which can be text
		var r runnel.Rate
		if len(value) == 0 || json.Unmarshal(value, &r) != nil || r == (runnel.Rate{}) {
			return nil, usagef("--burst needs a rate: for example --rate 10/s --burst 20")
		}
		value, _ = json.Marshal(r)
	}
	object := make(map[string]json.RawMessage)
	_ = json.Unmarshal(value, &object) // nothing, or what checkConfig refused
	return object, nil
}

// flagValue is a setting as a flag.
type flagValue struct {
	setting
	given map[string]json.RawMessage
}

var _ pflag.Value = (*flagValue)(nil)

// Set implements pflag.Value.
func (v *flagValue) Set(text string) error {
	value, err := v.read(text, v.given[v.flag])
	if err == nil {
		var raw json.RawMessage
		if raw, err = json.Marshal(value); err == nil {
			if err = checkConfig(v.alone(raw)); err == nil {
				v.given[v.flag] = raw
				return nil
			}
		}
	}
	return fmt.Errorf("%w (for example --%s=%s)", err, v.flag, v.example)
}

// alone is a configuration that has this setting only.
func (v *flagValue) alone(value json.RawMessage) map[string]json.RawMessage {
	name, inner, nested := strings.Cut(v.field, ".")
	if !nested {
		return map[string]json.RawMessage{name: value}
	}
	object := map[string]json.RawMessage{inner: value}
	if name == "rate" {
		object["per_second"] = json.RawMessage("1")
	}
	b, _ := json.Marshal(object)
	return map[string]json.RawMessage{name: b}
}

// String implements pflag.Value. The server knows the defaults.
func (v *flagValue) String() string { return "" }

// Type implements pflag.Value: what stands for the value in a help text.
func (v *flagValue) Type() string {
	if slices.Equal(v.values, truth) {
		return "bool"
	}
	return "value"
}

// checkConfig finds what the server would refuse in a configuration, before anything
// is built and sent.
func checkConfig(config map[string]json.RawMessage) error {
	for _, name := range slices.Sorted(maps.Keys(config)) {
		one, err := json.Marshal(map[string]json.RawMessage{name: config[name]})
		if err != nil {
			return err
		}
		var c struct {
			Snapshot bool `json:"snapshot"`
			runnel.Config
		}
		dec := json.NewDecoder(bytes.NewReader(one))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&c); err != nil {
			return configError(name, err)
		}
		if err := c.Check(); err != nil {
			return configError(name, err)
		}
	}
	// Together they may be wrong all the same.
	var c runnel.Config
	all, err := json.Marshal(config)
	if err == nil {
		err = json.Unmarshal(all, &c)
	}
	if err == nil {
		err = c.Check()
	}
	return plainError(err)
}

func configError(name string, err error) error {
	var mistyped *json.UnmarshalTypeError
	switch {
	case strings.Contains(err.Error(), "unknown field"):
		if field, _, known := settingOf(name); !known {
			return fmt.Errorf("there is no field %q%s", name, didYouMean(name, field))
		}
		return fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "json: "))
	case errors.As(err, &mistyped):
		_, example, _ := settingOf(name)
		return fmt.Errorf("%s cannot be a JSON %s (on the command line it is written like %s)", mistyped.Field, mistyped.Value, example)
	}
	if err = plainError(err); strings.HasPrefix(err.Error(), name) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// settingOf finds the setting of a field; without one, the fields there are.
func settingOf(name string) (fields []string, example string, known bool) {
	for _, s := range configurable {
		field, _, _ := strings.Cut(s.field, ".")
		if field == name {
			return nil, "--" + s.flag + "=" + s.example, true
		}
		fields = append(fields, field)
	}
	return fields, "", false
}

// plainError is an error without its code, which says nothing on this side.
func plainError(err error) error {
	var known *runnel.Error
	if errors.As(err, &known) {
		return errors.New(known.Message)
	}
	return err
}
