package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/runnelhq/runnel"
)

// leeway is how far the clock of whoever issued a token may be off.
const leeway = 30 * time.Second

// authenticator decides on whose behalf a request is made.
type authenticator struct {
	secret []byte                            // HS256 key; empty: none
	keys   func(context.Context) jwt.Keyfunc // public keys; nil: none
	admin  *[32]byte                         // sha256 of the admin token; nil: none
	parser *jwt.Parser
}

func newAuthenticator(cfg Config) *authenticator {
	a := &authenticator{secret: cfg.JWTSecret, keys: cfg.KeySet}
	var methods []string
	if len(a.secret) > 0 {
		methods = append(methods, jwt.SigningMethodHS256.Alg())
	}
	if a.keys != nil {
		methods = append(methods, jwt.SigningMethodRS256.Alg(), jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg())
	}
	// Without the list of methods the token would choose its own; without the
	// requirement a token without exp would be valid for ever.
	options := []jwt.ParserOption{
		jwt.WithValidMethods(methods),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(leeway),
		jwt.WithStrictDecoding(),
	}
	if cfg.JWTIssuer != "" {
		options = append(options, jwt.WithIssuer(cfg.JWTIssuer))
	}
	if cfg.JWTAudience != "" {
		options = append(options, jwt.WithAudience(cfg.JWTAudience))
	}
	a.parser = jwt.NewParser(options...)
	if cfg.AdminToken != "" {
		sum := sha256.Sum256([]byte(cfg.AdminToken))
		a.admin = &sum
	}
	return a
}

// caller decides on whose behalf a function is called.
//
// With verify_jwt a valid token is required. Without it, the function is called
// as anon when there is no token, and also when there is one that is not valid:
// such functions take webhooks, whose Authorization header is the sender's
// secret and not one of our tokens. (Supabase does not look at the token at all
// then; we do, so that a signed-in caller of a public function keeps its role.)
func (a *authenticator) caller(r *http.Request, verify bool) (runnel.Caller, error) {
	token, err := bearer(r)
	if err == nil && token == "" {
		err = runnel.Errorf(runnel.CodeUnauthorized, "this function needs a token: send it as \"Authorization: Bearer <token>\", or deploy the function with verify_jwt false")
	}
	var c runnel.Caller
	if err == nil {
		c, err = a.verify(r.Context(), token)
	}
	if err != nil && !verify {
		return runnel.Caller{Role: runnel.RoleAnon}, nil
	}
	return c, err
}

// verify reads a token: signature, expiry and role.
func (a *authenticator) verify(ctx context.Context, token string) (runnel.Caller, error) {
	if len(a.secret) == 0 && a.keys == nil {
		return runnel.Caller{}, runnel.Errorf(runnel.CodeUnauthorized, "tokens cannot be checked because no key is set: set RUNNEL_JWT_SECRET or RUNNEL_JWKS_URL for the web process, or deploy the function with verify_jwt false")
	}
	if err := checkToken(token); err != nil {
		return runnel.Caller{}, runnel.Errorf(runnel.CodeUnauthorized, "the token is not valid: %v", err)
	}
	claims := jwt.MapClaims{}
	parsed, err := a.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if err := checkHeader(t.Header); err != nil {
			return nil, err
		}
		// The method is on the list, so it is one that there is a key for. A secret
		// verifies HS256 and nothing else, a public key never HS256.
		if t.Method == jwt.SigningMethodHS256 {
			return a.secret, nil
		}
		return publicKey(t, a.keys(ctx))
	})
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return runnel.Caller{}, runnel.Errorf(runnel.CodeUnauthorized, "the token has expired: get a new one")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return runnel.Caller{}, runnel.Errorf(runnel.CodeUnauthorized, "the token is not valid yet: check the clock of whoever issued it")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return runnel.Caller{}, runnel.Errorf(runnel.CodeUnauthorized, "the token is from another issuer than RUNNEL_JWT_ISSUER")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return runnel.Caller{}, runnel.Errorf(runnel.CodeUnauthorized, "the token is for another audience than RUNNEL_JWT_AUDIENCE")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return runnel.Caller{}, runnel.Errorf(runnel.CodeUnauthorized, "the token lacks a claim: tokens have to expire (exp), and to name issuer and audience where those are set")
	case err != nil || !parsed.Valid:
		return runnel.Caller{}, runnel.Errorf(runnel.CodeUnauthorized, "the token is not valid: it has to be a JWT signed with %s", a.accepted())
	}
	role, _ := claims["role"].(string)
	switch role {
	case runnel.RoleAnon, runnel.RoleAuthenticated:
	case runnel.RoleService:
		if parsed.Method != jwt.SigningMethodHS256 {
			// An identity provider says who somebody is. Often its users can have a
			// say in their claims; they must not become the operator by it.
			return runnel.Caller{}, runnel.Errorf(runnel.CodeForbidden, "a token of RUNNEL_JWKS_URL may not have role service_role: use the admin token, or a token signed with RUNNEL_JWT_SECRET")
		}
	case "":
		return runnel.Caller{}, runnel.Errorf(runnel.CodeUnauthorized, "the token has no role claim: use anon, authenticated or service_role")
	default:
		// The owner's and every other database role stay out of reach.
		return runnel.Caller{}, runnel.Errorf(runnel.CodeForbidden, "role %.64q is not allowed: use anon, authenticated or service_role", role)
	}
	// The claims as they were signed: decoding them would round big numbers.
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		return runnel.Caller{}, runnel.Errorf(runnel.CodeUnauthorized, "the token is not valid: it cannot be decoded")
	}
	// One such token would fail the statement that enqueues many callers' calls.
	if !utf8.Valid(raw) || bytes.Contains(raw, []byte(`\u0000`)) {
		return runnel.Caller{}, runnel.Errorf(runnel.CodeUnauthorized, "the token is not valid: a claim is not UTF-8 or contains a NUL character, which Postgres cannot store")
	}
	sub, _ := claims["sub"].(string)
	return runnel.Caller{Role: role, UserID: sub, Claims: raw}, nil
}

