package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sandbox/image"
	"github.com/runnelhq/runnel/sandbox/meter"
)

// Info is what Check found.
type Info struct {
	Kind Kind
	Hash string // hex sha256 of the module
	Size int64  // bytes
}

// Check tells whether Run could run the module, at deploy and without compiling
// it: within the limits, valid, importing only what exists, and of a kind. Its error is CodeTooLarge or CodeInvalidModule and lists everything
// that is wrong with the imports or the exports at once.
func Check(ctx context.Context, wasm []byte) (Info, error) {
	info := Info{Hash: hash(wasm), Size: int64(len(wasm))}
	p, err := take(wasm)
	if err != nil {
		return info, err
	}
	m, shape, err := p.prepare()
	if err != nil {
		return info, err
	}
	info.Kind = shape.kind
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

// componentMagic begins a binary of the component model, whatever its version: the
// layer, in the last two bytes, is 1.
const componentMagic = "\x00asm\x0d\x00\x01\x00"

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
	if strings.HasPrefix(string(wasm[:min(len(wasm), 8)]), componentMagic) {
		return taken{}, runnel.Errorf(runnel.CodeInvalidModule, "this is a WebAssembly component, and a function is a core module: build for wasm32-wasip1 instead of wasm32-wasip2 (Rust: --target wasm32-wasip1; TinyGo: -target=wasip1), without wasm-tools component new; JavaScript and Python components cannot be built otherwise")
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
func (p taken) prepare() (*meter.Module, shape, error) {
	m, err := meter.Rewrite(p.code, meter.DefaultLimits())
	if err != nil {
		return nil, shape{}, invalidModule(err)
	}
	if err := checkImports(m.Imports); err != nil {
		return nil, shape{}, err
	}
	s, err := shapeOf(m)
	if err != nil {
		return nil, shape{}, err
	}
	return m, s, nil
}

// invalidModule carries the reason of a meter or wazero error.
func invalidModule(err error) *runnel.Error {
	return runnel.Errorf(runnel.CodeInvalidModule, "the module cannot run: %s", excerpt(err.Error(), 500))
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
