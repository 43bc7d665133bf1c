package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/runnelhq/runnel"
)

const (
	testAdminToken = "test-admin-token-0123456789"
	testJWTSecret  = "test-jwt-secret-0123456789-0123456789"
)

// mint signs claims; exp is an hour away unless they say otherwise.
func mint(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	return mintWith(t, jwt.SigningMethodHS256, []byte(testJWTSecret), claims)
}

func mintWith(t testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	if _, ok := claims["exp"]; !ok {
		claims["exp"] = time.Now().Add(time.Hour).Unix()
	}
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// signRaw signs bytes that no JWT library would.
func signRaw(payload string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, []byte(testJWTSecret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func withHeaders(kv ...string) *http.Request {
	r := httptest.NewRequest("POST", "/", nil)
	for i := 0; i < len(kv); i += 2 {
		r.Header.Add(kv[i], kv[i+1])
	}
	return r
}

func TestCallerOfAToken(t *testing.T) {
	t.Parallel()
	a := newAuthenticator(Config{AdminToken: "", JWTSecret: []byte(testJWTSecret)})
	token := mint(t, jwt.MapClaims{"role": "authenticated", "sub": "user-1", "big": uint64(12345678901234567890)})
	for name, r := range map[string]*http.Request{
		"bearer":               withHeaders("Authorization", "Bearer "+token),
		"any case":             withHeaders("Authorization", "bearer "+token),
		"apikey":               withHeaders("apikey", token),
		"bearer before apikey": withHeaders("Authorization", "Bearer "+token, "apikey", "nonsense"),
		"apikey beside basic":  withHeaders("Authorization", "Basic eDp5", "apikey", token),
	} {
		for _, verify := range []bool{true, false} {
			c, err := a.caller(r, verify)
			if err != nil || c.Role != runnel.RoleAuthenticated || c.UserID != "user-1" {
				t.Errorf("%s, verify %v: %+v, %v", name, verify, c, err)
			}
			if !strings.Contains(string(c.Claims), `"big":12345678901234567890`) {
				t.Errorf("%s: claims %s: the big number was rounded", name, c.Claims)
			}
		}
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	a := newAuthenticator(Config{AdminToken: "", JWTSecret: []byte(testJWTSecret)})
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	user := func() jwt.MapClaims { return jwt.MapClaims{"role": "authenticated", "sub": "u"} }
	with := func(key string, value any) jwt.MapClaims { c := user(); c[key] = value; return c }
	valid := mint(t, user())
	parts := strings.Split(valid, ".")
	noExp, err := jwt.NewWithClaims(jwt.SigningMethodHS256, user()).SignedString([]byte(testJWTSecret))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		token string
		code  runnel.Code
	}{
		"alg none":             {mintWith(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, user()), runnel.CodeUnauthorized},
		"signature cut off":    {parts[0] + "." + parts[1] + ".", runnel.CodeUnauthorized},
		"another key":          {mintWith(t, jwt.SigningMethodHS256, []byte("another-secret-0123456789-0123456789"), user()), runnel.CodeUnauthorized},
		"HS512, same key":      {mintWith(t, jwt.SigningMethodHS512, []byte(testJWTSecret), user()), runnel.CodeUnauthorized},
		"RS256":                {mintWith(t, jwt.SigningMethodRS256, rsaKey, user()), runnel.CodeUnauthorized},
		"no exp":               {noExp, runnel.CodeUnauthorized},
		"expired":              {mint(t, with("exp", time.Now().Add(-time.Minute).Unix())), runnel.CodeUnauthorized},
		"not yet valid":        {mint(t, with("nbf", time.Now().Add(time.Minute).Unix())), runnel.CodeUnauthorized},
		"exp is a string":      {mint(t, with("exp", "never")), runnel.CodeUnauthorized},
		"no role":              {mint(t, jwt.MapClaims{"sub": "u"}), runnel.CodeUnauthorized},
		"role is a list":       {mint(t, with("role", []string{"service_role"})), runnel.CodeUnauthorized},
		"role of the owner":    {mint(t, with("role", "postgres")), runnel.CodeForbidden},
		"role with other case": {mint(t, with("role", "SERVICE_ROLE")), runnel.CodeForbidden},
		"role only as Role":    {mint(t, jwt.MapClaims{"Role": "service_role"}), runnel.CodeUnauthorized},
		"claims of another":    {parts[0] + "." + strings.Split(mint(t, with("role", "service_role")), ".")[1] + "." + parts[2], runnel.CodeUnauthorized},
		"NUL in a claim":       {mint(t, with("name", "a\x00b")), runnel.CodeUnauthorized},
		"claims are not UTF-8": {signRaw("{\"role\":\"authenticated\",\"exp\":9999999999,\"name\":\"\xff\"}"), runnel.CodeUnauthorized},
		"not a token":          {"nonsense", runnel.CodeUnauthorized},
		"four parts":           {valid + ".x", runnel.CodeUnauthorized},
		"empty":                {"", runnel.CodeUnauthorized},
	} {
		r := withHeaders("Authorization", "Bearer "+c.token)
		if _, err := a.caller(r, true); err == nil || runnel.CodeOf(err) != c.code {
			t.Errorf("%s: error %v, want %s", name, err, c.code)
		}
		got, err := a.caller(r, false)
		if err != nil || got.Role != runnel.RoleAnon || got.UserID != "" || got.Claims != nil {
			t.Errorf("%s, without verify_jwt: %+v, %v; want anon", name, got, err)
		}
		if a.isAdmin(t.Context(), c.token) {
			t.Errorf("%s: is an admin", name)
		}
	}
}

func TestLeeway(t *testing.T) {
	t.Parallel()
	a := newAuthenticator(Config{AdminToken: "", JWTSecret: []byte(testJWTSecret)})
	token := mint(t, jwt.MapClaims{"role": "anon", "exp": time.Now().Add(-leeway / 2).Unix()})
	if _, err := a.verify(t.Context(), token); err != nil {
		t.Errorf("a token that expired %v ago: %v", leeway/2, err)
	}
}

func TestTwoAuthorizationHeadersAreRefused(t *testing.T) {
	t.Parallel()
	a := newAuthenticator(Config{AdminToken: testAdminToken, JWTSecret: []byte(testJWTSecret)})
	r := withHeaders("Authorization", "Bearer "+testAdminToken, "Authorization", "Bearer x")
	if _, err := a.caller(r, true); runnel.CodeOf(err) != runnel.CodeUnauthorized || err == nil {
		t.Errorf("caller: %v", err)
	}
	if err := a.authorizeAdmin(r); runnel.CodeOf(err) != runnel.CodeUnauthorized || err == nil {
		t.Errorf("admin: %v", err)
	}
}

func TestWithoutSecretNoTokenIsValid(t *testing.T) {
	t.Parallel()
	a := newAuthenticator(Config{AdminToken: "", JWTSecret: nil})
	// An attacker's guess: the key is empty, so sign with the empty key.
	token := mintWith(t, jwt.SigningMethodHS256, []byte{}, jwt.MapClaims{"role": "service_role"})
	r := withHeaders("Authorization", "Bearer "+token)
	if _, err := a.caller(r, true); runnel.CodeOf(err) != runnel.CodeUnauthorized || err == nil || !strings.Contains(err.Error(), "RUNNEL_JWT_SECRET") {
		t.Errorf("error %v, want Unauthorized that names RUNNEL_JWT_SECRET", err)
	}
	if a.isAdmin(t.Context(), token) || a.isAdmin(t.Context(), "") {
		t.Error("is an admin")
	}
}

func TestAuthorizeAdmin(t *testing.T) {
	t.Parallel()
	service := mint(t, jwt.MapClaims{"role": "service_role"})
	user := mint(t, jwt.MapClaims{"role": "authenticated"})
	for _, c := range []struct {
		name, admin, token string
		want               runnel.Code
		says               string
	}{
		{"admin token", testAdminToken, testAdminToken, "", ""},
		{"service_role", testAdminToken, service, "", ""},
		{"service_role without admin token", "", service, "", ""},
		{"user", testAdminToken, user, runnel.CodeForbidden, "authenticated"},
		{"prefix", testAdminToken, testAdminToken[:10], runnel.CodeUnauthorized, "wrong"},
		{"longer", testAdminToken, testAdminToken + "x", runnel.CodeUnauthorized, "wrong"},
		{"none", testAdminToken, "", runnel.CodeUnauthorized, "needs the admin token"},
		{"unset", "", "", runnel.CodeUnauthorized, "set RUNNEL_ADMIN_TOKEN"},
		{"unset, guessed", "", "guess", runnel.CodeUnauthorized, "set RUNNEL_ADMIN_TOKEN"},
	} {
		a := newAuthenticator(Config{AdminToken: c.admin, JWTSecret: []byte(testJWTSecret)})
		r := withHeaders()
		if c.token != "" {
			r = withHeaders("Authorization", "Bearer "+c.token)
		}
		err := a.authorizeAdmin(r)
		if c.want == "" && err != nil || c.want != "" && (err == nil || runnel.CodeOf(err) != c.want || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: error %v, want %q saying %q", c.name, err, c.want, c.says)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.eyJyb2xlIjoic2VydmljZV9yb2xlIiwiZXhwIjo5OTk5OTk5OTk5fQ.")
	f.Add("eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIiwiZXhwIjo5OTk5OTk5OTk5fQ.AAAA")
	a := newAuthenticator(Config{AdminToken: "", JWTSecret: []byte(testJWTSecret)})
	f.Fuzz(func(t *testing.T, token string) {
		if c, err := a.verify(t.Context(), token); err == nil {
			t.Fatalf("%q was accepted as %+v without knowing the key", token, c)
		}
	})
}
