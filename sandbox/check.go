package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sandbox/image"
	"github.com/runnelhq/runnel/sandbox/meter"
)

// Kind is how a module is called. The two are told apart by their exports.
type Kind string

const (
	// Command is a WASI command: _start, the event on stdin, the result on stdout.
	Command Kind = "command"
	// Reactor is a handler reactor: memory, runnel_alloc and handler.
	Reactor Kind = "reactor"
)

// Info is what Check found.
type Info struct {
	Kind Kind
	Hash string // hex sha256 of the module
	Size int64  // bytes
}

// Check tells whether Run could run the module, at deploy and without compiling
// it: within the limits, valid, importing only what exists, exporting one of the
// two kinds. Its error is CodeTooLarge or CodeInvalidModule and lists everything
// that is wrong with the imports or the exports at once.
func Check(ctx context.Context, wasm []byte) (Info, error) {
	info := Info{Hash: hash(wasm), Size: int64(len(wasm))}
	p, err := take(wasm)
	if err != nil {
		return info, err
	}
	m, kind, err := p.prepare()
	if err != nil {
		return info, err
	}
	info.Kind = kind
	if ctx.Err() != nil {
		return info, cancelled(ctx)
	}
	return info, validate(m.Wasm)
}

// Precompile has c compile a module that passed Check, unless it is so small that
// Run compiles it by itself. So a module that cannot be compiled within the limits
// is refused before anybody calls it, and a Runtime that shares c's store finds it
// there. Errors are those of compile.Compiler.
func Precompile(ctx context.Context, c *compile.Compiler, wasm []byte) error {
	p, err := take(wasm)
	if err != nil {
		return err
	}
	m, _, err := p.prepare()
	if err != nil || len(m.Wasm) <= smallModule {
		return err
	}
	return c.Compile(ctx, m.Wasm)
}

func hash(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return hex.EncodeToString(sum[:])
}

// taken is a module taken apart: the code that is rewritten and compiled, and the
// memory it starts with where that could be told apart from it.
type taken struct {
	code      []byte
	image     *image.Image // nil: code is the whole module
	sourceMap []byte
}

// sourceMapSection is the custom section with a script's source map.
const sourceMapSection = "runnel.sourcemap"

// splitSize is the data a module must have to be taken apart. Below it there is
// nothing to gain: an instance is made as fast the plain way.
const splitSize = 64 << 10

// key is the same for modules that can share compiled code.
func (p taken) key() [sha256.Size]byte { return sha256.Sum256(p.code) }

// take takes a module apart.
func take(wasm []byte) (taken, error) {
	if len(wasm) > runnel.MaxModuleSize {
		return taken{}, runnel.Errorf(runnel.CodeTooLarge, "the module is %.1f MB, the limit is %s: strip debug information (-ldflags=-s for Go, wasm-strip, wasm-opt -Oz)", float64(len(wasm))/(1<<20), byteSize(runnel.MaxModuleSize))
	}
	p := taken{code: wasm}
	if sections, err := image.Sections(wasm); err == nil {
		p.sourceMap, _ = image.FindCustom(sections, sourceMapSection)
	}
	if len(wasm) > splitSize {
		if code, img, ok := image.Split(wasm); ok && img.Bytes() >= splitSize && uint32(img.Pages) <= meter.DefaultLimits().MemoryPages {
			p.code, p.image = code, img
		}
	}
	return p, nil
}

// prepare rewrites a module and checks everything but its types.
func (p taken) prepare() (*meter.Module, Kind, error) {
	m, err := meter.Rewrite(p.code, meter.DefaultLimits())
	if err != nil {
		return nil, "", invalidModule(err)
	}
	if err := checkImports(m.Imports); err != nil {
		return nil, "", err
	}
	kind, err := checkExports(m)
	if err != nil {
		return nil, "", err
	}
	return m, kind, nil
}

// invalidModule carries the reason of a meter or wazero error.
func invalidModule(err error) *runnel.Error {
	return runnel.Errorf(runnel.CodeInvalidModule, "the module cannot run: %s", excerpt(err.Error(), 500))
}

