package settings

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	databaseURL = "postgres://someone:hunter2-hunter2@db.example.com:5432/app"
	adminToken  = "0123456789abcdef-admin"
	jwtSecret   = "0123456789abcdef0123456789abcdef-jwt"
	secretKeys  = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
)

func TestDefaults(t *testing.T) {
	t.Parallel()
	s, err := Load([]string{"DATABASE_URL=" + databaseURL}, DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{DatabaseURL: databaseURL, Port: 8080, Workers: s.Workers, Slots: 8, WaitLimit: time.Minute,
		LogRetention: 720 * time.Hour, LogLevel: slog.LevelInfo, LogFormat: "text"}
	if s != want {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	if s.Workers < 2 {
		t.Errorf("default workers = %d, want at least 2", s.Workers)
	}
}

func TestEverySettingIsRead(t *testing.T) {
	t.Parallel()
	s, err := Load([]string{
		"DATABASE_URL=" + databaseURL, "PORT=9000", "METRICS_PORT=9001", "RUNNEL_ADMIN_TOKEN=" + adminToken,
		"RUNNEL_JWT_SECRET=" + jwtSecret, "RUNNEL_SLOT_SECRET=" + jwtSecret, "RUNNEL_SLOTS=3", "RUNNEL_WORKERS=7", "RUNNEL_WAIT_LIMIT=1500ms",
		"RUNNEL_LOG_RETENTION=48h", "RUNNEL_CACHE_DIR=/var/cache/runnel", "LOG_LEVEL=debug", "LOG_FORMAT=json",
		"RUNNEL_JWKS_URL=https://auth.example.com/keys", "RUNNEL_JWT_ISSUER=iss", "RUNNEL_JWT_AUDIENCE=aud",
		"RUNNEL_TRUSTED_PROXIES=10.0.0.0/8, ::1", "RUNNEL_SECRET_KEYS=" + secretKeys,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{DatabaseURL: databaseURL, Port: 9000, MetricsPort: 9001, AdminToken: adminToken, JWTSecret: jwtSecret,
		JWKSURL: "https://auth.example.com/keys", JWTIssuer: "iss", JWTAudience: "aud", TrustedProxies: "10.0.0.0/8, ::1", SecretKeys: secretKeys,
		SlotSecret: jwtSecret, Slots: 3, Workers: 7, WaitLimit: 1500 * time.Millisecond, LogRetention: 48 * time.Hour, CacheDir: "/var/cache/runnel", LogLevel: slog.LevelDebug, LogFormat: "json"}
	if s != want {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestWhereTracesGo(t *testing.T) {
	t.Parallel()
	for environ, want := range map[string]string{
		"": "",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318":                                                        "http://localhost:4318/v1/traces",
		"OTEL_EXPORTER_OTLP_ENDPOINT=https://in.example/otlp/":                                                     "https://in.example/otlp/v1/traces",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://a:4318 OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://b:4318/x":             "http://b:4318/x",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://a:4318 OTEL_TRACES_EXPORTER=none":                                      "",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://a:4318 OTEL_SDK_DISABLED=True":                                         "",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://a:4318 OTEL_SDK_DISABLED=no OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf": "http://a:4318/v1/traces",
	} {
		if s, err := Load(strings.Fields(environ)); err != nil || s.Traces() != want {
			t.Errorf("%s: %q, %v, want %q", environ, s.Traces(), err, want)
		}
	}
	for _, wrong := range []string{"localhost:4318", "ftp://a", "http://", "::", "/v1/traces"} {
		if _, err := Load([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + wrong}); err == nil || !strings.Contains(err.Error(), "http://localhost:4318") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	s, err := Load([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=https://in.example/sk-live-4242424242"})
	if err != nil || strings.Contains(s.String(), "4242424242") || !strings.Contains(s.String(), "traces=true") {
		t.Errorf("%s, %v", s, err)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s, err := Load([]string{
		"DATABASE_URL_FILE=" + write("url", databaseURL+"\n"),
		"RUNNEL_ADMIN_TOKEN_FILE=" + write("token", adminToken+"\r\n"),
		"RUNNEL_JWT_SECRET_FILE=" + write("secret", jwtSecret),
	}, DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	if s.DatabaseURL != databaseURL || s.AdminToken != adminToken || s.JWTSecret != jwtSecret {
		t.Errorf("secrets differ from their files: %q %q %q", s.DatabaseURL, s.AdminToken, s.JWTSecret)
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load([]string{
		"PORT=http", "METRICS_PORT=70000", "RUNNEL_ADMIN_TOKEN=short", "RUNNEL_JWT_SECRET_FILE=" + empty,
		"RUNNEL_WORKERS=0", "RUNNEL_WAIT_LIMIT=60", "RUNNEL_LOG_RETENTION=1m", "LOG_LEVEL=loud", "LOG_FORMAT=xml",
		"RUNNEL_JWKS_URL=http://example.com/keys", "RUNNEL_SLOTS=0", "RUNNEL_SLOT_SECRET=short",
	}, DatabaseURL)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"DATABASE_URL is not set", "PORT is \"http\": use a port number", "METRICS_PORT is out of range", "RUNNEL_ADMIN_TOKEN is shorter than 16",
		"RUNNEL_JWT_SECRET_FILE names an empty file", "RUNNEL_WORKERS is out of range: use 1 to 10000",
		"RUNNEL_WAIT_LIMIT is \"60\": use a duration such as 60s", "RUNNEL_LOG_RETENTION is out of range",
		"LOG_LEVEL is \"loud\": use debug", "LOG_FORMAT is \"xml\": use text or json",
		"RUNNEL_JWKS_URL is not an https address", "RUNNEL_SLOTS is out of range", "RUNNEL_SLOT_SECRET is shorter than 32",
	} {
		if n := strings.Count(err.Error(), want); n != 1 {
			t.Errorf("%q is reported %d times, want once", want, n)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n != 13 {
		t.Errorf("%d problems, want 13:\n%v", n, err)
	}
}

func TestProblemsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ environ, want string }{
		{"DATABASE_URL=mysql://localhost/x", "not a PostgreSQL address"},
		{"DATABASE_URL=host=localhost password=hunter2", "not a PostgreSQL address"},
		{"DATABASE_URL=postgres://u:pa%zz@h/d", "percent-encoded"},
		{"METRICS_PORT=8080", "METRICS_PORT and PORT are both 8080"},
		{"RUNNEL_JWT_SECRET=tooshort", "openssl rand"},
		{"RUNNEL_ADMIN_TOKEN_FILE=/nonexistent", "cannot be read"},
		{"PORT=0", "PORT is out of range"},
		{"RUNNEL_SECRET_KEYS=hunter2", "openssl rand -hex 32"},
		{"RUNNEL_SECRET_KEYS=" + secretKeys + "," + secretKeys, "keys 1 and 2 are the same"},
		{"RUNNEL_TRUSTED_PROXIES=10.0.0.0/8,proxy", "not an address or a network"},
		{"RUNNEL_JWKS_URL=https://u:p@auth.example.com/", "not an https address"},
		{"RUNNEL_WAIT_LIMIT=11m", "RUNNEL_WAIT_LIMIT is out of range"},
	} {
		_, err := Load([]string{c.environ})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.environ, err, c.want)
		}
	}
}

func TestBothValueAndFileAreRefused(t *testing.T) {
	t.Parallel()
	_, err := Load([]string{"RUNNEL_ADMIN_TOKEN=" + adminToken, "RUNNEL_ADMIN_TOKEN_FILE=/x"})
	if err == nil || !strings.Contains(err.Error(), "both set") {
		t.Errorf("error %v, want one that says both are set", err)
	}
}

func TestFUNC_S1_SettingsDoNotShowSecrets(t *testing.T) {
	t.Parallel()
	s, err := Load([]string{"DATABASE_URL=" + databaseURL, "RUNNEL_ADMIN_TOKEN=" + adminToken, "RUNNEL_JWT_SECRET=" + jwtSecret, "RUNNEL_SECRET_KEYS=" + secretKeys})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "settings", s)
	_, broken := Load([]string{"DATABASE_URL=" + databaseURL + "%zz", "RUNNEL_ADMIN_TOKEN=hunter2", "RUNNEL_JWT_SECRET=hunter2", "RUNNEL_SECRET_KEYS=hunter2", "PORT=x"})
	for _, text := range []string{log.String(), fmt.Sprint(s), fmt.Sprintf("%v", s), fmt.Sprint(broken)} {
		for _, secret := range []string{"hunter2", adminToken, jwtSecret, secretKeys} {
			if strings.Contains(text, secret) {
				t.Errorf("%q shows %q", text, secret)
			}
		}
	}
}

func TestWorkersFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cpus   int
		memory int64
		want   int
	}{
		{2, 4 << 30, 16},  // the CPUs decide
		{8, 512 << 20, 3}, // the memory decides: 384 MB hold 3 functions of 128 MB
		{8, 0, 64},        // unknown memory
		{1, 128 << 20, 2}, // never less than 2
	} {
		if got := workersFor(c.cpus, c.memory); got != c.want {
			t.Errorf("workersFor(%d, %d) = %d, want %d", c.cpus, c.memory, got, c.want)
		}
	}
}

func TestMemTotal(t *testing.T) {
	t.Parallel()
	if got := memTotal([]byte("MemFree: 1 kB\nMemTotal:        4038840 kB\n")); got != 4038840<<10 {
		t.Errorf("memTotal = %d", got)
	}
	if got := memTotal([]byte("MemTotal: many")); got != 0 {
		t.Errorf("memTotal of nonsense = %d, want 0", got)
	}
}

func TestLogMaxSize(t *testing.T) {
	for value, want := range map[string]Size{"": 0, "0": 0, "64MB": 64 << 20, "20GB": 20 << 30, "100000000": 100_000_000} {
		s, err := Load([]string{"RUNNEL_LOG_MAX_SIZE=" + value})
		if err != nil || s.LogMaxSize != want {
			t.Errorf("%q: %d, %v", value, s.LogMaxSize, err)
		}
	}
	for _, value := range []string{"1MB", "-1", "big", "20 GB!"} {
		if _, err := Load([]string{"RUNNEL_LOG_MAX_SIZE=" + value}); err == nil || !strings.Contains(err.Error(), "RUNNEL_LOG_MAX_SIZE") || !strings.Contains(err.Error(), "20GB") {
			t.Errorf("%q: %v", value, err)
		}
	}
}
