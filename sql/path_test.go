package sql_test

import (
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

// What others put in a schema of the owner's search_path fits a call better than
// Postgres's own, and is not called in its place by a statement of ours.
func TestFUNC_I3_OwnersStatementsCallPostgresOwnFunctions(t *testing.T) {
	b := setup(t)
	b.exec(`CREATE TABLE public.called (by text);
		CREATE FUNCTION public.jsonb_build_object(text, timestamptz, text, int, text, text, text, text) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO public.called VALUES (current_user); RETURN '{"error": "forged"}'; END $$`)
	const call = `SELECT jsonb_build_object('at', now(), 'attempt', 1, 'error', 'E' || left('text', 2), 'trace', '')->>'error'`
	if got := get[string](b, call); got != "forged" {
		t.Fatalf("a statement with the default path answers %s: the test shows nothing", got)
	}
	b.deploy("hello", runnel.Config{Environment: &map[string]string{"A": "1"}})
	b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Respond: true})
	for _, a := range b.fetch("w") {
		b.settle(a.settlement(sql.StateDiscarded, runnel.CodeFunctionError))
	}
	b.want([]string{"discarded 1 t 1"}, []string{"1 error FunctionError"})
	if got := get[int](b, `SELECT count(*)::int FROM public.called`); got != 1 {
		t.Errorf("statements of ours called it %d times", got-1)
	}
}
