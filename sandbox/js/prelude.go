package js

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js/prelude"
)

//go:embed channel.js
var channel string

// target is what QuickJS-NG understands.
const target = api.ES2023

// bootScript is the script that an engine starts with: the channel with the prelude
// in it, which gets the host as an argument, where nothing else can see it.
var bootScript = sync.OnceValues(func() ([]byte, error) {
	source, err := prelude.Source()
	if err != nil {
		return nil, fmt.Errorf("js: prelude: %w", err)
	}
	// Functions keep their source text in memory, so it is written short.
	small := api.Transform(channel, api.TransformOptions{MinifyWhitespace: true, Target: target, Charset: api.CharsetASCII, LegalComments: api.LegalCommentsNone, LogLevel: api.LogLevelSilent})
	if len(small.Errors) > 0 {
		return nil, fmt.Errorf("js: boot script: %s", messages(small.Errors))
	}
	return []byte(strings.Replace(string(small.Code), `"PRELUDE"`, source, 1)), nil
})

// Ask answers the host operations of the prelude. A sandbox.Runtime that runs
// JavaScript needs it, and Trace. What differs from call to call the prelude itself
// refuses to ask for while a module is built.
func Ask(op string, args [][]byte, _ bool) (answer []byte, text bool, err error) {
	answer, text, err = prelude.Ask(op, args)
	var known *prelude.Error
	if errors.As(err, &known) {
		err = &sandbox.AskError{Name: known.Name, Message: known.Message}
	}
	return answer, text, err
}
