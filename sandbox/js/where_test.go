package js_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js"
	"github.com/runnelhq/runnel/sandbox/js/jstest"
)

// A script that is stopped says where: in the innermost function, its last call.
func TestFUNC_I2_AStoppedScriptSaysWhereItWas(t *testing.T) {
	for name, c := range map[string]struct{ source, at string }{
		"loop":      {"const nothing = 0;\nfunction spin() { let n = 1; for (;;) n++ }\nexport const handler = () => { spin() }", "at spin (function.js:2:1)\n    at handler (function.js:3:"},
		"async":     {"export async function handler() { await null;\nMath.abs(1); for (;;) ; }", "at handler (function.js:2:"},
		"calls":     {"const f = (x) => x + 1; export function handler() { let x = 0;\nfor (;;) x = f(x) }", "at handler (function.js:2:"},
		"regex":     {"export const handler = () => {\nreturn /^(a+)+$/.test('a'.repeat(40) + 'b') }", "at handler (function.js:2:"},
		"native":    {"export const handler = () => {\nreturn Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1) }", "at handler (function.js:2:"},
		"generator": {"export const handler = () => { \nfunction* g() { for (;;) ; } [...g()] }", "at g (function.js:2:"},
		"caught":    {"export const handler = () => { for (;;) try {\nMath.abs(1); for (;;) ; } catch {} finally { continue } }", "at handler (function.js:2:"},
		"no trace":  {"export const handler = () => { Error.prepareStackTrace = () => { for (;;) ; };\nfor (;;) ; }", ""},
		"odd trace": {"export const handler = () => { Error.prepareStackTrace = () => ({ toString() { for (;;) ; } });\nfor (;;) ; }", ""},
		"fetch":     {"export async function handler() {\nawait fetch('https://a.example/') }", "waiting for http_fetch\n    at handler (function.js:2:"},
		"timer":     {"export async function handler() {\nawait new Promise((r) => setTimeout(r, 1e6)) }", "waiting for a timer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := jstest.Run(t, c.source, sandbox.Call{
				Timeout: 200 * time.Millisecond,
				Fetch:   func(ctx context.Context, _ []byte) []byte { <-ctx.Done(); return nil },
			})
			if runnel.CodeOf(err) != runnel.CodeTimeout || !strings.Contains(err.Error(), "raise timeout") {
				t.Fatalf("ended with %v", err)
			}
			if c.at == "" && strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), c.at) {
				t.Errorf("it says %v\nwant %q", err, c.at)
			}
			t.Log(out.Duration, err)
		})
	}
}

// Nothing but a text comes of a script after its end.
func TestFUNC_I2_AScriptDoesNothingAfterItsEnd(t *testing.T) {
	var queries, fetches int
	out, err := jstest.Run(t, `
		const act = () => { console.log("late"); db.query("select 1"); fetch("https://a.example/"); crypto.getRandomValues(new Uint8Array(1)) };
		const acts = [console.log, fetch, db.query];
		export const handler = () => {
			console.log("before");
			Error.prepareStackTrace = () => { act(); return "forged" };
			for (;;) { try { for (;;) ; } finally { act() } }
		}`, sandbox.Call{
		Timeout: 200 * time.Millisecond,
		Query:   func(context.Context, string, []byte) []byte { queries++; return []byte("{}") },
		Fetch:   func(context.Context, []byte) []byte { fetches++; return []byte("{}") },
	})
	if runnel.CodeOf(err) != runnel.CodeTimeout || queries+fetches > 0 || len(out.Logs) != 1 {
		t.Errorf("%v, %d queries, %d fetches, logs %v", err, queries, fetches, out.Logs)
	}
}

func TestFUNC_I2_WhatIsStoppedForOtherReasonsSaysWhereToo(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		_, err := jstest.Run(t, "export const handler = () => { const a = [];\nfor (;;) a.push(new Array(1000).fill(1)) }", sandbox.Call{Memory: 32 << 20})
		if runnel.CodeOf(err) != runnel.CodeOutOfMemory || !strings.Contains(err.Error(), "at handler (function.js:2:") {
			t.Error(err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		wasm, _, err := jstest.Build(t, "export const handler = () => { \nfetch('https://a.example/'); for (;;) Math.abs(1) }")
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(wasm)
		_, err = jstest.Runtime(t).Run(ctx, sandbox.Call{
			Hash: hex.EncodeToString(sum[:]), Load: func(context.Context) ([]byte, error) { return wasm, nil }, Event: []byte("null"),
			Fetch: func(ctx context.Context, _ []byte) []byte { cancel(); return nil },
		})
		if runnel.CodeOf(err) != runnel.CodeCancelled || !strings.Contains(err.Error(), "at handler (function.js:2:") {
			t.Error(err)
		}
	})
	t.Run("typescript", func(t *testing.T) {
		script, err := js.Translate("wait.ts", []byte("interface Nothing {\n  a: number\n}\nfunction spin(n: number): Nothing {\n  for (;;) n = Math.abs(n)\n}\nexport const handler = () => spin(1)"))
		if err != nil {
			t.Fatal(err)
		}
		wasm, _, err := js.Build(t.Context(), jstest.Runtime(t), script)
		if err != nil {
			t.Fatal(err)
		}
		_, err = jstest.RunModule(t, wasm, sandbox.Call{Timeout: 200 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), "at spin (wait.ts:5:") || !strings.Contains(err.Error(), "at handler (wait.ts:7:") {
			t.Error(err)
		}
	})
}
