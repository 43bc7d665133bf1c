package main

import (
	"os"
	"os/exec"
	"path/filepath"

	quickjs "github.com/aperturerobotics/go-quickjs-wasi-reactor"

	w "github.com/runnelhq/runnel/internal/wasmtest"
)

// guest is a module whose export run takes an i32 and returns an i32, or that
// script finds something to do in.
type guest struct {
	name   string
	wasm   []byte
	arg    int32
	script string
}

// Opcodes wasmtest has no name for.
const (
	i32Rotr      = 0x78
	i32LeS       = 0x4c
	i32GtS       = 0x4a
	f64Le        = 0x65
	f64Add       = 0xa0
	f64Sub       = 0xa1
	f64Mul       = 0xa2
	f64Div       = 0xa3
	f64FromInt32 = 0xb7
)

// guests are small programs as an optimising compiler writes them, and one that
// the Go compiler wrote.
func guests() ([]guest, error) {
	all := []guest{
		{"recursion (fibonacci)", fibonacci(), 27, ""},
		{"tight loop (sum)", sum(), 3_000_000, ""},
		{"hash rounds", hash(), 60_000, ""},
		{"floating point (mandelbrot)", mandelbrot(), 120, ""},
		{"memory (shell sort)", sort(), 30_000, ""},
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "github.com/runnelhq/runnel/bench/meter/guest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, err
	}
	wasm, err := os.ReadFile(out)
	return append(all,
		guest{"JavaScript loop (QuickJS)", quickjs.QuickJSWASM, 0, `{ let s = 0; const a = [1, 2, 3]; for (let i = 0; i < 300000; i++) { s = (s * 31 + i + a[i % 3]) | 0 } s }`},
		guest{"Go (JSON and sorting)", wasm, 500, ""}), err
}

// module wraps a body with the parameter in local 0.
func module(locals []byte, body *w.Code) []byte {
	m := w.New()
	m.Memory(16, 16)
	m.ExportFunc("run", m.Func(m.Type(w.Types(w.I32), w.Types(w.I32)), locals, body.End()))
	return m.Bytes()
}

func fibonacci() []byte {
	return module(nil, w.Body().
		LocalGet(0).I32Const(2).Op(w.I32LtS).If(w.Empty).LocalGet(0).Op(w.Return).End().
		LocalGet(0).I32Const(1).Op(w.I32Sub).Call(0).
		LocalGet(0).I32Const(2).Op(w.I32Sub).Call(0).Op(w.I32Add))
}

// sum adds 1..n.
func sum() []byte {
	return module(w.Types(w.I32), w.Body().
		Loop(w.Empty).
		LocalGet(1).LocalGet(0).Op(w.I32Add).LocalSet(1).
		LocalGet(0).I32Const(1).Op(w.I32Sub).LocalTee(0).BrIf(0).End().
		LocalGet(1))
}

// hash runs n times 16 rounds in the manner of SHA-256, over words in memory.
func hash() []byte {
	const a, b, c, i = 1, 2, 3, 4
	return module(w.Types(w.I32, w.I32, w.I32, w.I32), w.Body().
		I32Const(0x6a09e667).LocalSet(a).I32Const(0x3c6ef372).LocalSet(b).
		Loop(w.Empty).
		I32Const(0).LocalSet(i).
		Loop(w.Empty).
		LocalGet(a).I32Const(6).Op(i32Rotr).LocalGet(a).I32Const(11).Op(i32Rotr).Op(w.I32Xor).LocalGet(a).I32Const(25).Op(i32Rotr).Op(w.I32Xor).
		LocalGet(a).LocalGet(b).Op(w.I32And).LocalGet(a).I32Const(-1).Op(w.I32Xor).LocalGet(c).Op(w.I32And).Op(w.I32Xor).Op(w.I32Add).
		LocalGet(i).I32Load(64).Op(w.I32Add).LocalSet(c).
		LocalGet(i).LocalGet(c).I32Store(64).
		LocalGet(b).LocalGet(a).LocalSet(b).LocalGet(c).Op(w.I32Add).LocalSet(a).
		LocalGet(i).I32Const(4).Op(w.I32Add).LocalTee(i).I32Const(64).Op(w.I32Ne).BrIf(0).End().
		LocalGet(0).I32Const(1).Op(w.I32Sub).LocalTee(0).BrIf(0).End().
		LocalGet(a))
}

