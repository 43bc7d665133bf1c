package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

// The specification's example, with a table of the test's for "logs".
func TestFUNC_F2_TheExampleOfTheSpecification(t *testing.T) {
	h := newHouse(t)
	h.exec(`CREATE TABLE logs (id int GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT now()); GRANT INSERT ON logs TO authenticated`)
	h.worker("w1", 2)
	h.script("example", "example.ts", `
export async function handler() {
  await db.query("INSERT INTO logs DEFAULT VALUES");  // Committed
  throw new Error("Oops");                 // Function fails
}
`)
	r := h.as(userID(1), "example")
	if r.Status != runnel.StatusError || r.Code != runnel.CodeFunctionError || !strings.Contains(r.Message, "Error: Oops") || !strings.Contains(r.Message, "at handler (example.ts:4:") {
		t.Errorf("the function ended with %+v", r)
	}
	if strings.Contains(r.Message, "runnel:") {
		t.Errorf("the stack shows the engine's own frames:\n%s", r.Message)
	}
	if got := one[int](h, `SELECT count(*)::int FROM logs`); got != 1 {
		t.Errorf("%d rows, want the one that was committed", got)
	}
	rows := h.rows(r.ID)
	if len(rows) != 1 || rows[0].Status != runnel.StatusError || rows[0].ErrorCode != runnel.CodeFunctionError || !strings.Contains(rows[0].ErrorMessage, "example.ts:4:") {
		t.Errorf("log rows: %+v", rows)
	}
}

func TestAScriptKnowsItsInvocation(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 2)
	fn := h.script("about", "about.js", `export const handler = (event, c) => [c.invocationId, c.attempt, c.functionName, c.functionVersion, c.trigger, c.deadline > Date.now()]`)
	if fn.Version != 1 {
		t.Errorf("version %d", fn.Version)
	}
	if got := one[string](h, `SELECT kind FROM runnel.function_versions`); got != "javascript" {
		t.Errorf("the version's kind is %s", got)
	}
	r := h.mustHTTP("about", `{}`)
	if want := `["` + r.ID + `",1,"about",1,"http",true]`; string(r.Result) != want {
		t.Errorf("%+v %s, want %s", r, r.Result, want)
	}
}

// A thrown error can say that there is no use in another attempt, or when there is.
func TestThrownErrorsSayWhen(t *testing.T) {
	h := newHouse(t)
	h.worker("w1", 4)
	h.script("later", "later.js", `export const handler = () => { throw Object.assign(new Error("too fast"), { retryAfter: 2 }) }`)
	h.script("never", "never.js", `export const handler = async () => { throw Object.assign(new Error("no such order"), { retryable: false }) }`)
	h.script("named", "named.ts", `class NonRetryableError extends Error { name = "NonRetryableError" }
export const handler = () => { throw new NonRetryableError("no") }`)
	h.script("nonsense", "nonsense.js", `export const handler = () => { throw { get retryable() { throw 1 }, retryAfter: NaN } }`)
	h.exec(`SELECT runnel.invoke(f, max_attempts => 2) FROM unnest('{later,never,named}'::text[]) f`)
	h.exec(`SELECT runnel.invoke('nonsense', max_attempts => 1)`)
	until(h, 0, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NULL`)
	for name, want := range map[string]int{"later": 2, "never": 1, "named": 1, "nonsense": 1} {
		rows := h.rows(one[string](h, `SELECT DISTINCT id::text FROM runnel.function_invocations WHERE function_name = '`+name+`'`))
		if len(rows) != want || rows[0].Status != runnel.StatusError || rows[0].ErrorCode != runnel.CodeFunctionError {
			t.Errorf("%s: %d attempts, want %d: %+v", name, len(rows), want, rows)
		}
		if name == "later" && len(rows) == 2 {
			if pause := rows[1].StartedAt.Sub(rows[0].FinishedAt); pause < 2*time.Second {
				t.Errorf("tried again after %s, 2 s too early", pause)
			}
		}
	}
}

// The same source makes the same module, so its code is stored once.
func TestFUNC_I5_TheSameSourceHasTheSameHash(t *testing.T) {
	h := newHouse(t)
	const source = `export const handler = () => Math.random()`
	a, b := h.script("a", "f.js", source), h.script("b", "f.js", source)
	if a.WasmHash != b.WasmHash {
		t.Errorf("%s and %s", a.WasmHash, b.WasmHash)
	}
	if got := one[int](h, `SELECT count(*)::int FROM runnel.modules`); got != 1 {
		t.Errorf("%d modules", got)
	}
}

func TestAScriptThatCannotRunIsRefusedAtDeploy(t *testing.T) {
	h := newHouse(t)
	for name, c := range map[string]struct{ file, source, says string }{
		"syntax":  {"a.ts", "export const handler = () => {\n  let x: = 1\n}", "a.ts:2:9"},
		"import":  {"a.js", `import fs from "node:fs"; export const handler = () => 1`, `"node:fs" is a module of Node.js`},
		"package": {"a.js", `import z from "zod"; export const handler = () => 1`, "runnel deploy"},
		"nothing": {"a.js", `const handler = () => 1`, "exports no function to call"},
		"throws":  {"a.js", "const f = () => { throw new Error(\"no\") };\nexport const handler = f()", "a.js:2:"},
		"pending": {"a.js", `await new Promise(() => {}); export const handler = () => 1`, "top-level await never ends"},
		"timer":   {"a.js", `setTimeout(() => {}, 1); export const handler = () => 1`, "move the call into the handler"},
		"query":   {"a.js", `db.query("select 1").catch(() => {}); export const handler = () => 1`, "move the call into the handler"},
		"memory":  {"a.js", `const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1))`, "build less at the top level"},
	} {
		_, err := h.deploy.DeployScript(t.Context(), sql.Deploy{Name: "bad"}, c.file, []byte(c.source))
		if runnel.CodeOf(err) != runnel.CodeInvalidModule || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want InvalidModule saying %q", name, err, c.says)
		}
	}
}
