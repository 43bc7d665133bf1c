package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// The codes a guest can read.
const (
	codeHostNotAllowed = "HostNotAllowed"
	codeFetchError     = "FetchError"
	codeTooLarge       = "TooLarge"
)

// failure is an error as the guest reads it.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f *failure) Error() string { return f.Code + ": " + f.Message }

func failf(code, format string, args ...any) *failure {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// response is the failure as http_fetch's answer.
func (f *failure) response() []byte {
	b, _ := json.Marshal(map[string]*failure{"error": f}) // strings always can
	return b
}

// explain says why a request to host failed. It names no address and no resolver:
// an operator's network is none of the guest's business.
func explain(host string, err error) *failure {
	var (
		known   *failure
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedPort),
		errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, ssrf.ErrInvalidHostPort):
		return failf(codeHostNotAllowed, "host %s is at an address that functions may not reach: only public addresses can be fetched", host)
	case errors.Is(err, context.DeadlineExceeded):
		return failf(codeFetchError, "host %s did not answer before the function's time was over: raise timeout, or ask for less", host)
	case errors.Is(err, context.Canceled):
		return failf(codeFetchError, "the request to %s was cancelled with the invocation", host)
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return failf(codeFetchError, "host %s does not exist: check its name", host)
		}
		return failf(codeFetchError, "host %s could not be resolved: try again later", host)
	case errors.As(err, &cert), errors.As(err, &unknown):
		return failf(codeFetchError, "the certificate of %s is not trusted: it has to be valid for that name and from a public authority", host)
	case errors.As(err, &record), errors.As(err, &alert):
		return failf(codeFetchError, "host %s does not speak TLS as expected: check the scheme and the port", host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return failf(codeFetchError, "host %s refused the connection: nothing listens there", host)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return failf(codeFetchError, "host %s closed the connection before its answer was complete: try again", host)
	case strings.Contains(err.Error(), "server response headers exceeded"): // net/http has no type for it
		return failf(codeTooLarge, "the response headers of %s are over %d KB", host, maxResponseHeaders>>10)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return failf(codeFetchError, "host %s could not be connected to in time: try again later", host)
	}
	return failf(codeFetchError, "the request to %s failed: it could not be reached, or its answer is not valid HTTP", host)
}
