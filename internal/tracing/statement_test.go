package tracing

import (
	"strings"
	"testing"
)

func TestLiteralsAndCommentsAreLeftOut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":         "",
		"SELECT 1": "SELECT ?",
		"SELECT a, b1 FROM t2 WHERE id = $1 AND x = $12": "SELECT a, b1 FROM t2 WHERE id = $1 AND x = $12",
		"SELECT 'it''s', '' , 'b'":                       "SELECT ?, ? , ?",
		`SELECT E'a\'b', e'c', type'd\', 'e'`:            `SELECT E?, e?, type?, ?`,
		`SELECT U&'d\0061t', B'01', x'ff'`:               `SELECT U&?, B?, x?`,
		`SELECT "it's ""5""" FROM "T"`:                   `SELECT "it's ""5""" FROM "T"`,
		"SELECT $$it's$$, $tag$a $$ b$tag$, $1":          "SELECT ?, ?, $1",
		"SELECT a$b$c, 1":                                "SELECT a$b$c, ?",
		"SELECT -1.5e-3, 0xff, 1_000, .5":                "SELECT -?-?, ?, ?, .?",
		"SELECT 1 -- it's\n, 2":                          "SELECT ?  \n, ?",
		"SELECT /* a /* 'b' */ c */ 2":                   "SELECT   ?",
		"SELECT 'open":                                   "SELECT ?",
		"SELECT $$open":                                  "SELECT ?",
		"SELECT 1 /* open":                               "SELECT ?  ",
		"SELECT \xff'é\xff', é":                          "SELECT ??, é",
	} {
		if got := withoutLiterals(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// Whatever stands around it, what is in a literal does not come out of it, as long as
// nothing before it is open.
func FuzzLiterals(f *testing.F) {
	for _, seed := range []string{"SELECT ", "SELECT a FROM \"b\" WHERE c = $1 AND d = ", "INSERT INTO t VALUES (1, ", "E", "$a", "--", "''"} {
		f.Add(seed, "value")
	}
	f.Fuzz(func(t *testing.T, before, value string) {
		const secret = "Zq7Zq7Zq7"
		if strings.ContainsAny(before, `'"$-/*\eE`) || strings.ContainsAny(value, `'$\`) || strings.Contains(before, secret) {
			return
		}
		for _, literal := range []string{"'" + value + secret + "'", "$$" + value + secret + "$$", "E'" + value + `\'` + secret + "'", "--" + strings.ReplaceAll(value, "\n", "") + secret, "/*" + strings.ReplaceAll(strings.ReplaceAll(value, "*", ""), "/", "") + secret + "*/"} {
			if got := withoutLiterals(before + " " + literal + " "); strings.Contains(got, secret) {
				t.Errorf("%q after %q is %q", literal, before, got)
			}
		}
	})
}