// mandelbrot counts the iterations of n x n points, at most 100 each.
func mandelbrot() []byte {
	const px, py, count, k, cx, cy, x, y, t = 1, 2, 3, 4, 5, 6, 7, 8, 9
	coordinate := func(p uint32, scale, shift float64) *w.Code {
		return w.Body().LocalGet(p).Op(f64FromInt32).LocalGet(0).Op(f64FromInt32).Op(f64Div).F64Const(scale).Op(f64Mul).F64Const(shift).Op(f64Add)
	}
	next := func(p uint32) *w.Code {
		return w.Body().LocalGet(p).I32Const(1).Op(w.I32Add).LocalTee(p).LocalGet(0).Op(w.I32LtS)
	}
	return module(w.Types(w.I32, w.I32, w.I32, w.I32, w.F64, w.F64, w.F64, w.F64, w.F64), w.Body().
		Loop(w.Empty).
		I32Const(0).LocalSet(px).
		Loop(w.Empty).
		Add(coordinate(px, 3, -2)).LocalSet(cx).Add(coordinate(py, 2, -1)).LocalSet(cy).
		F64Const(0).LocalSet(x).F64Const(0).LocalSet(y).I32Const(100).LocalSet(k).
		Block(w.Empty).Loop(w.Empty).
		LocalGet(x).LocalGet(x).Op(f64Mul).LocalGet(y).LocalGet(y).Op(f64Mul).Op(f64Add).F64Const(4).Op(f64Le).Op(w.I32Eqz).BrIf(1).
		LocalGet(x).LocalGet(x).Op(f64Mul).LocalGet(y).LocalGet(y).Op(f64Mul).Op(f64Sub).LocalGet(cx).Op(f64Add).LocalSet(t).
		LocalGet(x).LocalGet(y).Op(f64Mul).F64Const(2).Op(f64Mul).LocalGet(cy).Op(f64Add).LocalSet(y).
		LocalGet(t).LocalSet(x).
		LocalGet(count).I32Const(1).Op(w.I32Add).LocalSet(count).
		LocalGet(k).I32Const(1).Op(w.I32Sub).LocalTee(k).BrIf(0).End().End().
		Add(next(px)).BrIf(0).End().
		Add(next(py)).BrIf(0).End().
		LocalGet(count))
}

// sort fills n words with pseudo-random numbers and sorts them.
func sort() []byte {
	const gap, i, j, v, seed = 1, 2, 3, 4, 5
	word := func(p uint32) *w.Code { return w.Body().LocalGet(p).I32Const(2).Op(w.I32Shl) }
	return module(w.Types(w.I32, w.I32, w.I32, w.I32, w.I32), w.Body().
		Loop(w.Empty).
		LocalGet(seed).I32Const(1664525).Op(w.I32Mul).I32Const(1013904223).Op(w.I32Add).LocalSet(seed).
		Add(word(i)).LocalGet(seed).I32Store(0).
		LocalGet(i).I32Const(1).Op(w.I32Add).LocalTee(i).LocalGet(0).Op(w.I32LtS).BrIf(0).End().
		LocalGet(0).LocalSet(gap).
		Loop(w.Empty).
		LocalGet(gap).I32Const(3).Op(w.I32DivU).I32Const(1).Op(w.I32Or).LocalTee(gap).LocalSet(i).
		Loop(w.Empty).
		Add(word(i)).I32Load(0).LocalSet(v).LocalGet(i).LocalSet(j).
		Block(w.Empty).Loop(w.Empty).
		LocalGet(j).LocalGet(gap).Op(w.I32LtS).BrIf(1).
		LocalGet(j).LocalGet(gap).Op(w.I32Sub).I32Const(2).Op(w.I32Shl).I32Load(0).LocalGet(v).Op(i32LeS).BrIf(1).
		Add(word(j)).LocalGet(j).LocalGet(gap).Op(w.I32Sub).LocalTee(j).I32Const(2).Op(w.I32Shl).I32Load(0).I32Store(0).
		Br(0).End().End().
		Add(word(j)).LocalGet(v).I32Store(0).
		LocalGet(i).I32Const(1).Op(w.I32Add).LocalTee(i).LocalGet(0).Op(w.I32LtS).BrIf(0).End().
		LocalGet(gap).I32Const(1).Op(i32GtS).BrIf(0).End().
		LocalGet(0).I32Const(1).Op(w.I32ShrU).I32Const(2).Op(w.I32Shl).I32Load(0))
}
