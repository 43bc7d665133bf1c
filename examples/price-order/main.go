// Command price-order is a function that checks an order and prices it.
//
// Over HTTP the order is the request's body, from SQL it is the payload. The
// answer is the Quote, or status 422 with every problem of the order. With
// API_KEY in its environment the quote is signed, so that a later step can tell
// that the prices are from here.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// event is the part of Runnel's event that matters here.
type event struct {
	Trigger string          `json:"trigger"`
	Body    json.RawMessage `json:"body"`    // trigger http
	Payload json.RawMessage `json:"payload"` // trigger sql
}

// response is an answer with an HTTP status other than 200.
type response struct {
	StatusCode int      `json:"statusCode"`
	Body       problems `json:"body"`
}

type problems struct {
	Problems []string `json:"problems"`
}

func main() {
	if err := run(os.Stdin, os.Stdout, os.Stderr, os.Getenv("API_KEY")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run reads an event and writes the result. An order that cannot be priced is a
// result; an error means that the event is not one this function understands.
func run(in io.Reader, out, log io.Writer, key string) error {
	var e event
	if err := json.NewDecoder(in).Decode(&e); err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	var text json.RawMessage
	switch e.Trigger {
	case "http":
		text = e.Body
	case "sql":
		text = e.Payload
	default:
		return fmt.Errorf("trigger %q brings no order: call this function over HTTP or with runnel.invoke()", e.Trigger)
	}

	order, found := parse(text)
	if len(found) > 0 {
		fmt.Fprintf(log, "refused an order: %d problems\n", len(found))
		if e.Trigger == "http" {
			return json.NewEncoder(out).Encode(response{422, problems{found}})
		}
		return json.NewEncoder(out).Encode(problems{found})
	}
	quote := order.price()
	fmt.Fprintf(log, "priced %d lines for %s: %d cents\n", len(quote.Lines), order.Country, quote.TotalCents)
	if key != "" {
		quote.Signature = sign(key, quote)
	}
	return json.NewEncoder(out).Encode(quote)
}

// sign returns the hex HMAC-SHA256 of the quote's JSON without the signature.
func sign(key string, q Quote) string {
	q.Signature = ""
	text, err := json.Marshal(q)
	if err != nil {
		panic(err) // strings and integers only
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil))
}
