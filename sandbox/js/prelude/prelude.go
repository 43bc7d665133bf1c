// Package prelude is what a JavaScript function finds around it: the web platform's
// APIs, db, env, and the dispatcher that calls its handler. The JavaScript half is
// in core (in the image of every function) and parts (only where it is used); the
// Go half answers what JavaScript asks the host for synchronously, such as URLs and
// cryptography.
//
// Neither half is trusted: JavaScript of ours runs beside the user's, inside the
// sandbox, with the user's authority and no more. Ask therefore checks and bounds
// every argument as if the user had made the call.
package prelude

import (
	"bytes"
	"compress/flate"
	"embed"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"
)

//go:embed core parts
var files embed.FS

// language are the globals that the prelude uses at any time. It has names of its own
// for them, because a user's code may change or delete the globals.
const language = "Array,ArrayBuffer,BigInt,BigInt64Array,BigUint64Array,Boolean,DataView,Date,Error,EvalError,Float16Array,Float32Array,Float64Array," +
	"Function,Int16Array,Int32Array,Int8Array,Map,Math,Number,Object,Promise,RangeError,ReferenceError,Reflect,RegExp,Set,SharedArrayBuffer,String,Symbol,SyntaxError," +
	"TypeError,URIError,Uint16Array,Uint32Array,Uint8Array,Uint8ClampedArray,WeakMap,WeakRef,WeakSet,parseFloat,parseInt,queueMicrotask,performance,JSON,DOMException"

// Source returns the prelude: the text of a function expression,
// (function (host, bundle) {...}), to be evaluated as a script before the user's
// code and called once with the host object and the text of the user's code. The
// text decides only which parts are loaded at once.
//
// The result is the same at every call, so that a compiled form of it can be kept.
var Source = sync.OnceValues(build)

func build() (string, error) {
	core, err := bundle("core/index.js", api.BuildOptions{Format: api.FormatIIFE, GlobalName: "runnel"}, false)
	if err != nil {
		return "", err
	}
	return "(function (host, bundle) {\n\"use strict\";\nconst {" + language + "} = globalThis;\n" + core + "runnel.install(host, bundle, {" + language + "});\n})", nil
}

var (
	imports = regexp.MustCompile(`import\{([^}]*)\}from("[^"]+");`)
	exports = regexp.MustCompile(`export\{([^}]*)\};\s*$`)
	as      = regexp.MustCompile(`([\w$]+)(?: as ([\w$]+))?`)
)

// function makes the body of a function of require and module out of a module. The
// one that esbuild makes uses what a user can have changed by then.
func function(module string) string {
	module = imports.ReplaceAllStringFunc(module, func(s string) string {
		m := imports.FindStringSubmatch(s)
		return "const{" + strings.ReplaceAll(m[1], " as ", ":") + "}=require(" + m[2] + ");"
	})
	return exports.ReplaceAllStringFunc(module, func(s string) string {
		var list []string
		for _, m := range as.FindAllStringSubmatch(exports.FindStringSubmatch(s)[1], -1) {
			name := m[2]
			if name == "" {
				name = m[1]
			}
			list = append(list, name+":"+m[1])
		}
		return "module.exports={__proto__:null," + strings.Join(list, ",") + "};"
	})
}

func init() { register("prelude_part", operation{args: 1, run: part}) }

// part(name) returns a part as it lies in the image of a function, which asks for all
// of them at deploy: compressed, since it may never need it.
func part(args [][]byte) ([]byte, error) {
	all, err := parts()
	if err != nil {
		return nil, err
	}
	p, ok := all[string(args[0])]
	if !ok {
		return nil, fail("NotFoundError", "there is no part %.40q", args[0])
	}
	return bytes.Clone(p), nil
}

var parts = sync.OnceValues(func() (map[string][]byte, error) {
	all := make(map[string][]byte)
	entries, err := files.ReadDir("parts")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := bundle("parts/"+e.Name(), api.BuildOptions{Format: api.FormatESModule}, true)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestCompression)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(function(text))); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(e.Name(), ".js")] = b.Bytes()
	}
	return all, nil
})

// bundle makes one script of an embedded file and what it imports. The imports of
// a part stay calls of require, because core and the other parts are shared.
func bundle(entry string, options api.BuildOptions, external bool) (string, error) {
	options.EntryPoints = []string{entry}
	options.Bundle = true
	options.Write = false
	options.MinifyWhitespace, options.MinifyIdentifiers, options.MinifySyntax = true, true, true
	options.KeepNames = false
	options.Target = api.ES2023
	options.Charset = api.CharsetASCII
	options.LegalComments = api.LegalCommentsNone
	options.LogLevel = api.LogLevelSilent
	options.Plugins = []api.Plugin{{Name: "embedded", Setup: func(b api.PluginBuild) {
		b.OnResolve(api.OnResolveOptions{Filter: ".*"}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			if a.Kind == api.ResolveEntryPoint {
				// esbuild writes ./ before a path that happens to exist on this machine.
				return api.OnResolveResult{Path: path.Clean(a.Path), Namespace: "prelude"}, nil
			}
			if !external {
				return api.OnResolveResult{Path: path.Join(path.Dir(a.Importer), a.Path), Namespace: "prelude"}, nil
			}
			name := a.Path
			if strings.HasPrefix(name, "./") { // another part
				name = strings.TrimSuffix(path.Base(name), ".js")
			}
			return api.OnResolveResult{Path: name, External: true}, nil
		})
		b.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: "prelude"}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
			text, err := files.ReadFile(a.Path)
			contents := string(text)
			return api.OnLoadResult{Contents: &contents, Loader: api.LoaderJS}, err
		})
	}}}
	r := api.Build(options)
	if len(r.Errors) > 0 {
		var all []error
		for _, m := range r.Errors {
			if m.Location != nil {
				all = append(all, fmt.Errorf("%s:%d: %s", m.Location.File, m.Location.Line, m.Text))
			} else {
				all = append(all, errors.New(m.Text))
			}
		}
		return "", errors.Join(all...)
	}
	return string(r.OutputFiles[0].Contents), nil
}
