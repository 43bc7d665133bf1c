//go:build !cgo || !linux

package main

import (
	"context"
	"errors"
)

func wasmtimeCaller(_, _, _ []byte) (func(context.Context) error, error) {
	return nil, errors.New("wasmtime-go needs cgo: install a C compiler and set CGO_ENABLED=1")
}
