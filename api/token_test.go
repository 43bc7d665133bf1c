package api

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/runnelhq/runnel"
)

// issuer is an identity provider: keys of every kind, and a server that publishes
// them.
type issuer struct {
	rsa, small *rsa.PrivateKey
	ec         *ecdsa.PrivateKey
	p384       *ecdsa.PrivateKey
	ed         ed25519.PrivateKey
	url        string
	asked      atomic.Int64
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	i.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	i.small, err = rsa.GenerateKey(rand.Reader, 1024)
	must(err)
	i.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	i.p384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	_, i.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	rsaJWK := func(id string, k *rsa.PrivateKey) map[string]string {
		return map[string]string{"kty": "RSA", "kid": id, "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	}
	ecJWK := func(id, curve string, k *ecdsa.PrivateKey) map[string]string {
		raw, err := k.PublicKey.Bytes()
		must(err)
		n := (len(raw) - 1) / 2
		return map[string]string{"kty": "EC", "kid": id, "crv": curve, "x": b64(raw[1 : 1+n]), "y": b64(raw[1+n:])}
	}
	keys := []map[string]string{
		rsaJWK("rsa", i.rsa), rsaJWK("small", i.small), ecJWK("ec", "P-256", i.ec), ecJWK("p384", "P-384", i.p384),
		{"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": b64(i.ed.Public().(ed25519.PublicKey))},
		{"kty": "oct", "kid": "oct", "k": b64([]byte(testJWTSecret))},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys})
	}))
	t.Cleanup(srv.Close)
	i.url = srv.URL
	return i
}

