package sandbox

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/runnelhq/runnel"
)

// maxDepth bounds a guest's native stack in bytes. wazero keeps that stack on the
// Go heap, outside of the memory limit, and would let it grow to 84 MB.
//
// A guest that watches over a stack of its own, in its memory, is given more: an
// interpreter's frames are large (QuickJS's take 7 KB for each call in JavaScript),
// and a recursion that is too deep should end as an error of its language, at the end
// of its own stack. That is an eighth of its memory limit at most, so that the limit
// still says what a guest can take, about.
const (
	maxDepth        = 1 << 20
	maxDepthWatched = 16 << 20
)

func (inv *invocation) maxDepth() uintptr {
	if inv.overflow != nil {
		return uintptr(min(max(maxDepth, inv.memory.limit/8), maxDepthWatched))
	}
	return maxDepth
}

// stackProbe reads how deep a guest is on its native stack: the distance from the
// top of the stack, a private field of wazero's call engine, to the arguments of
// the host call, which lie at its bottom. The value is the field's index.
//
// wazero's own limit cannot be lowered, and counting in guest code costs 5 to 10 %.
// find checks the field's type and measures known stacks, so a wazero that works
// differently is refused at start, not trusted.
type stackProbe int

var errStackProbe = errors.New("sandbox: wazero does not expose its stack as 1.12.0 does on amd64 and arm64: use that version on one of these platforms")

// depth returns the bytes of native stack in use. The snapshotter is the call
// engine that runs now; asking the context for it covers a module's start function
// too, whose engine wazero creates itself.
func (s stackProbe) depth(ctx context.Context, stack []uint64) uintptr {
	top := reflect.ValueOf(experimental.GetSnapshotter(ctx)).Elem().Field(int(s)).Uint()
	return uintptr(top) - uintptr(unsafe.Pointer(unsafe.SliceData(stack)))
}

func (inv *invocation) stackOverflow() *runnel.Error {
	return runnel.Errorf(runnel.CodeStackOverflow, "the function's call stack is deeper than %s: look for a recursion that does not end", byteSize(int64(inv.maxDepth())))
}

// recursion is a module that calls itself as often as its parameter says, then
// mr.tick:
//
//	(func $f (export "f") (param i32)
//	  (if (local.get 0)
//	    (then (call $f (i32.sub (local.get 0) (i32.const 1))))
//	    (else (drop (call $tick (i32.const 0))))))
const recursion = "\x00asm\x01\x00\x00\x00" +
	"\x01\x0a\x02\x60\x01\x7f\x01\x7f\x60\x01\x7f\x00" + // types: (i32) -> i32, (i32) -> ()
	"\x02\x0b\x01\x02mr\x04tick\x00\x00" + // import
	"\x03\x02\x01\x01" + // function
	"\x07\x05\x01\x01f\x00\x01" + // export
	"\x0a\x16\x01\x14\x00\x20\x00\x04\x40\x20\x00\x41\x01\x6b\x10\x01\x05\x41\x00\x10\x00\x1a\x0b\x0b"

// recursive instantiates recursion and gives its function, until it is done.
func recursive(ctx context.Context, r wazero.Runtime) (f api.Function, done func(), err error) {
	compiled, err := r.CompileModule(ctx, []byte(recursion))
	if err != nil {
		return nil, nil, err
	}
	m, err := r.InstantiateModule(ctx, compiled, moduleConfig())
	if err != nil {
		_ = compiled.Close(ctx)
		return nil, nil, err
	}
	return m.ExportedFunction("f"), func() { _, _ = m.Close(ctx), compiled.Close(ctx) }, nil
}

// probing is an invocation of a module of our own, which ticks and needs no more.
func probing(ctx context.Context) (*invocation, context.Context) {
	inv := &invocation{caller: ctx, deadline: time.Now().Add(time.Minute), live: new(atomic.Int32)}
	return inv, experimental.WithSnapshotter(context.WithValue(ctx, invocationKey{}, inv))
}

// find sets the probe, then measures two stacks whose sizes are about known. The
// deeper one is larger than what wazero starts with, so it has moved as it grew.
func (s *stackProbe) find(ctx context.Context, r wazero.Runtime) error {
	f, done, err := recursive(ctx, r)
	if err != nil {
		return fmt.Errorf("sandbox: stack check: %w", err)
	}
	defer done()

	engine := reflect.TypeOf(f)
	if engine.Kind() != reflect.Pointer || engine.Elem().Kind() != reflect.Struct {
		return errStackProbe
	}
	field, ok := engine.Elem().FieldByName("stackTop")
	if !ok || field.Type.Kind() != reflect.Uintptr || len(field.Index) != 1 {
		return errStackProbe
	}
	*s = stackProbe(field.Index[0])

	const calls = 2000
	var depths [2]uintptr
	for i, n := range []uint64{0, calls} {
		inv, ctx := probing(ctx)
		if _, err := f.Call(ctx, n); err != nil {
			return fmt.Errorf("sandbox: stack check: %w", err)
		}
		depths[i] = inv.depth
	}
	// A call takes a return address and a frame pointer at least, and this
	// function has next to nothing else to keep.
	shallow, deep := depths[0], depths[1]
	if shallow == 0 || shallow > 4096 || deep < shallow+calls*16 || deep > shallow+calls*256 {
		return fmt.Errorf("%w (measured %d and %d bytes)", errStackProbe, shallow, deep)
	}
	return nil
}
