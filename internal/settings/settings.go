// Package settings reads what a process is told through its environment.
//
// Every setting that exists is a field of Settings. DATABASE_URL,
// RUNNEL_ADMIN_TOKEN, RUNNEL_JWT_SECRET, RUNNEL_SLOT_SECRET and RUNNEL_SECRET_KEYS
// can also be given as the path of a file that holds them, in DATABASE_URL_FILE and
// so on.
//
// RUNNEL_CACHE_DIR holds compiled modules. The directory must belong to the user of
// the process and be writable by nobody else, because what is in it is executed. By
// default it is runnel/modules in the user's cache directory; when that cannot be
// used, a temporary one that goes with the process.
//
// OTEL_EXPORTER_OTLP_ENDPOINT turns traces on (package tracing); they are exported by
// HTTP. The other standard OTEL_ variables are OpenTelemetry's own: of them only those
// are here that say whether and where to.
package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/keyring"
)

// Size is a number of bytes, written as 20GB.
type Size int64

// Settings are the settings of every Runnel process; each uses its part. String
// and LogValue leave the secrets out.
type Settings struct {
	DatabaseURL string `env:"DATABASE_URL"`
	Port        int    `env:"PORT" envDefault:"8080"`
	MetricsPort int    `env:"METRICS_PORT"` // 0: metrics are only on web's Port, behind the admin token, the workers' too
	AdminToken  string `env:"RUNNEL_ADMIN_TOKEN"`
	JWTSecret   string `env:"RUNNEL_JWT_SECRET"`
	JWKSURL     string `env:"RUNNEL_JWKS_URL"`     // public keys of callers' tokens
	JWTIssuer   string `env:"RUNNEL_JWT_ISSUER"`   // what iss has to be; "": anything
	JWTAudience string `env:"RUNNEL_JWT_AUDIENCE"` // what aud has to contain; "": anything
	// TrustedProxies are addresses or networks, comma-separated, whose
	// X-Forwarded-For is believed when failed logins are counted.
	TrustedProxies string `env:"RUNNEL_TRUSTED_PROXIES"`
	// SecretKeys encrypt functions' secrets: comma-separated, the first encrypts.
	SecretKeys   string        `env:"RUNNEL_SECRET_KEYS"`
	Workers      int           `env:"RUNNEL_WORKERS"` // concurrent invocations per worker process
	WaitLimit    time.Duration `env:"RUNNEL_WAIT_LIMIT" envDefault:"60s"`
	LogRetention time.Duration `env:"RUNNEL_LOG_RETENTION" envDefault:"720h"`
	LogMaxSize   Size          `env:"RUNNEL_LOG_MAX_SIZE"`                // such as 20GB; the log's oldest days are dropped above it; 0: any size
	SlotSecret   string        `env:"RUNNEL_SLOT_SECRET"`                 // what the passwords of functions' logins are made from
	Slots        int           `env:"RUNNEL_SLOTS" envDefault:"8"`        // connections of each level for functions' SQL, for each worker process
	CacheDir     string        `env:"RUNNEL_CACHE_DIR"`                   // compiled modules; "": in the user's cache directory
	OTLPEndpoint string        `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`        // such as http://localhost:4318; "": no traces
	OTLPTraces   string        `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"` // all of the address, for traces only
	OTLPProtocol string        `env:"OTEL_EXPORTER_OTLP_PROTOCOL"`
	OTELExporter string        `env:"OTEL_TRACES_EXPORTER"` // otlp (default) or none
	OTELDisabled string        `env:"OTEL_SDK_DISABLED"`    // true: no traces
	LogLevel     slog.Level    `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat    string        `env:"LOG_FORMAT" envDefault:"text"` // "text" or "json"
}

// DatabaseURL is the name of the one setting that some processes cannot do
// without; give it to Load as required.
const DatabaseURL = "DATABASE_URL"

const (
	minAdminToken = 16 // characters
	minJWTSecret  = 32 // bytes, the size of HS256's hash (RFC 7518, 3.2)
	maxWaitLimit  = 10 * time.Minute
	minRetention  = time.Hour
	minLogSize    = 64 << 20 // bytes; empty tables and indexes of a month are a few MB
	maxWorkers    = 10_000   // River's own limit
	minSlotSecret = 32       // bytes
	maxSlots      = 500
)

var secrets = []string{"DATABASE_URL", "RUNNEL_ADMIN_TOKEN", "RUNNEL_JWT_SECRET", "RUNNEL_SLOT_SECRET", "RUNNEL_SECRET_KEYS"}

// Load reads settings from environ, which has the form of os.Environ. The error
// names every problem, one per line, and what to do about it; it contains no
// secret.
func Load(environ []string, required ...string) (Settings, error) {
	values := make(map[string]string)
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			values[k] = v
		}
	}
	var problems []error
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	for _, key := range secrets {
		path := values[key+"_FILE"]
		if path == "" {
			continue
		}
		if values[key] != "" {
			report("%s and %s_FILE are both set: unset one", key, key)
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			report("%s_FILE cannot be read (%v): correct the path or its permissions", key, err)
			continue
		}
		values[key] = strings.TrimRight(string(b), "\r\n")
		if values[key] == "" {
			report("%s_FILE names an empty file, %s: write the value into it", key, path)
		}
	}
	for _, key := range required {
		if values[key] == "" && values[key+"_FILE"] == "" {
			report("%s is not set: set it, or set %s_FILE to the path of a file with it%s", key, key, hint[key])
		}
	}

	s, err := env.ParseAsWithOptions[Settings](env.Options{
		Environment: values,
		FuncMap: map[reflect.Type]env.ParserFunc{
			reflect.TypeFor[slog.Level](): func(v string) (any, error) {
				var l slog.Level
				err := l.UnmarshalText([]byte(v))
				return l, err
			},
			reflect.TypeFor[Size](): func(v string) (any, error) {
				n, err := runnel.ParseBytes(v)
				return Size(n), err
			},
		},
	})
	var several env.AggregateError
	if errors.As(err, &several) {
		for _, err := range several.Errors {
			problems = append(problems, unparsable(err, values))
		}
	} else if err != nil {
		problems = append(problems, err)
	}
	if !wrong(several, "Workers") && values["RUNNEL_WORKERS"] == "" {
		s.Workers = defaultWorkers()
	}
	s.check(several, report)
	if len(problems) > 0 {
		return Settings{}, &Error{problems}
	}
	return s, nil
}

var hint = map[string]string{
	DatabaseURL: ", for example postgres://user:password@host:5432/database (runnel dev needs none)",
}

// check reports values that parse but cannot be meant. Fields that did not parse
// have been reported already.
func (s Settings) check(unparsed env.AggregateError, report func(string, ...any)) {
	within := func(field, key string, ok bool, rule string) {
		if !ok && !wrong(unparsed, field) {
			report("%s is out of range: use %s", key, rule)
		}
	}
	if s.DatabaseURL != "" {
		// The text of url.Error would show the password.
		u, err := url.Parse(s.DatabaseURL)
		if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
			report("DATABASE_URL is not a PostgreSQL address: use the form postgres://user:password@host:5432/database, with special characters of the password percent-encoded")
		}
	}
	if s.AdminToken != "" && len(s.AdminToken) < minAdminToken {
		report("RUNNEL_ADMIN_TOKEN is shorter than %d characters: use a random one, for example from: openssl rand -hex 32", minAdminToken)
	}
	if s.JWTSecret != "" && len(s.JWTSecret) < minJWTSecret {
		report("RUNNEL_JWT_SECRET is shorter than %d characters: use a random one, for example from: openssl rand -hex 32", minJWTSecret)
	}
	if s.JWKSURL != "" {
		u, err := url.Parse(s.JWKSURL)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
			report("RUNNEL_JWKS_URL is not an https address such as https://auth.example.com/.well-known/jwks.json (http only to this machine): correct it")
		}
	}
	if _, err := s.Proxies(); err != nil {
		report("RUNNEL_TRUSTED_PROXIES: %v", err)
	}
	if s.SecretKeys != "" {
		if _, err := keyring.Parse(s.SecretKeys); err != nil {
			report("RUNNEL_SECRET_KEYS: %v", err)
		}
	}
	for key, value := range map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": s.OTLPEndpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": s.OTLPTraces} {
		if u, err := url.Parse(value); value != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			report("%s is not an address such as http://localhost:4318: correct it, or unset it for no traces", key)
		}
	}
	within("Port", "PORT", s.Port > 0 && s.Port < 1<<16, "1 to 65535")
	within("MetricsPort", "METRICS_PORT", s.MetricsPort >= 0 && s.MetricsPort < 1<<16, "1 to 65535")
	if s.MetricsPort != 0 && s.MetricsPort == s.Port {
		report("METRICS_PORT and PORT are both %d: choose another METRICS_PORT, or leave it out to have metrics at /metrics behind the admin token", s.Port)
	}
	within("Workers", "RUNNEL_WORKERS", s.Workers >= 1 && s.Workers <= maxWorkers, "1 to "+strconv.Itoa(maxWorkers))
	if s.SlotSecret != "" && len(s.SlotSecret) < minSlotSecret {
		report("RUNNEL_SLOT_SECRET is shorter than %d characters: use a random one, for example from: openssl rand -hex 32", minSlotSecret)
	}
	within("Slots", "RUNNEL_SLOTS", s.Slots >= 1 && s.Slots <= maxSlots, "1 to "+strconv.Itoa(maxSlots))
	within("WaitLimit", "RUNNEL_WAIT_LIMIT", s.WaitLimit >= time.Millisecond && s.WaitLimit <= maxWaitLimit, "a duration such as 60s, from 1ms to "+maxWaitLimit.String())
	within("LogRetention", "RUNNEL_LOG_RETENTION", s.LogRetention >= minRetention, "a duration such as 720h, of 1h or more")
	within("LogMaxSize", "RUNNEL_LOG_MAX_SIZE", s.LogMaxSize == 0 || s.LogMaxSize >= minLogSize, "a size such as 20GB, of 64MB or more, or 0 for no limit")
	if s.LogFormat != "text" && s.LogFormat != "json" {
		report("LOG_FORMAT is %.40q: use text or json", s.LogFormat)
	}
}

// Traces is the address that traces are posted to; "": there are to be none.
func (s Settings) Traces() string {
	switch {
	case strings.EqualFold(s.OTELDisabled, "true") || s.OTELExporter == "none":
		return ""
	case s.OTLPTraces != "":
		return s.OTLPTraces
	case s.OTLPEndpoint == "":
		return ""
	}
	return strings.TrimRight(s.OTLPEndpoint, "/") + "/v1/traces"
}

// Proxies are the TrustedProxies.
func (s Settings) Proxies() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range strings.FieldsFunc(s.TrustedProxies, func(c rune) bool { return c == ',' || c == ' ' }) {
		p, err := netip.ParsePrefix(text)
		if ip, ipErr := netip.ParseAddr(text); ipErr == nil {
			p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%.60q is not an address or a network such as 10.0.0.0/8: correct it", text)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func wrong(unparsed env.AggregateError, field string) bool {
	return slices.ContainsFunc(unparsed.Errors, func(err error) bool {
		var p env.ParseError
		return errors.As(err, &p) && p.Name == field
	})
}

// unparsable rewords the library's error, which names the field and not the
// setting.
func unparsable(err error, values map[string]string) error {
	var p env.ParseError
	if !errors.As(err, &p) {
		return err
	}
	field, _ := reflect.TypeFor[Settings]().FieldByName(p.Name)
	key := field.Tag.Get("env")
	want := map[string]string{"Port": "a port number", "MetricsPort": "a port number", "Workers": "a number", "Slots": "a number",
		"WaitLimit": "a duration such as 60s", "LogRetention": "a duration such as 720h", "LogMaxSize": "a size such as 20GB", "LogLevel": "debug, info, warn or error"}[p.Name]
	return fmt.Errorf("%s is %.40q: use %s", key, values[key], want)
}

// Error lists everything that is wrong with the settings.
type Error struct{ Problems []error }

// Error implements error, one problem per line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.Error()
	}
	if len(lines) == 1 {
		return "settings: " + lines[0]
	}
	return "settings:\n  " + strings.Join(lines, "\n  ")
}

// Unwrap returns the problems.
func (e *Error) Unwrap() []error { return e.Problems }

// Logger makes the process's logger, which writes to standard error.
func (s Settings) Logger() *slog.Logger {
	o := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

// String leaves the secrets out.
func (s Settings) String() string { return s.LogValue().String() }

// LogValue implements slog.LogValuer and leaves the secrets out.
func (s Settings) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Bool("database_url_set", s.DatabaseURL != ""),
		slog.Bool("admin_token_set", s.AdminToken != ""),
		slog.Bool("jwt_secret_set", s.JWTSecret != ""),
		slog.Bool("jwks_url_set", s.JWKSURL != ""),
		slog.Bool("secret_keys_set", s.SecretKeys != ""),
		slog.Bool("slot_secret_set", s.SlotSecret != ""),
		slog.Bool("traces", s.Traces() != ""),
		slog.Int("slots", s.Slots),
		slog.Int("port", s.Port),
		slog.Int("metrics_port", s.MetricsPort),
		slog.Int("workers", s.Workers),
		slog.Duration("wait_limit", s.WaitLimit),
		slog.Duration("log_retention", s.LogRetention),
		slog.Int64("log_max_size", int64(s.LogMaxSize)),
	)
}
