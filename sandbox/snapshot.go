package sandbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/image"
)

// Snapshot is a module to be initialised once, at deploy, so that its instances
// begin where _initialize has ended, and after it runnel_snapshot, if the module
// exports one: there it does what every call would do first. What is initialised runs under the limits of
// any invocation, without environment and host operations, at a time and with
// random numbers that are always the same: the same Snapshot makes the same bytes.
type Snapshot struct {
	Wasm    []byte
	Boot    []byte // what the module reads as portBoot
	Source  []byte // what the module reads as its source
	Map     []byte // kept with the module as its source map; nil for none
	Timeout time.Duration
	Memory  int64
	// Again says that _initialize may be called again and then does nothing, so that
	// it stays; otherwise the new module has none.
	Again bool
	// Clean may set to zero what a new instance does not need of the memory.
	Clean func(memory []byte)
}

// buildTime is the time during a snapshot: the day of the WebAssembly 1.0
// recommendation.
var buildTime = time.Date(2019, time.December, 5, 0, 0, 0, 0, time.UTC)

// Snapshot initialises a module and returns it in its new state: a module of its
// own that needs this package as little as the first. The Outcome has the logs. The
// errors are those of Run, with CodeInvalidModule where the module is at fault.
func (r *Runtime) Snapshot(ctx context.Context, s Snapshot) (wasm []byte, out Outcome, err error) {
	if err := r.enter(); err != nil {
		return nil, out, err
	}
	defer r.calls.Done()
	m, done, err := r.modules.acquire(ctx, moduleKey{hash(s.Wasm), "snapshot"}, func(context.Context) ([]byte, error) { return s.Wasm, nil })
	if err != nil {
		return nil, out, err
	}
	defer done()

	if m.core.writesTables {
		return nil, out, runnel.Errorf(runnel.CodeInvalidModule, "the module can change its tables of functions, which a snapshot does not keep: deploy it without a snapshot")
	}
	inv := r.newInvocation(ctx, Call{Timeout: s.Timeout, Memory: s.Memory, boot: s.Boot, source: s.Source}, m)
	inv.building = true
	if r.trace != nil && s.Map != nil {
		inv.trace = traceOnce(r.trace, s.Map)
	}
	inv.capture = func(ctx context.Context, instance api.Module) error {
		f := instance.ExportedFunction(reactorInit)
		if f == nil {
			return runnel.Errorf(runnel.CodeInvalidModule, "the module has no %s, so that there is nothing to take a snapshot of: build it as a reactor", reactorInit)
		}
		if _, err := inv.invoke(ctx, f); err != nil {
			return err
		}
		if f := instance.ExportedFunction(reactorShot); f != nil {
			if _, err := inv.invoke(ctx, f); err != nil {
				return err
			}
		}
		if inv.port.failure != nil {
			return inv.port.failure
		}
		values, err := globals(s.Wasm, instance)
		if err != nil {
			return err
		}
		memory := inv.memory.bytes
		if s.Clean != nil {
			s.Clean(memory)
		}
		var custom []image.Section
		if s.Map != nil {
			custom = append(custom, image.CustomSection(sourceMapSection, s.Map))
		}
		without := reactorInit
		if s.Again {
			without = ""
		}
		if wasm, err = image.Join(s.Wasm, image.New(memory), values, without, custom...); err != nil {
			return invalidModule(err)
		}
		return nil
	}
	out, err = inv.run(r, m)
	if err == nil && len(wasm) > runnel.MaxModuleSize {
		err = runnel.Errorf(runnel.CodeTooLarge, "the function with the memory it starts with is %.1f MB, the limit is %s: import less, and build less at the top level", float64(len(wasm))/(1<<20), byteSize(runnel.MaxModuleSize))
	}
	if err != nil {
		return nil, out, err
	}
	return bytes.Clone(wasm), out, nil
}

// globals reads the values that a module's own mutable globals have now.
func globals(wasm []byte, instance api.Module) ([]image.Value, error) {
	kinds, err := image.GlobalKinds(wasm)
	if err != nil {
		return nil, invalidModule(err)
	}
	internals, ok := instance.(experimental.InternalModule)
	if !ok {
		return nil, internal(errors.New("wazero does not show the globals of a module"))
	}
	values := make([]image.Value, len(kinds))
	for i, k := range kinds {
		if k[1] == 0 {
			continue
		}
		g := internals.Global(i)
		switch g.Type() {
		case api.ValueTypeI32, api.ValueTypeI64, api.ValueTypeF32, api.ValueTypeF64:
			values[i] = image.Value{Set: true, Bits: g.Get()}
		default:
			return nil, runnel.Errorf(runnel.CodeInvalidModule, "the module keeps references in a global, which a snapshot cannot: deploy it without a snapshot")
		}
	}
	return values, nil
}

// steadyRandom fills b with what passes for random during a snapshot.
func steadyRandom(b []byte) {
	state := uint64(0x9e3779b97f4a7c15)
	var word [8]byte
	for len(b) > 0 {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		binary.LittleEndian.PutUint64(word[:], state)
		b = b[copy(b, word[:]):]
	}
}
