package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel"
)

func (t *tool) invokeCommand() *cobra.Command {
	var (
		data, method, key string
		once              string
		async             bool
	)
	cmd := &cobra.Command{
		Use:   "invoke NAME",
		Short: "Call a function over HTTP and print its result",
		Long: `Call a function over HTTP and print its result.

The call is made with the anon key of "runnel dev". When RUNNEL_URL is set it is
made with RUNNEL_KEY, or as anon where RUNNEL_JWT_SECRET is known.`,
		Example: "  runnel invoke price-order --data '{\"items\":[]}'\n  runnel invoke price-order --data @order.json",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			body, err := t.readData(data)
			if err != nil {
				return fmt.Errorf("--data %s: %w", data, err)
			}
			if key != "" {
				c.key = key
			}
			header := http.Header{}
			if once != "" {
				header.Set("Idempotency-Key", once)
			}
			if async {
				header.Set("Prefer", "respond-async")
			}
			res, b, err := c.send(cmd.Context(), strings.ToUpper(method), "/functions/v1/invoke/"+url.PathEscape(args[0]), c.key, bytes.NewReader(body), header)
			if err != nil {
				return err
			}
			if t.json {
				if err := t.writeJSON(answerJSON(res, b)); err != nil {
					return err
				}
			} else if res.StatusCode < 400 {
				if err := t.writeBody(b); err != nil {
					return err
				}
			}
			if res.StatusCode < 400 {
				return nil
			}
			var e apiError
			if json.Unmarshal(b, &e) == nil && e.Code != "" {
				if e.Code == runnel.CodeUnauthorized {
					e.Message += "; here it is RUNNEL_KEY or --key, and runnel keys mints one"
				}
				e.Refused = res.Header.Get("X-Relay-Error") != ""
				return &e
			}
			// The function chose this status itself.
			if !t.json {
				if err := t.writeBody(b); err != nil {
					return err
				}
			}
			return fmt.Errorf("%s answered with status %d", args[0], res.StatusCode)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&data, "data", "d", "", "body: the text itself, @FILE, or - for standard input")
	flags.StringVarP(&method, "method", "X", http.MethodPost, "HTTP method")
	flags.StringVar(&key, "key", "", "token to call with (default: the anon key)")
	flags.StringVar(&once, "idempotency-key", "", "run once: later calls with the same key get the first one's response, for 24 hours")
	flags.BoolVar(&async, "async", false, "do not wait for the result")
	return cmd
}

func (t *tool) readData(data string) ([]byte, error) {
	if data == "-" {
		return io.ReadAll(t.in)
	}
	if file, ok := strings.CutPrefix(data, "@"); ok {
		return os.ReadFile(file)
	}
	return []byte(data), nil
}

// writeBody writes a result as it came, with a line break at its end.
func (t *tool) writeBody(b []byte) error {
	if len(b) > 0 && utf8.Valid(b) && !bytes.HasSuffix(b, []byte("\n")) {
		b = append(b, '\n')
	}
	_, err := t.out.Write(b)
	return err
}

// answer is a response in --json.
type answer struct {
	Status       int               `json:"status"`
	InvocationID string            `json:"invocation_id"`
	Headers      map[string]string `json:"headers"`
	Body         any               `json:"body"` // JSON as it came, else text
}

func answerJSON(res *http.Response, b []byte) answer {
	a := answer{res.StatusCode, res.Header.Get("X-Runnel-Invocation-Id"), make(map[string]string), nil}
	for name, values := range res.Header {
		a.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	switch {
	case len(b) == 0:
	case json.Valid(b):
		a.Body = json.RawMessage(b)
	default:
		a.Body = string(b)
	}
	return a
}
