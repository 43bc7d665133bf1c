package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Order is what a customer wants. Prices are net, in cents.
type Order struct {
	Country string `json:"country"`
	Items   []Item `json:"items"`
	Coupon  string `json:"coupon"`
}

// Item is one line of an order.
type Item struct {
	SKU            string `json:"sku"`
	Quantity       int64  `json:"quantity"`
	UnitPriceCents int64  `json:"unit_price_cents"`
}

// Quote is a priced order. All amounts are in cents.
type Quote struct {
	Currency      string `json:"currency"`
	Lines         []Line `json:"lines"`
	SubtotalCents int64  `json:"subtotal_cents"` // of the lines
	CouponCents   int64  `json:"coupon_cents"`   // taken off the subtotal
	VATPermille   int64  `json:"vat_permille"`
	VATCents      int64  `json:"vat_cents"`
	TotalCents    int64  `json:"total_cents"`
	Signature     string `json:"signature,omitempty"`
}

// Line is one priced item.
type Line struct {
	SKU           string `json:"sku"`
	Quantity      int64  `json:"quantity"`
	DiscountCents int64  `json:"discount_cents"`
	TotalCents    int64  `json:"total_cents"`
}

// Bounds keep every amount within int64: an order is at most 10^15 cents, and
// with VAT in permille no product passes 10^18.
const (
	maxItems          = 1000
	maxQuantity       = 10_000
	maxUnitPriceCents = 100_000_000
)

var (
	skuFormat = regexp.MustCompile(`^[A-Z0-9][A-Z0-9-]{0,31}$`)

	// vatPermille is the standard rate.
	vatPermille = map[string]int64{
		"AT": 200, "BE": 210, "CZ": 210, "DE": 190, "DK": 250, "ES": 210, "FI": 255, "FR": 200,
		"IE": 230, "IT": 220, "LU": 170, "NL": 210, "PL": 230, "PT": 230, "SE": 250,
	}

	// quantityDiscounts in permille, the largest quantity first.
	quantityDiscounts = []struct{ from, permille int64 }{{100, 100}, {10, 50}}

	coupons = map[string]func(subtotal int64) int64{
		"WELCOME10": func(subtotal int64) int64 { return permille(subtotal, 100) },
		"FIVER": func(subtotal int64) int64 {
			if subtotal < 2500 {
				return 0
			}
			return 500
		},
	}
)

// permille returns amount * rate / 1000, halves rounded up.
func permille(amount, rate int64) int64 { return (amount*rate + 500) / 1000 }

// parse reads an order and returns every problem it has.
func parse(text []byte) (Order, []string) {
	var o Order
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(&o)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("something follows it")
		}
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) && mismatch.Field != "" {
		return o, []string{fmt.Sprintf("%s is a JSON %.40s, not a %s", mismatch.Field, mismatch.Value, mismatch.Type.Kind())}
	}
	if err != nil {
		return o, []string{"the order is not a JSON object with country, items and coupon: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
	var found []string
	problem := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if _, ok := vatPermille[o.Country]; !ok {
		problem("country %.10q is not one of %s", o.Country, strings.Join(slices.Sorted(maps.Keys(vatPermille)), ", "))
	}
	if len(o.Items) == 0 || len(o.Items) > maxItems {
		problem("items: an order has 1 to %d, not %d", maxItems, len(o.Items))
		return o, found
	}
	if _, ok := coupons[o.Coupon]; !ok && o.Coupon != "" {
		problem("coupon %.40q is not known", o.Coupon)
	}
	for i, item := range o.Items {
		if !skuFormat.MatchString(item.SKU) {
			problem("items[%d].sku %.40q is not 1 to 32 of A-Z, 0-9 and -", i, item.SKU)
		}
		if item.Quantity < 1 || item.Quantity > maxQuantity {
			problem("items[%d].quantity %d is not between 1 and %d", i, item.Quantity, maxQuantity)
		}
		if item.UnitPriceCents < 0 || item.UnitPriceCents > maxUnitPriceCents {
			problem("items[%d].unit_price_cents %d is not between 0 and %d", i, item.UnitPriceCents, maxUnitPriceCents)
		}
	}
	return o, found
}

// price prices an order that has no problems.
func (o Order) price() Quote {
	q := Quote{Currency: "EUR", Lines: make([]Line, 0, len(o.Items))}
	for _, item := range o.Items {
		line := Line{SKU: item.SKU, Quantity: item.Quantity, TotalCents: item.Quantity * item.UnitPriceCents}
		for _, d := range quantityDiscounts {
			if item.Quantity >= d.from {
				line.DiscountCents = permille(line.TotalCents, d.permille)
				line.TotalCents -= line.DiscountCents
				break
			}
		}
		q.Lines = append(q.Lines, line)
		q.SubtotalCents += line.TotalCents
	}
	if coupon, ok := coupons[o.Coupon]; ok {
		q.CouponCents = coupon(q.SubtotalCents)
	}
	net := q.SubtotalCents - q.CouponCents
	q.VATPermille = vatPermille[o.Country]
	q.VATCents = permille(net, q.VATPermille)
	q.TotalCents = net + q.VATCents
	return q
}
