package runnel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// Handler is a function. What it returns is the result: a Response is answered over
// HTTP as it says; anything else is JSON; nil is nothing (204). An error is
// FunctionError with its text, status 500; to answer 404, return a Response.
type Handler func(ctx context.Context, event Event) (any, error)

// Response is an HTTP response.
type Response struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers,omitempty"`
	Body       any               `json:"body,omitempty"`      // a string is text, anything else JSON
	IsBase64   bool              `json:"is_base64,omitempty"` // Body is a string of base64
}

// Handle runs the handler: main of a WASI command calls it and nothing after it.
// Elsewhere it reads an event from standard input, too, so that a function can be
// tried without Runnel.
func Handle(h Handler) {
	event, err := io.ReadAll(os.Stdin)
	if err == nil {
		var result []byte
		if result, err = Invoke(context.Background(), h, event); err == nil {
			_, err = os.Stdout.Write(result)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // Runnel takes the last line for the error's message
		os.Exit(1)
	}
}

// Invoke calls a handler with an event's JSON and returns the result's.
func Invoke(ctx context.Context, h Handler, event []byte) ([]byte, error) {
	e, err := ParseEvent(event)
	if err != nil {
		return nil, fmt.Errorf("the event is not one of Runnel's: %w", err)
	}
	result, err := h(ctx, e)
	if err != nil || result == nil {
		return nil, err
	}
	return encodeResult(result)
}

func encodeResult(result any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(result); err != nil {
		return nil, fmt.Errorf("the result is not JSON: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
