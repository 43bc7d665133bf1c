// Command go-webhook receives webhooks: it checks the HMAC-SHA256 signature that
// GitHub, Gitea and many others send, and keeps what is genuine in a table.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	runnel "github.com/runnelhq/runnel/sdk/go"
)

func handle(ctx context.Context, e runnel.Event) (any, error) {
	if e.HTTP == nil {
		return nil, fmt.Errorf("trigger %q brings no webhook: call this function over HTTP", e.Trigger)
	}
	secret, ok := runnel.Env(ctx, "WEBHOOK_SECRET")
	if !ok || secret == "" {
		return nil, fmt.Errorf("WEBHOOK_SECRET is not set: runnel secrets set go-webhook WEBHOOK_SECRET=...")
	}
	body, err := e.HTTP.Bytes()
	if err != nil {
		return nil, err
	}
	if !genuine([]byte(secret), body, e.HTTP.Headers["x-hub-signature-256"]) {
		runnel.Log(ctx, runnel.LevelWarn, "a webhook with a wrong signature was refused")
		return answer(401, "the signature is wrong"), nil
	}
	_, err = runnel.Query(ctx, "insert into webhooks (kind, body) values ($1, $2)", e.HTTP.Headers["x-github-event"], string(body))
	switch {
	case runnel.CodeOf(err) == "RlsUnavailable":
		return answer(202, "genuine, but there is no database to keep it in"), nil
	case err != nil:
		return nil, err
	}
	return answer(202, "kept"), nil
}

func genuine(secret, body []byte, signature string) bool {
	sum, err := hex.DecodeString(strings.TrimPrefix(signature, "sha256="))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return hmac.Equal(mac.Sum(nil), sum)
}

func answer(status int, message string) runnel.Response {
	return runnel.Response{StatusCode: status, Body: map[string]string{"message": message}}
}
