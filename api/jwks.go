package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

const (
	// jwksRefresh is how old the keys may be. A key id that is not known is looked
	// for once in five minutes besides (the library's limit), so that a stranger's
	// tokens cannot make us ask the issuer without end.
	jwksRefresh = 15 * time.Minute
	jwksTimeout = 5 * time.Second
	maxJWKS     = 1 << 20 // bytes
)

// KeySet returns the public keys at url, for Config.KeySet. The keys are fetched
// now and again until ctx ends; when that fails the ones there are stay in use, and
// with none no token of that issuer is valid.
func KeySet(ctx context.Context, url string, log *slog.Logger) (func(context.Context) jwt.Keyfunc, error) {
	client := &http.Client{
		Timeout:   jwksTimeout,
		Transport: bounded{&http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: jwksTimeout, MaxIdleConns: 1, IdleConnTimeout: time.Second, MaxResponseHeaderBytes: maxHeaderBytes}},
		// The address is the operator's and the keys decide who may do what: they
		// come from there and from nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("RUNNEL_JWKS_URL redirects: set it to where the keys are")
		},
	}
	keys, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{url}, keyfunc.Override{
		Client:           client,
		HTTPTimeout:      jwksTimeout,
		RateLimitWaitMax: jwksTimeout, // also how long a request waits for a refresh
		RefreshInterval:  jwksRefresh,
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(_ context.Context, err error) {
				log.Warn("the keys at RUNNEL_JWKS_URL could not be fetched; those known before stay valid", "error", err)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("RUNNEL_JWKS_URL: %w", err)
	}
	return keys.KeyfuncCtx, nil
}

// bounded cuts answers off at maxJWKS, which makes them invalid JSON.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxJWKS), res.Body}
	}
	return res, err
}