func checkImports(imports []meter.Import) error {
	type name struct{ module, name string }
	allowed := map[name]meter.FuncType{}
	for _, f := range hostFunctions() {
		allowed[name{f.module, f.name}] = f.meterType()
	}
	var unknown, mistyped []string
	for _, im := range imports {
		full := excerpt(im.Module, 60) + "." + excerpt(im.Name, 60)
		want, ok := allowed[name{im.Module, im.Name}]
		switch {
		case !ok:
			unknown = append(unknown, full)
		case im.Kind != meter.KindFunc:
			mistyped = append(mistyped, fmt.Sprintf("%s is a function, not a %s", full, im.Kind))
		case im.Type != want:
			mistyped = append(mistyped, fmt.Sprintf("%s is %s, not %s", full, want, im.Type))
		}
	}
	var problems []string
	if len(unknown) > 0 {
		problems = append(problems, "it imports what does not exist: "+enumerate(unknown)+" (a module may import "+wasiModule+", and log, env, db_query, http_fetch and result_read from "+hostModule+")")
	}
	if len(mistyped) > 0 {
		problems = append(problems, "it imports functions with a wrong type: "+enumerate(mistyped))
	}
	if problems == nil {
		return nil
	}
	return runnel.Errorf(runnel.CodeInvalidModule, "the module cannot run: %s", strings.Join(problems, "; "))
}

// enumerate joins names, the first 20 of them, without repeats.
func enumerate(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if n := len(names); n > 20 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:20], ", "), n-20)
	}
	return strings.Join(names, ", ")
}

// checkExports finds the kind. Exporting runnel_alloc, a name of ours, says that a
// module means to be a reactor; such a module may have a _start, which is not run.
func checkExports(m *meter.Module) (Kind, error) {
	var problems []string
	want := func(name string, t meter.FuncType, required bool) {
		e, ok := m.Export(name)
		switch {
		case !ok && required:
			problems = append(problems, fmt.Sprintf("%s, a function %s", name, t))
		case ok && (e.Kind != meter.KindFunc || e.Type != t):
			problems = append(problems, fmt.Sprintf("%s as a function %s", name, t))
		}
	}
	_, alloc := m.Export(reactorAlloc)
	_, handle := m.Export(reactorHandle)
	_, start := m.Export(commandStart)
	kind := Command
	switch {
	case alloc || handle && !start:
		kind = Reactor
		if e, ok := m.Export(memoryExport); !ok || e.Kind != meter.KindMemory {
			problems = append(problems, "its memory as "+memoryExport)
		}
		want(reactorAlloc, meter.FuncType{Params: meter.I32, Results: meter.I32}, true)
		want(reactorHandle, meter.FuncType{Params: meter.I32 + meter.I32, Results: meter.I64}, true)
		want(reactorInit, meter.FuncType{}, false)
	case start:
		want(commandStart, meter.FuncType{}, true)
	default:
		return "", runnel.Errorf(runnel.CodeInvalidModule, "the module exports nothing to call: build a WASI command (it exports %s; target wasm32-wasip1, for Go GOOS=wasip1 GOARCH=wasm), or export %s, %s (i32) -> (i32) and %s (i32, i32) -> (i64)", commandStart, memoryExport, reactorAlloc, reactorHandle)
	}
	if problems != nil {
		return "", runnel.Errorf(runnel.CodeInvalidModule, "the module looks like a %s but must also export %s", kind, strings.Join(problems, ", "))
	}
	return kind, nil
}

// validate checks the types of a rewritten module. wazero validates before it
// compiles, and its parallel compiler looks at the context before each function: so
// a compilation with a context that is done is a validation and little more. Should
// wazero change, this compiles, which takes longer and says the same.
func validate(wasm []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = runnel.Errorf(runnel.CodeInvalidModule, "the module cannot run: the validator failed on it").Because(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	ctx, cancel := context.WithCancel(experimental.WithCompilationWorkers(context.Background(), 2))
	cancel()
	r := wazero.NewRuntimeWithConfig(ctx, compile.Engine())
	defer func() { _ = r.Close(context.Background()) }()
	_, err = r.CompileModule(ctx, wasm)
	if err != nil && !errors.Is(err, context.Canceled) {
		return invalidModule(err)
	}
	return nil
}
