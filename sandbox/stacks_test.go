package sandbox

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sandbox/compile"
)

// TestStacksKnowThisWazero fails when an update of wazero keeps stacks another way.
func TestStacksKnowThisWazero(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, compile.Engine())
	defer r.Close(ctx)
	if err := instantiateTick(ctx, r); err != nil {
		t.Fatal(err)
	}
	s, err := newStacks(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Instantiate(ctx, []byte(recursion))
	if err != nil {
		t.Fatal(err)
	}
	_, ctx = probing(ctx)
	f := m.ExportedFunction("f")
	b := s.take()
	for range 3 { // lent again and again; deeper than it is; too deep
		for _, calls := range []uint64{10, stackBytes / 16, 10_000_000} {
			back := s.lend(f, b)
			_, err := f.Call(ctx, calls)
			back()
			if (err != nil) != (calls == 10_000_000) {
				t.Fatalf("%d calls: %v", calls, err)
			}
		}
		if *b == (nativeStack{}) {
			t.Error("nothing was written on the stack that was lent")
		}
	}
	// Without it, the function has its own again.
	s.put(b)
	if _, err := f.Call(ctx, 1000); err != nil {
		t.Fatal(err)
	}
	if *b != (nativeStack{}) {
		t.Error("a stack that nobody has is not zero")
	}
}

func TestStacksRefuseAnEngineTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(ctx)
	_ = instantiateTick(ctx, r) // it fails as well, after it has made the module of the tick
	if _, err := newStacks(ctx, r); !errors.Is(err, errStacks) {
		t.Errorf("got %v", err)
	}
}

// A function of the host, which has no stack, and one that somebody changed are left
// as they are.
func TestStacksLeaveAloneWhatIsNoFunctionOfAGuest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRuntime(t, Config{})
	again, err := r.wazero.Instantiate(ctx, []byte("\x00asm\x01\x00\x00\x00"+
		"\x01\x06\x01\x60\x01\x7f\x01\x7f"+ // type (i32) -> (i32)
		"\x02\x0b\x01\x02mr\x04tick\x00\x00"+ // import
		"\x07\x08\x01\x04tick\x00\x00")) // export
	if err != nil {
		t.Fatal(err)
	}
	tick := again.ExportedFunction("tick")
	if reflect.TypeOf(tick) == r.stacks.engine {
		t.Fatal("a function of the host is like one of a guest")
	}
	r.stacks.lend(tick, r.stacks.take())()
	m, err := r.wazero.Instantiate(ctx, []byte(recursion))
	if err != nil {
		t.Fatal(err)
	}
	f := m.ExportedFunction("f")
	stack, top, _ := r.stacks.fields(f)
	*top += 16
	b := r.stacks.take()
	back := r.stacks.lend(f, b)
	if &(*stack)[0] == &b[0] {
		t.Error("a stack was lent to a function that is not as expected")
	}
	back()
}

func TestFUNC_E2_NativeStacksAreZeroForTheNextGuest(t *testing.T) {
	r := newRuntime(t, Config{})
	watched := func(n int32) []byte {
		g := newGuest()
		g.Export(overflowExport, wasmtest.KindGlobal, g.Global(wasmtest.I32, true, body().I32Const(0).End()))
		f := g.recursion()
		g.Export(memoryExport, wasmtest.KindMemory, g.Memory(1))
		g.ExportFunc(reactorAlloc, g.Func(g.Type([]byte{wasmtest.I32}, []byte{wasmtest.I32}), nil, body().I32Const(1024).End()))
		g.ExportFunc(reactorHandle, g.Func(g.Type([]byte{wasmtest.I32, wasmtest.I32}, []byte{wasmtest.I64}), nil,
			body().I32Const(n).Call(f).Op(wasmtest.Drop).I64Const(0).End()))
		return g.Bytes()
	}
	for _, c := range []struct {
		calls int32
		code  runnel.Code
	}{{1_000, ""}, {1_000_000, runnel.CodeStackOverflow}} {
		wasm := watched(c.calls)
		for tries := 0; ; tries++ {
			var fresh *runnel.Error
			if _, err := run(t, r, wasm); c.code == "" && err != nil || c.code != "" && (!errors.As(err, &fresh) || fresh.Code != c.code) {
				t.Fatal(err)
			}
			b, ok := r.stacks.idle.Get().(*nativeStack)
			if ok && *b != (nativeStack{}) {
				t.Fatal("a stack of an earlier guest is not zero")
			}
			if ok {
				break
			}
			if tries == 1000 { // the pool may drop what it has, and seldom does
				t.Fatal("no stack came back")
			}
		}
	}
}
