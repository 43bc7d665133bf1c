package sandbox

import (
	"fmt"
	"slices"
	"strings"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/meter"
)

// Kind is how a module is called. Kinds are told apart by imports and exports.
type Kind string

const (
	// Command is a WASI command: _start, the event on stdin, the result on stdout.
	Command Kind = "command"
	// Reactor is a handler reactor: memory, runnel_alloc and handler.
	Reactor Kind = "reactor"
	// Extism is an Extism plug-in: it imports from extism:host and exports a
	// function without parameters.
	Extism Kind = "extism"
)

// shape is a module's kind and the export that is called.
type shape struct {
	kind  Kind
	entry string
}

// shapeOf finds a module's shape.
func shapeOf(m *meter.Module) (shape, error) {
	if slices.ContainsFunc(m.Imports, func(im meter.Import) bool {
		return im.Module == extismModule || im.Module == extismUserModule
	}) {
		return extismShape(m)
	}
	return ownShape(m)
}

// ownShape tells commands from reactors. Exporting runnel_alloc, a name of ours, says
// that a module means to be a reactor; such a module may have a _start, which is not
// run.
func ownShape(m *meter.Module) (shape, error) {
	_, alloc := m.Export(reactorAlloc)
	_, handle := m.Export(reactorHandle)
	_, start := m.Export(commandStart)
	var problems []string
	want := func(name string, t meter.FuncType, required bool) {
		e, ok := m.Export(name)
		switch {
		case !ok && required:
			problems = append(problems, fmt.Sprintf("%s, a function %s", name, t)+didYouMean(m, name, t))
		case ok && (e.Kind != meter.KindFunc || e.Type != t):
			problems = append(problems, fmt.Sprintf("%s as a function %s", name, t))
		}
	}
	s := shape{Command, commandStart}
	switch {
	case alloc || handle && !start:
		s = shape{Reactor, reactorHandle}
		if e, ok := m.Export(memoryExport); !ok || e.Kind != meter.KindMemory {
			problems = append(problems, "its memory as "+memoryExport)
		}
		want(reactorAlloc, meter.FuncType{Params: meter.I32, Results: meter.I32}, true)
		want(reactorHandle, meter.FuncType{Params: meter.I32 + meter.I32, Results: meter.I64}, true)
		want(reactorInit, meter.FuncType{}, false)
		want(reactorShot, meter.FuncType{}, false)
	case start:
		want(commandStart, meter.FuncType{}, true)
	default:
		return s, runnel.Errorf(runnel.CodeInvalidModule, "the module exports nothing to call: build a WASI command (it exports %s; target wasm32-wasip1, for Go GOOS=wasip1 GOARCH=wasm), or export %s, %s (i32) -> (i32) and %s (i32, i32) -> (i64)%s", commandStart, memoryExport, reactorAlloc, reactorHandle, exportsOf(m))
	}
	if problems != nil {
		return s, runnel.Errorf(runnel.CodeInvalidModule, "the module looks like a %s but must also export %s", s.kind, strings.Join(problems, ", "))
	}
	return s, nil
}

// didYouMean names the only exported function of this type, when there is no export
// of this name.
func didYouMean(m *meter.Module, name string, t meter.FuncType) string {
	var like []string
	for _, e := range m.Exports {
		if e.Kind == meter.KindFunc && e.Type == t && e.Name != reactorAlloc && e.Name != reactorHandle {
			like = append(like, excerpt(e.Name, 60))
		}
	}
	if len(like) != 1 {
		return ""
	}
	return fmt.Sprintf(" (is it what you export as %s? name it %s)", like[0], name)
}

// exportsOf lists the functions that a module does export.
func exportsOf(m *meter.Module) string {
	var names []string
	for _, e := range m.Exports {
		if e.Kind == meter.KindFunc {
			names = append(names, excerpt(e.Name, 60))
		}
	}
	if names == nil {
		return "; it exports no function: compilers drop what is not marked as exported (C: __attribute__((export_name(\"...\"))), Rust: #[no_mangle] pub extern \"C\", Go: //go:wasmexport)"
	}
	return "; it exports " + enumerate(names)
}

// Exports that set up a language.
const (
	haskellInit  = "hs_init"
	constructors = "__wasm_call_ctors"
)

// extismEntries are the names of a plug-in's function that are looked for first, in
// this order.
var extismEntries = []string{"handler", "handle", "call", "run"}

// extismShape finds the function of a plug-in: handler, handle, call or run; else
// the only export of type () -> (i32) or () -> () that is not part of a language's
// runtime; else _start. Extism itself is told by its caller which one it is.
func extismShape(m *meter.Module) (shape, error) {
	callable := func(e meter.Export) bool {
		return e.Kind == meter.KindFunc && e.Type.Params == "" && (e.Type.Results == meter.I32 || e.Type.Results == "")
	}
	for _, name := range []string{reactorInit, constructors} {
		if e, ok := m.Export(name); ok && (e.Kind != meter.KindFunc || e.Type != meter.FuncType{}) {
			return shape{}, runnel.Errorf(runnel.CodeInvalidModule, "the Extism plug-in must export %s as a function () -> (), or not at all", name)
		}
	}
	if e, ok := m.Export(haskellInit); ok && (e.Kind != meter.KindFunc || e.Type.Params != meter.I32+meter.I32) {
		return shape{}, runnel.Errorf(runnel.CodeInvalidModule, "the Extism plug-in must export %s as a function (i32, i32) -> (), or not at all", haskellInit)
	}
	for _, name := range extismEntries {
		if e, ok := m.Export(name); ok && callable(e) {
			return shape{Extism, name}, nil
		}
	}
	for _, results := range []string{meter.I32, ""} {
		var found []string
		for _, e := range m.Exports {
			if callable(e) && e.Type.Results == results && !ofRuntime(e.Name) {
				found = append(found, e.Name)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return shape{Extism, found[0]}, nil
		default:
			return shape{}, runnel.Errorf(runnel.CodeInvalidModule, "the Extism plug-in exports several functions (%s), and a function of Runnel is one: export the one to call as %s", enumerate(found), reactorHandle)
		}
	}
	if e, ok := m.Export(commandStart); ok && callable(e) {
		return shape{Extism, commandStart}, nil
	}
	return shape{}, runnel.Errorf(runnel.CodeInvalidModule, "the Extism plug-in exports no function to call: export %s, a function () -> (i32) that returns 0 on success%s", reactorHandle, exportsOf(m))
}

// ofRuntime tells exports that compilers add from those of a plug-in.
func ofRuntime(name string) bool {
	return strings.HasPrefix(name, "_") || strings.HasPrefix(name, "hs_") || strings.HasPrefix(name, "asyncify_")
}
