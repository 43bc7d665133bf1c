package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	runnel "github.com/runnelhq/runnel/sdk/go"
)

const event = `{"trigger":"http","headers":{"content-type":"application/json","x-github-event":"push","x-hub-signature-256":"sha256=SIGNATURE"},"body":{"zen":"Keep it logically awesome."}}`

func TestWebhook(t *testing.T) {
	kept := ""
	fake := &runnel.Fake{
		Env: map[string]string{"WEBHOOK_SECRET": "s3cret-of-the-hook"},
		OnQuery: func(_ string, params json.RawMessage) (*runnel.Rows, error) {
			kept = string(params)
			return &runnel.Rows{RowCount: 1}, nil
		},
	}
	call := func(signature string) string {
		t.Helper()
		result, err := runnel.Invoke(fake.Context(t.Context()), handle, []byte(strings.Replace(event, "SIGNATURE", signature, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return string(result)
	}
	const right = "6f06050a2ddb45e5d273acea4bd9bf798ac1ee2758ced202f3ab50b38a68ad81"
	for _, wrong := range []string{"", "zz", right[:62] + "00", strings.ToUpper(right[:10])} {
		if got := call(wrong); !strings.Contains(got, `"statusCode":401`) || kept != "" {
			t.Errorf("%s: %s, kept %s", wrong, got, kept)
		}
	}
	if got := call(right); got != `{"statusCode":202,"body":{"message":"kept"}}` || kept != `["push","{\"zen\":\"Keep it logically awesome.\"}"]` {
		t.Errorf("%s, kept %s", got, kept)
	}
	fake.OnQuery = func(string, json.RawMessage) (*runnel.Rows, error) { return nil, errors.New("no table") }
	if _, err := runnel.Invoke(fake.Context(t.Context()), handle, []byte(strings.Replace(event, "SIGNATURE", right, 1))); err == nil {
		t.Error("a webhook that could not be kept was accepted")
	}
}