// accepted names what tokens may be signed with.
func (a *authenticator) accepted() string {
	switch {
	case a.keys == nil:
		return "HS256 and RUNNEL_JWT_SECRET"
	case len(a.secret) == 0:
		return "RS256, ES256 or EdDSA and a key of RUNNEL_JWKS_URL, named by kid"
	}
	return "HS256 and RUNNEL_JWT_SECRET, or with RS256, ES256 or EdDSA and a key of RUNNEL_JWKS_URL, named by kid"
}

// isAdmin tells whether token is the admin token or a service_role JWT.
func (a *authenticator) isAdmin(ctx context.Context, token string) bool {
	if token == "" {
		return false
	}
	if a.admin != nil {
		// Hashes have one length, so the comparison tells nothing about the token.
		if sum := sha256.Sum256([]byte(token)); subtle.ConstantTimeCompare(sum[:], a.admin[:]) == 1 {
			return true
		}
	}
	c, err := a.verify(ctx, token)
	return err == nil && c.Role == runnel.RoleService
}

// authorizeAdmin lets only the admin pass.
func (a *authenticator) authorizeAdmin(r *http.Request) error {
	token, err := bearer(r)
	if err != nil {
		return err
	}
	if a.isAdmin(r.Context(), token) {
		return nil
	}
	if a.admin == nil {
		return runnel.Errorf(runnel.CodeUnauthorized, "no admin token is set: set RUNNEL_ADMIN_TOKEN for the web process and send it as \"Authorization: Bearer <token>\"")
	}
	if token == "" {
		return runnel.Errorf(runnel.CodeUnauthorized, "this needs the admin token: send \"Authorization: Bearer $RUNNEL_ADMIN_TOKEN\"")
	}
	if c, err := a.verify(r.Context(), token); err == nil {
		return runnel.Errorf(runnel.CodeForbidden, "role %s may not manage functions: send \"Authorization: Bearer $RUNNEL_ADMIN_TOKEN\", or a service_role token", c.Role)
	}
	return runnel.Errorf(runnel.CodeUnauthorized, "the admin token is wrong: send \"Authorization: Bearer $RUNNEL_ADMIN_TOKEN\"")
}

// bearer returns the request's token: the one of the Authorization header, else
// the apikey header, which Supabase clients send along with every call. "" means
// there is none.
func bearer(r *http.Request) (string, error) {
	lines := r.Header.Values("Authorization")
	if len(lines) > 1 {
		return "", runnel.Errorf(runnel.CodeUnauthorized, "there is more than one Authorization header: send one")
	}
	if len(lines) == 1 {
		scheme, token, _ := strings.Cut(lines[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token), nil
		}
	}
	return r.Header.Get("Apikey"), nil
}
