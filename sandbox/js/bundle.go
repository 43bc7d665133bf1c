package js

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/runnelhq/runnel"
)

// Script is what a function's sources were made into: one ES module without imports.
type Script struct {
	Code []byte
	Map  []byte // source map without the sources' text
}

// Bounds of scripts.
const (
	// MaxScript is the size of a script.
	MaxScript = 5 << 20
	// maxSource is the size of a source that is translated here: the bundler
	// recurses as deep as a source nests, and Go ends a process whose stack is over
	// 1 GB.
	maxSource = 256 << 10
)

// Extensions are those of the files that are sources of functions.
var Extensions = []string{".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"}

// IsSource tells whether a file of this name is a source of a function.
func IsSource(name string) bool {
	return slices.Contains(Extensions, strings.ToLower(path.Ext(name)))
}

func loaderOf(name string) api.Loader {
	switch strings.ToLower(path.Ext(name)) {
	case ".ts", ".mts", ".cts":
		return api.LoaderTS
	case ".tsx":
		return api.LoaderTSX
	case ".jsx":
		return api.LoaderJSX
	}
	return api.LoaderJS
}

// options are the same wherever a function is bundled.
func options() api.BuildOptions {
	return api.BuildOptions{
		Bundle:         true,
		Format:         api.FormatESModule,
		Platform:       api.PlatformBrowser, // packages with a version for browsers need the least
		Conditions:     []string{"workerd", "worker", "edge-light", "module"},
		MainFields:     []string{"browser", "module", "main"},
		Target:         target,
		Charset:        api.CharsetUTF8,
		Outfile:        ModuleName,
		Sourcemap:      api.SourceMapExternal,
		SourcesContent: api.SourcesContentExclude,
		LegalComments:  api.LegalCommentsNone,
		KeepNames:      false,
		LogLevel:       api.LogLevelSilent,
		LogOverride:    map[string]api.LogLevel{"empty-import-meta": api.LogLevelSilent},
		Define: map[string]string{
			"global":               "globalThis",
			"process.env.NODE_ENV": `"production"`,
			"import.meta.url":      `"file:///` + ModuleName + `"`,
		},
	}
}

// Bundle makes a script of a file and all that it imports, from the file's folder
// and its node_modules. The error is CodeInvalidModule and shows the lines that are
// wrong.
func Bundle(file string) (Script, error) {
	o := options()
	abs, err := filepath.Abs(file)
	if err != nil {
		return Script{}, err
	}
	o.AbsWorkingDir = filepath.Dir(abs)
	o.EntryPoints = []string{filepath.Base(abs)}
	o.Plugins = []api.Plugin{{Name: "builtins", Setup: refuseBuiltins}}
	return build(o, maxMapBytes)
}

// Translate makes a script of one source that imports nothing; name says what
// language it is in and what stacks call it. A script that was bundled elsewhere, with
// its source map at its end, is taken as it is.
func Translate(name string, source []byte) (Script, error) {
	if len(source) > MaxScript {
		return Script{}, runnel.Errorf(runnel.CodeTooLarge, "the script is %.1f MB, the limit is %d MB: import less", float64(len(source))/(1<<20), MaxScript>>20)
	}
	source = bytes.TrimPrefix(source, []byte("\xef\xbb\xbf"))
	switch {
	case !utf8.Valid(source):
		return Script{}, runnel.Errorf(runnel.CodeInvalidModule, "%s is not text in UTF-8: send the source of the function, or a WebAssembly module", sourceName(name))
	case bytes.IndexByte(source, 0) >= 0:
		return Script{}, runnel.Errorf(runnel.CodeInvalidModule, "%s contains a NUL byte: send the source of the function, or a WebAssembly module", sourceName(name))
	}
	if code, sourceMap, ok := cutMap(source); ok {
		return Script{code, sourceMap}, nil
	}
	if len(source) > maxSource {
		if loaderOf(name) != api.LoaderJS {
			return Script{}, runnel.Errorf(runnel.CodeTooLarge, "the source is over %d KB, which is what the server translates: bundle it first, as \"runnel deploy\" does", maxSource>>10)
		}
		return Script{source, plainMap(path.Base(name))}, nil
	}
	o := options()
	o.Stdin = &api.StdinOptions{Contents: string(source), Sourcefile: path.Base(name), Loader: loaderOf(name)}
	o.TsconfigRaw = "{}"
	o.Plugins = []api.Plugin{{Name: "alone", Setup: refuseImports}}
	return build(o, maxMapBytes)
}

