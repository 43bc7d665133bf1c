//go:build wasip1

package runnel

import (
	"context"
	"runtime"
	"unsafe"
)

//go:wasmimport runnel db_query
func hostQuery(sql unsafe.Pointer, sqlLen uint32, params unsafe.Pointer, paramsLen uint32) uint32

//go:wasmimport runnel http_fetch
func hostFetch(request unsafe.Pointer, requestLen uint32) uint32

//go:wasmimport runnel env
func hostEnv(key unsafe.Pointer, keyLen uint32) int32

//go:wasmimport runnel log
func hostLog(level uint32, message unsafe.Pointer, messageLen uint32)

//go:wasmimport runnel result_read
func hostResultRead(into unsafe.Pointer, room uint32) uint32

type wasmHost struct{}

func hostOf(context.Context) host { return wasmHost{} }

func pointer(b []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))
}

// answer reads the response of the call before it.
func answer(n uint32) []byte {
	b := make([]byte, n)
	at, room := pointer(b)
	return b[:hostResultRead(at, room)]
}

func (wasmHost) query(sql string, params []byte) []byte {
	text := []byte(sql)
	at, n := pointer(text)
	values, m := pointer(params)
	size := hostQuery(at, n, values, m)
	runtime.KeepAlive(text)
	runtime.KeepAlive(params)
	return answer(size)
}

func (wasmHost) fetch(request []byte) []byte {
	at, n := pointer(request)
	size := hostFetch(at, n)
	runtime.KeepAlive(request)
	return answer(size)
}

func (wasmHost) env(key string) (string, bool) {
	text := []byte(key)
	at, n := pointer(text)
	size := hostEnv(at, n)
	runtime.KeepAlive(text)
	if size < 0 {
		return "", false
	}
	return string(answer(uint32(size))), true
}

func (wasmHost) log(level Level, message string) {
	text := []byte(message)
	at, n := pointer(text)
	hostLog(uint32(level), at, n)
	runtime.KeepAlive(text)
}
