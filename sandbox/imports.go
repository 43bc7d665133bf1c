package sandbox

import (
	"fmt"
	"slices"
	"strings"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/meter"
)

type importName struct{ module, name string }

// checkImports refuses what would not link. Its error names all of it and says, for
// the mistakes that people make, what to change.
func checkImports(imports []meter.Import) error {
	allowed := map[importName]meter.FuncType{}
	for _, f := range hostFunctions() {
		allowed[importName{f.module, f.name}] = f.meterType()
	}
	var unknown, mistyped, fixes []string
	for _, im := range imports {
		full := excerpt(im.Module, 60) + "." + excerpt(im.Name, 60)
		want, ok := allowed[importName{im.Module, im.Name}]
		switch {
		case !ok:
			unknown = append(unknown, full)
			if fix := fixOf(im, allowed); fix != "" && !slices.Contains(fixes, fix) {
				fixes = append(fixes, fix)
			}
		case im.Kind != meter.KindFunc:
			mistyped = append(mistyped, fmt.Sprintf("%s is a function, not a %s", full, im.Kind))
		case im.Type != want:
			mistyped = append(mistyped, fmt.Sprintf("%s is %s, not %s", full, want, im.Type))
		}
	}
	var problems []string
	if len(unknown) > 0 {
		problems = append(problems, "it imports what does not exist: "+enumerate(unknown)+" (a module may import "+wasiModule+", log, env, db_query, http_fetch and result_read from "+hostModule+", and "+extismModule+")")
		problems = append(problems, fixes[:min(len(fixes), 5)]...)
	}
	if len(mistyped) > 0 {
		problems = append(problems, "it imports functions with a wrong type: "+enumerate(mistyped))
	}
	if problems == nil {
		return nil
	}
	return runnel.Errorf(runnel.CodeInvalidModule, "the module cannot run: %s", strings.Join(problems, "; "))
}

// fixOf says what to do about an import that does not exist, when it shows where the
// module comes from.
func fixOf(im meter.Import, allowed map[importName]meter.FuncType) string {
	starts := func(prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(im.Name, p) })
	}
	switch {
	case im.Kind == meter.KindMemory:
		return "it does not bring its own memory: link without --import-memory (AssemblyScript: without --importMemory) and export the memory"
	case im.Module == "wbg" || strings.HasPrefix(im.Module, "__wbindgen") || strings.HasSuffix(im.Module, "_bg.js"):
		return "wasm-bindgen makes modules for JavaScript: build for wasm32-wasip1 without wasm-bindgen and without crates that need it (for getrandom and chrono: without their js and wasmbind features)"
	case im.Module == "gojs" || im.Module == "go":
		return "it was built with GOOS=js: build with GOOS=wasip1 GOARCH=wasm"
	case strings.HasPrefix(im.Module, "wasi:") || strings.HasPrefix(im.Module, "[export]wasi:"):
		return "it was built for WASI 0.2: build for wasm32-wasip1 (TinyGo: -target=wasip1)"
	case im.Module == "wasi_unstable" || im.Module == "wasi_snapshot_preview0":
		return "it was built for WASI of before 2020: build with a current toolchain"
	case im.Module == wasiModule && starts("sock_"), im.Module == "wasi" && im.Name == "thread-spawn":
		return "sockets and threads do not exist here: call http_fetch of " + hostModule + " for HTTP, and build without threads"
	case im.Module == "env" && starts("extism_"):
		return "it was built with an Extism PDK of before 1.0: build with a current one"
	case im.Module == "env" && slices.Contains([]string{"abort", "seed", "trace", "Date.now", "console.log", "process.exit", "performance.now"}, im.Name):
		return "AssemblyScript imports these from JavaScript: extend sdk/assemblyscript/asconfig.json, which replaces abort and seed, and use log of the kit for console"
	case im.Module == "a" || im.Module == "env" && starts("emscripten_", "_emscripten_", "__syscall_", "invoke_", "__cxa_", "_embind_", "__asyncjs__"):
		return "it was built by Emscripten for JavaScript: link with -sSTANDALONE_WASM and without EM_JS, exceptions and pthreads, or use clang --target=wasm32-wasi"
	case im.Module == "env":
		return "what is imported from env was not found when linking: define or link it (clang: without --allow-undefined), or name the import module " + hostModule
	}
	if near := nearest(im, allowed); near != "" {
		return fmt.Sprintf("there is %s.%s: is that what %s is meant to be?", im.Module, near, excerpt(im.Name, 60))
	}
	return ""
}

// nearest returns the name of an import in the same module that is at most two
// letters away, or "".
func nearest(im meter.Import, allowed map[importName]meter.FuncType) string {
	best, name := 3, ""
	for a := range allowed {
		if a.module != im.Module || len(im.Name) > 40 {
			continue
		}
		if d := distance(a.name, im.Name); d < best || d == best && d < 3 && a.name < name {
			best, name = d, a.name
		}
	}
	return name
}

// distance is how many letters have to be changed, put in or taken out to make a of b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
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