func build(o api.BuildOptions, mapLimit int) (Script, error) {
	r := api.Build(o)
	if len(r.Errors) > 0 {
		return Script{}, runnel.Errorf(runnel.CodeInvalidModule, "%s", messages(r.Errors))
	}
	var s Script
	for _, f := range r.OutputFiles {
		if strings.HasSuffix(f.Path, ".map") {
			s.Map = f.Contents
		} else if s.Code == nil {
			s.Code = f.Contents
		}
	}
	if len(s.Code) > MaxScript {
		return Script{}, runnel.Errorf(runnel.CodeTooLarge, "the bundled script is %.1f MB, the limit is %d MB: import less", float64(len(s.Code))/(1<<20), MaxScript>>20)
	}
	if len(s.Map) > mapLimit {
		s.Map = plainMap(ModuleName)
	}
	return s, nil
}

// mapComment introduces a source map at the end of a script.
const mapComment = "\n//# sourceMappingURL=data:application/json;base64,"

// Inline is the script with its map in one file, as Translate takes it.
func (s Script) Inline() []byte {
	out := append(bytes.TrimRight(bytes.Clone(s.Code), "\n"), mapComment...)
	out = base64.StdEncoding.AppendEncode(out, s.Map)
	return append(out, '\n')
}

func cutMap(source []byte) (code, sourceMap []byte, ok bool) {
	i := bytes.LastIndex(source, []byte(mapComment))
	if i < 0 {
		return nil, nil, false
	}
	encoded := bytes.TrimSpace(source[i+len(mapComment):])
	sourceMap, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil || len(sourceMap) > maxMapBytes || parseMap(sourceMap) == nil {
		return nil, nil, false
	}
	// Only what stacks need is kept, not the sources that a map can carry.
	var kept struct {
		Version  int      `json:"version"`
		Sources  []string `json:"sources"`
		Mappings string   `json:"mappings"`
	}
	if json.Unmarshal(sourceMap, &kept) != nil {
		return nil, nil, false
	}
	sourceMap, err = json.Marshal(kept)
	return source[:i+1], sourceMap, err == nil
}

// messages is what esbuild has to say, as its command line says it.
func messages(all []api.Message) string {
	return strings.TrimSpace(strings.Join(api.FormatMessages(all, api.FormatMessagesOptions{TerminalWidth: 100, Kind: api.ErrorMessage}), ""))
}

// builtins are the modules of Node.js.
var builtins = []string{
	"assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram", "diagnostics_channel", "dns", "domain",
	"events", "fs", "http", "http2", "https", "inspector", "module", "net", "os", "path", "perf_hooks", "process", "punycode", "querystring", "readline",
	"repl", "stream", "string_decoder", "sys", "test", "timers", "tls", "trace_events", "tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib",
}

func isBuiltin(name string) bool {
	if strings.HasPrefix(name, "node:") {
		return true
	}
	name, _, _ = strings.Cut(name, "/")
	return slices.Contains(builtins, name)
}

func builtinError(name string) error {
	return fmt.Errorf("%q is a module of Node.js, which a function does not have: use the web's interfaces (fetch, crypto, TextEncoder, URL ...), or install an npm package that replaces it", name)
}

// refuseBuiltins names what Node.js has and a function does not, unless a package of
// that name is installed.
func refuseBuiltins(b api.PluginBuild) {
	const again = "again"
	b.OnResolve(api.OnResolveOptions{Filter: `^[a-z]`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
		if a.PluginData == again || !isBuiltin(a.Path) {
			return api.OnResolveResult{}, nil
		}
		if !strings.HasPrefix(a.Path, "node:") {
			// With a slash at the end it is a package's name and nothing else.
			r := b.Resolve(strings.TrimSuffix(a.Path, "/")+"/", api.ResolveOptions{ResolveDir: a.ResolveDir, Importer: a.Importer, Kind: a.Kind, PluginData: again})
			if len(r.Errors) == 0 {
				return api.OnResolveResult{Path: r.Path, Namespace: r.Namespace, SideEffects: sideEffects(r.SideEffects)}, nil
			}
		}
		return api.OnResolveResult{}, builtinError(a.Path)
	})
}

func sideEffects(has bool) api.SideEffects {
	if has {
		return api.SideEffectsTrue
	}
	return api.SideEffectsFalse
}

// refuseImports keeps the bundler away from the file system of the server.
func refuseImports(b api.PluginBuild) {
	b.OnResolve(api.OnResolveOptions{Filter: ".*"}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
		if a.Kind == api.ResolveEntryPoint {
			return api.OnResolveResult{}, nil
		}
		if isBuiltin(a.Path) {
			return api.OnResolveResult{}, builtinError(a.Path)
		}
		return api.OnResolveResult{}, fmt.Errorf("%q cannot be imported from a single file that is sent to the server: bundle the function first, as \"runnel deploy\" does with a file or a folder", a.Path)
	})
}
