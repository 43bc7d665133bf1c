package sandbox

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// stackBytes is the native stack that an interpreter gets to begin with: a handler in
// JavaScript that does little needs 100 KB of it.
const stackBytes = 160 << 10

// nativeStack is a native stack that nobody uses. All of it is zero.
type nativeStack [stackBytes]byte

// stacks lends functions a native stack to begin with. wazero starts each call with
// 10 KB of the Go heap and doubles it as a guest goes deeper, copying what there is:
// 270 KB of garbage for a call of an interpreter, whose frames are large, and a fifth
// of the time of a small one. A guest that goes deeper still gets wazero's own, as
// without.
//
// It sets three private fields of wazero's call engine: what is lent, its top, and its
// bottom. newStacks checks them and how they work, so that another wazero is refused
// at start.
type stacks struct {
	engine             reflect.Type // of functions
	stack, top, bottom uintptr      // offsets of the fields
	idle               sync.Pool    // of *nativeStack
}

var errStacks = errors.New("sandbox: wazero does not keep its stacks as 1.12.0 does: use that version")

// take returns a stack for one invocation, which gives it back with put.
func (s *stacks) take() *nativeStack {
	if b, ok := s.idle.Get().(*nativeStack); ok {
		return b
	}
	return new(nativeStack)
}

// put takes a stack back. A guest has no way to read what is left on it; that must
// not depend on the compiler alone.
func (s *stacks) put(b *nativeStack) {
	clear(b[:])
	s.idle.Put(b)
}

// fields are those of a function that is set.
func (s *stacks) fields(f api.Function) (stack *[]byte, top *uintptr, bottom **byte) {
	p := reflect.ValueOf(f).UnsafePointer()
	return (*[]byte)(unsafe.Add(p, s.stack)), (*uintptr)(unsafe.Add(p, s.top)), (**byte)(unsafe.Add(p, s.bottom))
}

// stackTop is where a stack begins: it grows down.
func stackTop(b []byte) uintptr {
	return uintptr(unsafe.Pointer(&b[len(b)-1])) &^ 15
}

// lend makes a function that nobody calls begin on b, until back is called, which
// must be before anything else is done with b.
func (s *stacks) lend(f api.Function, b *nativeStack) (back func()) {
	if reflect.TypeOf(f) != s.engine {
		return func() {} // a function of the host, exported again
	}
	stack, top, bottom := s.fields(f)
	own := *stack
	if len(own) == 0 || *bottom != &own[0] || *top != stackTop(own) {
		return func() {}
	}
	set := func(b []byte) { *stack, *top, *bottom = b, stackTop(b), &b[0] }
	set(b[:])
	return func() { set(own) }
}

// newStacks finds the fields in the function f(n) of recursion, then looks whether
// calls use what they are lent.
func newStacks(ctx context.Context, r wazero.Runtime) (*stacks, error) {
	f, done, err := recursive(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("sandbox: stacks: %w", err)
	}
	defer done()

	s := &stacks{engine: reflect.TypeOf(f)}
	if s.engine.Kind() != reflect.Pointer || s.engine.Elem().Kind() != reflect.Struct {
		return nil, errStacks
	}
	engine := s.engine.Elem()
	field := func(in reflect.Type, name string, want reflect.Type) (reflect.Type, uintptr) {
		found, ok := in.FieldByName(name)
		if !ok || len(found.Index) != 1 || want != nil && found.Type != want || want == nil && found.Type.Kind() != reflect.Struct {
			err = errStacks
			return reflect.TypeFor[struct{}](), 0
		}
		return found.Type, found.Offset
	}
	_, s.stack = field(engine, "stack", reflect.TypeFor[[]byte]())
	_, s.top = field(engine, "stackTop", reflect.TypeFor[uintptr]())
	execution, at := field(engine, "execCtx", nil)
	_, s.bottom = field(execution, "stackBottomPtr", reflect.TypeFor[*byte]())
	s.bottom += at
	if err != nil {
		return nil, err
	}
	return s, s.check(ctx, f)
}

// check calls f on a stack that is lent: a little deep, and deeper than the stack is.
func (s *stacks) check(ctx context.Context, f api.Function) error {
	stack, top, bottom := s.fields(f)
	own := *stack
	for _, deep := range []bool{false, true} {
		b := new(nativeStack)
		calls := uint64(100) // of 16 to 256 bytes, as the probe knows
		if deep {
			calls = stackBytes / 16
		}
		_, ctx := probing(ctx)
		back := s.lend(f, b)
		if len(*stack) != stackBytes || &(*stack)[0] != &b[0] {
			return errStacks
		}
		if _, err := f.Call(ctx, calls); err != nil {
			return fmt.Errorf("sandbox: stacks: %w", err)
		}
		grew := &(*stack)[0] != &b[0]
		const unused, used = stackBytes - 100*256 - 4096, stackBytes - 100*16
		if grew != deep || !deep && (*(*[unused]byte)(b[:]) != [unused]byte{} || *(*[stackBytes - used]byte)(b[used:]) == [stackBytes - used]byte{}) {
			return errStacks
		}
		back()
		if &(*stack)[0] != &own[0] || *bottom != &own[0] || *top != stackTop(own) {
			return errStacks
		}
	}
	return nil
}
