package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestPrice(t *testing.T) {
	for name, c := range map[string]struct {
		order                        string
		subtotal, coupon, vat, total int64
	}{
		"one item":          {`{"country":"DE","items":[{"sku":"A","quantity":1,"unit_price_cents":1000}]}`, 1000, 0, 190, 1190},
		"half a cent":       {`{"country":"FI","items":[{"sku":"A","quantity":1,"unit_price_cents":10}]}`, 10, 0, 3, 13},
		"ten":               {`{"country":"NL","items":[{"sku":"A","quantity":10,"unit_price_cents":999}]}`, 9490, 0, 1993, 11483},
		"nine":              {`{"country":"NL","items":[{"sku":"A","quantity":9,"unit_price_cents":999}]}`, 8991, 0, 1888, 10879},
		"a hundred":         {`{"country":"AT","items":[{"sku":"A","quantity":100,"unit_price_cents":100}]}`, 9000, 0, 1800, 10800},
		"percent coupon":    {`{"country":"DE","items":[{"sku":"A","quantity":2,"unit_price_cents":1999}],"coupon":"WELCOME10"}`, 3998, 400, 684, 4282},
		"fixed coupon":      {`{"country":"DE","items":[{"sku":"A","quantity":1,"unit_price_cents":2500}],"coupon":"FIVER"}`, 2500, 500, 380, 2380},
		"coupon, too small": {`{"country":"DE","items":[{"sku":"A","quantity":1,"unit_price_cents":2499}],"coupon":"FIVER"}`, 2499, 0, 475, 2974},
		"free":              {`{"country":"DE","items":[{"sku":"A","quantity":1,"unit_price_cents":0}]}`, 0, 0, 0, 0},
		"the largest": {
			`{"country":"FI","items":[` + strings.TrimSuffix(strings.Repeat(`{"sku":"A","quantity":10000,"unit_price_cents":100000000},`, maxItems), ",") + `]}`,
			900_000_000_000_000, 0, 229_500_000_000_000, 1_129_500_000_000_000,
		},
	} {
		o, found := parse([]byte(c.order))
		if len(found) > 0 {
			t.Errorf("%s: refused: %q", name, found)
			continue
		}
		q := o.price()
		if got, want := [...]int64{q.SubtotalCents, q.CouponCents, q.VATCents, q.TotalCents}, [...]int64{c.subtotal, c.coupon, c.vat, c.total}; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestParseListsEveryProblem(t *testing.T) {
	for order, want := range map[string][]string{
		`{"country":"XX","items":[{"sku":"a b","quantity":0,"unit_price_cents":-1},{"sku":"OK","quantity":10001,"unit_price_cents":1}],"coupon":"FREE"}`: {
			`country "XX"`, `coupon "FREE"`, `items[0].sku`, `items[0].quantity 0`, `items[0].unit_price_cents -1`, `items[1].quantity 10001`,
		},
		`{"country":"DE","items":[]}`:            {"items: an order has 1 to 1000, not 0"},
		`{"country":"DE","items":[],"vat":0}`:    {`unknown field "vat"`},
		`{"country":"DE","items":[{"sku":1}]}`:   {"items.sku is a JSON number, not a string"},
		`{"country":"DE","items":[]} {}`:         {"something follows"},
		`[]`:                                     {"not a JSON object"},
		`"text"`:                                 {"not a JSON object"},
		``:                                       {"not a JSON object"},
		`{"items":[{"quantity":1e3,"sku":"A"}]}`: {"items.quantity is a JSON number 1e3, not a int64"},
	} {
		_, found := parse([]byte(order))
		if len(found) != len(want) {
			t.Errorf("%s: %d problems, want %d: %q", order, len(found), len(want), found)
			continue
		}
		for i := range want {
			if !strings.Contains(strings.ToLower(found[i]), strings.ToLower(want[i])) {
				t.Errorf("%s: problem %q does not mention %q", order, found[i], want[i])
			}
		}
	}
}

func TestRun(t *testing.T) {
	const order = `{"country":"DE","items":[{"sku":"A","quantity":1,"unit_price_cents":1000}]}`
	for name, c := range map[string]struct{ event, want, log string }{
		"http":            {`{"trigger":"http","body":` + order + `}`, `"total_cents":1190`, "priced 1 lines for DE: 1190 cents\n"},
		"sql":             {`{"trigger":"sql","payload":` + order + `}`, `"total_cents":1190`, "priced 1 lines for DE: 1190 cents\n"},
		"http, no body":   {`{"trigger":"http"}`, `{"statusCode":422,"body":{"problems":["`, "refused an order: 1 problems\n"},
		"http, text body": {`{"trigger":"http","body":"hello"}`, `{"statusCode":422,`, "refused an order: 1 problems\n"},
		"sql, null":       {`{"trigger":"sql","payload":null}`, `{"problems":["`, "refused an order: 2 problems\n"},
	} {
		var out, log bytes.Buffer
		if err := run(strings.NewReader(c.event), &out, &log, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(out.String(), c.want) || log.String() != c.log {
			t.Errorf("%s: got %s and log %q", name, out.String(), log.String())
		}
	}
	for _, event := range []string{``, `{`, `{"trigger":"schedule","payload":` + order + `}`} {
		var out, log bytes.Buffer
		if err := run(strings.NewReader(event), &out, &log, ""); err == nil {
			t.Errorf("%q: no error, answered %s", event, out.String())
		}
	}
}

func TestSignature(t *testing.T) {
	event := `{"trigger":"http","body":{"country":"DE","items":[{"sku":"A","quantity":1,"unit_price_cents":1000}]}}`
	var out, log bytes.Buffer
	if err := run(strings.NewReader(event), &out, &log, "a key"); err != nil {
		t.Fatal(err)
	}
	var q Quote
	if err := json.Unmarshal(out.Bytes(), &q); err != nil {
		t.Fatal(err)
	}
	if q.Signature == "" || q.Signature != sign("a key", q) {
		t.Errorf("the signature %q does not verify", q.Signature)
	}
	if q.Signature == sign("another key", q) {
		t.Error("the signature does not depend on the key")
	}
	q.Lines = slices.Clone(q.Lines)
	q.Lines[0].TotalCents--
	if q.Signature == sign("a key", q) {
		t.Error("the signature does not depend on the prices")
	}
	if strings.Contains(out.String()+log.String(), "a key") {
		t.Error("the key is in the output")
	}
}
