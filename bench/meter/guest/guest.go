//go:build wasip1

// Command guest is a Go function for the benchmark around it.
package main

import (
	"encoding/json"
	"slices"
)

type order struct {
	ID    int      `json:"id"`
	Name  string   `json:"name"`
	Price float64  `json:"price"`
	Tags  []string `json:"tags"`
}

// work encodes, decodes and sorts n orders.
//
//go:wasmexport run
func run(n int32) int32 {
	orders := make([]order, n)
	for i := range orders {
		orders[i] = order{ID: i * 7919 % 1000, Name: "an order", Price: float64(i) * 1.25, Tags: []string{"a", "b"}}
	}
	b, err := json.Marshal(orders)
	if err != nil {
		return -1
	}
	var back []order
	if json.Unmarshal(b, &back) != nil {
		return -1
	}
	slices.SortFunc(back, func(a, b order) int { return a.ID - b.ID })
	return int32(back[n/2].ID)
}

func main() {}