// keySet fetches the issuer's keys until the test ends.
func (i *issuer) keySet(t *testing.T) func(context.Context) jwt.Keyfunc {
	t.Helper()
	set, err := KeySet(t.Context(), i.url, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func signed(t *testing.T, method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for k, v := range header {
		token.Header[k] = v
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// raw makes an HS256 token of texts, which need not be what a library would write.
func raw(t *testing.T, header, claims string) string {
	t.Helper()
	text := b64([]byte(header)) + "." + b64([]byte(claims))
	sig, err := jwt.SigningMethodHS256.Sign(text, []byte(testJWTSecret))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64(sig)
}

func TestHostileTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newAuthenticator(Config{JWTSecret: []byte(testJWTSecret), KeySet: i.keySet(t), JWTIssuer: "https://issuer.example", JWTAudience: "runnel"})
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	good := func(changes ...any) jwt.MapClaims {
		c := jwt.MapClaims{"role": "authenticated", "sub": "u", "iss": "https://issuer.example", "aud": "runnel", "exp": in(time.Hour)}
		for i := 0; i < len(changes); i += 2 {
			if c[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
				delete(c, changes[i].(string))
			}
		}
		return c
	}
	hs := func(changes ...any) string {
		return signed(t, jwt.SigningMethodHS256, []byte(testJWTSecret), nil, good(changes...))
	}
	kid := func(id any) map[string]any { return map[string]any{"kid": id} }
	rs := func(header map[string]any, changes ...any) string {
		return signed(t, jwt.SigningMethodRS256, i.rsa, header, good(changes...))
	}
	pemOf := func(key crypto.PublicKey) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	exp := fmt.Sprintf(`"exp":%d`, in(time.Hour))
	rest := `"sub":"u","iss":"https://issuer.example","aud":"runnel",` + exp
	big := strings.Repeat("x", maxToken)
	parts := strings.Split(hs(), ".")

	// The controls: without them the refusals would show nothing.
	for name, token := range map[string]string{
		"HS256": hs(), "RS256": rs(kid("rsa")), "audience among others": hs("aud", []string{"other", "runnel"}), "nbf in the past": hs("nbf", in(-time.Minute)),
		"ES256": signed(t, jwt.SigningMethodES256, i.ec, kid("ec"), good()), "EdDSA": signed(t, jwt.SigningMethodEdDSA, i.ed, kid("ed"), good()),
		"by hand": raw(t, `{"alg":"HS256"}`, `{"role":"authenticated",`+rest+`}`),
	} {
		if c, err := a.verify(t.Context(), token); err != nil || c.Role != runnel.RoleAuthenticated || c.UserID != "u" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if c, err := a.verify(t.Context(), hs("role", "service_role")); err != nil || c.Role != runnel.RoleService {
		t.Errorf("service_role with the secret: %+v, %v", c, err)
	}

	for name, token := range map[string]string{
		"alg none":                     signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, good()),
		"alg None":                     raw(t, `{"alg":"None"}`, `{"role":"authenticated",`+rest+`}`),
		"alg empty":                    raw(t, `{"alg":""}`, `{"role":"authenticated",`+rest+`}`),
		"no alg":                       raw(t, `{}`, `{"role":"authenticated",`+rest+`}`),
		"alg hs256":                    raw(t, `{"alg":"hs256"}`, `{"role":"authenticated",`+rest+`}`),
		"alg is a list":                raw(t, `{"alg":["HS256"]}`, `{"role":"authenticated",`+rest+`}`),
		"HS384":                        signed(t, jwt.SigningMethodHS384, []byte(testJWTSecret), nil, good()),
		"HS512":                        signed(t, jwt.SigningMethodHS512, []byte(testJWTSecret), nil, good()),
		"RS512":                        signed(t, jwt.SigningMethodRS512, i.rsa, kid("rsa"), good()),
		"PS256":                        signed(t, jwt.SigningMethodPS256, i.rsa, kid("rsa"), good()),
		"ES384":                        signed(t, jwt.SigningMethodES384, i.p384, kid("p384"), good()),
		"HS256 with the RSA PEM":       signed(t, jwt.SigningMethodHS256, pemOf(&i.rsa.PublicKey), kid("rsa"), good()),
		"HS256 with the EC PEM":        signed(t, jwt.SigningMethodHS256, pemOf(&i.ec.PublicKey), kid("ec"), good()),
		"HS256 with the RSA modulus":   signed(t, jwt.SigningMethodHS256, i.rsa.N.Bytes(), kid("rsa"), good()),
		"HS256 with the Ed25519 key":   signed(t, jwt.SigningMethodHS256, []byte(i.ed.Public().(ed25519.PublicKey)), kid("ed"), good()),
		"HS256 with an empty key":      signed(t, jwt.SigningMethodHS256, []byte{}, nil, good()),
		"RS256 with the EC key's id":   rs(kid("ec")),
		"RS256 with the Ed key's id":   rs(kid("ed")),
		"RS256 with the oct key's id":  rs(kid("oct")),
		"ES256 with the RSA key's id":  signed(t, jwt.SigningMethodES256, i.ec, kid("rsa"), good()),
		"EdDSA with the RSA key's id":  signed(t, jwt.SigningMethodEdDSA, i.ed, kid("rsa"), good()),
		"RSA of 1024 bits":             signed(t, jwt.SigningMethodRS256, i.small, kid("small"), good()),
		"another RSA key":              signed(t, jwt.SigningMethodRS256, i.small, kid("rsa"), good()),
		"no kid":                       rs(nil),
		"empty kid":                    rs(kid("")),
		"kid is a number":              rs(kid(1)),
		"kid is null":                  rs(kid(nil)),
		"kid is a list":                rs(kid([]string{"rsa"})),
		"unknown kid":                  rs(kid("nope")),
		"kid is a path":                rs(kid("../../../../dev/null")),
		"kid is SQL":                   rs(kid("x' UNION SELECT 'key")),
		"kid is a URL":                 rs(kid(i.url)),
		"kid is long":                  rs(kid(strings.Repeat("k", 1000))),
		"kid in other case":            rs(kid("RSA")),
		"jku":                          signed(t, jwt.SigningMethodRS256, i.small, map[string]any{"kid": "small", "jku": i.url}, good()),
		"jwk":                          signed(t, jwt.SigningMethodRS256, i.small, map[string]any{"kid": "x", "jwk": map[string]string{"kty": "RSA", "n": b64(i.small.N.Bytes()), "e": "AQAB"}}, good()),
		"crit":                         signed(t, jwt.SigningMethodHS256, []byte(testJWTSecret), map[string]any{"crit": []string{"exp"}, "b64": false}, good()),
		"crit empty":                   signed(t, jwt.SigningMethodHS256, []byte(testJWTSecret), map[string]any{"crit": []string{}}, good()),
		"no exp":                       hs("exp", nil),
		"exp null":                     raw(t, `{"alg":"HS256"}`, `{"role":"authenticated","exp":null,"sub":"u","iss":"https://issuer.example","aud":"runnel"}`),
		"exp a string":                 hs("exp", "9999999999"),
		"expired":                      hs("exp", in(-time.Minute)),
		"exp negative":                 hs("exp", -1),
		"exp beyond all time":          raw(t, `{"alg":"HS256"}`, `{"role":"authenticated","exp":1e300,"sub":"u","iss":"https://issuer.example","aud":"runnel"}`),
		"exp beyond 64 bits":           raw(t, `{"alg":"HS256"}`, `{"role":"authenticated","exp":99999999999999999999999,"sub":"u","iss":"https://issuer.example","aud":"runnel"}`),
		"exp a list":                   hs("exp", []int64{in(time.Hour)}),
		"exp true":                     hs("exp", true),
		"x5u":                          signed(t, jwt.SigningMethodRS256, i.small, map[string]any{"kid": "x", "x5u": i.url}, good()),
		"x5c":                          signed(t, jwt.SigningMethodRS256, i.small, map[string]any{"kid": "x", "x5c": []string{base64.StdEncoding.EncodeToString(pemOf(&i.small.PublicKey))}}, good()),
		"exp not a number that exists": raw(t, `{"alg":"HS256"}`, `{"role":"authenticated","exp":1e999,"sub":"u","iss":"https://issuer.example","aud":"runnel"}`),
		"nbf in the future":            hs("nbf", in(time.Minute)),
		"nbf a string":                 hs("nbf", "0"),
		"no issuer":                    hs("iss", nil),
		"another issuer":               hs("iss", "https://issuer.example.evil.example"),
		"issuer in other case":         hs("iss", "HTTPS://ISSUER.EXAMPLE"),
		"issuer with a slash":          hs("iss", "https://issuer.example/"),
		"issuer is a list":             hs("iss", []string{"https://issuer.example"}),
		"no audience":                  hs("aud", nil),
		"another audience":             hs("aud", "runnel2"),
		"audience empty":               hs("aud", []string{}),
		"audience is an object":        hs("aud", map[string]string{"runnel": "runnel"}),
		"oversized":                    hs("x", big),
		"oversized header":             signed(t, jwt.SigningMethodHS256, []byte(testJWTSecret), map[string]any{"x": big}, good()),
		"role twice":                   raw(t, `{"alg":"HS256"}`, `{"role":"anon","role":"authenticated",`+rest+`}`),
		"role twice, escaped":          raw(t, `{"alg":"HS256"}`, `{"role":"anon","\u0072ole":"authenticated",`+rest+`}`),
		"sub twice":                    raw(t, `{"alg":"HS256"}`, `{"role":"authenticated","sub":"v",`+rest+`}`),
		"exp twice":                    raw(t, `{"alg":"HS256"}`, `{"role":"authenticated","exp":1,`+rest+`}`),
		"a nested key twice":           raw(t, `{"alg":"HS256"}`, `{"role":"authenticated","app":{"a":1,"a":2},`+rest+`}`),
		"alg twice":                    raw(t, `{"alg":"none","alg":"HS256"}`, `{"role":"authenticated",`+rest+`}`),
		"nested deeply":                raw(t, `{"alg":"HS256"}`, `{"role":"authenticated","x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`,`+rest+`}`),
		"claims are a list":            raw(t, `{"alg":"HS256"}`, `["role"]`),
		"claims are null":              raw(t, `{"alg":"HS256"}`, `null`),
		"more after the claims":        raw(t, `{"alg":"HS256"}`, `{"role":"authenticated",`+rest+`}{}`),
		"role in other case":           hs("role", "Authenticated"),
		"role with a space":            hs("role", "authenticated "),
		"role is a list":               hs("role", []string{"authenticated"}),
		"role is an object":            hs("role", map[string]string{"role": "service_role"}),
		"role of the owner":            hs("role", "postgres"),
		"role is SQL":                  hs("role", `anon"; SET ROLE postgres; --`),
		"no role":                      hs("role", nil),
		"role only in app_metadata":    hs("role", nil, "app_metadata", map[string]string{"role": "service_role"}),
		"service_role, public key":     rs(kid("rsa"), "role", "service_role"),
		"claims of another":            parts[0] + "." + strings.Split(hs("role", "service_role"), ".")[1] + "." + parts[2],
		"signature of another":         parts[0] + "." + parts[1] + "." + strings.Split(hs("sub", "v"), ".")[2],
		"no signature":                 parts[0] + "." + parts[1] + ".",
		"two parts":                    parts[0] + "." + parts[1],
		"four parts":                   hs() + ".x",
		"five parts, encrypted":        hs() + ".x.y",
		"padded":                       parts[0] + "=." + parts[1] + "." + parts[2],
		"line break inside":            parts[0] + "\n." + parts[1] + "." + parts[2],
		"signature with other bits":    hs()[:len(hs())-1] + "_",
		"Bearer twice":                 "Bearer " + hs(),
		"dots":                         "..",
		"empty":                        "",
	} {
		c, err := a.verify(t.Context(), token)
		if err == nil {
			t.Errorf("%s: accepted as %+v", name, c)
			continue
		}
		if code := runnel.CodeOf(err); code != runnel.CodeUnauthorized && code != runnel.CodeForbidden {
			t.Errorf("%s: %v", name, err)
		}
		if a.isAdmin(t.Context(), token) {
			t.Errorf("%s: is an admin", name)
		}
	}
	// Ids that nobody knows were looked for once, whatever their number.
	if n := i.asked.Load(); n > 2 {
		t.Errorf("the issuer was asked %d times", n)
	}
}

func TestKeySetsAreBounded(t *testing.T) {
	t.Parallel()
	elsewhere := newIssuer(t)
	token := signed(t, jwt.SigningMethodES256, elsewhere.ec, map[string]any{"kid": "ec"}, jwt.MapClaims{"role": "authenticated", "exp": time.Now().Add(time.Hour).Unix()})
	for name, h := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.url, http.StatusFound) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[{"kid":"`))
			for block := bytes.Repeat([]byte("x"), 1<<16); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		},
		"not JSON":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"not found": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
	} {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		set, err := KeySet(t.Context(), srv.URL, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Errorf("%s: %v: a server that is down must not keep us from starting", name, err)
			continue
		}
		a := newAuthenticator(Config{KeySet: set})
		if _, err := a.verify(t.Context(), token); runnel.CodeOf(err) != runnel.CodeUnauthorized || err == nil || !strings.Contains(err.Error(), "RUNNEL_JWKS_URL") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := a.verify(t.Context(), mint(t, jwt.MapClaims{"role": "anon"})); runnel.CodeOf(err) != runnel.CodeUnauthorized || err == nil {
			t.Errorf("%s: HS256 without a secret: %v", name, err)
		}
	}
}
