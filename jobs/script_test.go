package jobs_test

import (
	"strings"
	"testing"

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
	} {
		_, _, err := h.deploy.DeployScript(t.Context(), sql.Deploy{Name: "bad"}, c.file, []byte(c.source))
		if runnel.CodeOf(err) != runnel.CodeInvalidModule || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want InvalidModule saying %q", name, err, c.says)
		}
	}
}
