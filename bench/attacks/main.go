// Attacks writes the table of what hostile SQL got, on each PostgreSQL it is given:
// it runs the test that sends the attacks and collects what it reports. A failing
// test is an error, so the table shows attacks that were held, or whose residual
// risk is stated.
//
//	go run ./bench/attacks -o docs/ATTACKS.md /usr/lib/postgresql/15/bin "$(.ci/postgres 18.4.0-beta.17)"
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

func main() {
	file := flag.String("o", "", "file to write; empty: standard output")
	flag.Parse()
	if err := run(*file, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string, programs []string) error {
	if len(programs) == 0 {
		programs = []string{""} // whatever the tests find
	}
	var t table
	for _, dir := range programs {
		if err := t.test(dir); err != nil {
			return err
		}
	}
	if file == "" {
		_, err := os.Stdout.Write(t.markdown())
		return err
	}
	return os.WriteFile(file, t.markdown(), 0o644)
}

// table has a row for each attack and a column for each server.
type table struct {
	versions []string
	rows     []*row
}

type row struct {
	name, risk string
	answers    []string
}

// test runs the attacks on one server and appends its column.
func (t *table) test(programs string) error {
	cmd := exec.Command("go", "test", "-count=1", "-json", "-run", "^TestFUNC_I3_Attacks$", "./sql")
	cmd.Env = append(os.Environ(), "RUNNEL_TEST_POSTGRES="+programs)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("the attacks on %s: %w: run go test -run TestFUNC_I3_Attacks ./sql to see what got through", programs, err)
	}
	column := len(t.versions)
	found := map[string]*row{} // by subtest
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var event struct{ Action, Test, Key, Value string }
		if err := d.Decode(&event); err != nil {
			return err
		}
		if event.Action != "attr" {
			continue
		}
		switch event.Key {
		case "postgres":
			version, _, _ := strings.Cut(event.Value, " ") // without the packager's own
			t.versions = append(t.versions, version)
		case "attack":
			found[event.Test] = t.row(event.Value)
		case "risk":
			found[event.Test].risk = event.Value
		case "answer":
			r := found[event.Test]
			for len(r.answers) <= column {
				r.answers = append(r.answers, "")
			}
			r.answers[column] = event.Value
		}
	}
	if len(t.versions) != column+1 || len(found) == 0 {
		return fmt.Errorf("the test on %s reported nothing", programs)
	}
	return nil
}

func (t *table) row(name string) *row {
	for _, r := range t.rows {
		if r.name == name {
			return r
		}
	}
	r := &row{name: name}
	t.rows = append(t.rows, r)
	return r
}

func (t *table) markdown() []byte {
	var b bytes.Buffer
	risks := 0
	for _, r := range t.rows {
		if r.risk != "" {
			risks++
		}
	}
	fmt.Fprintf(&b, `# Attacks on guest SQL

Written by `+"`make attacks`"+`; do not edit. Each attack is what a hostile function sends, as the user Alice, through `+"`db_query`"+`; its statements are in sql/attack_test.go. After each one the test looks for what nobody may get: a secret of a hidden table, another user's row, a changed row of another's, a trace in the next invocation on the same connection. The answer is that of the attack's last statement; some succeed, and gain nothing.

%d attacks: %d held, %d with a residual risk that is stated.

| attack | %s | |
|---|%s---|
`, len(t.rows), len(t.rows)-risks, risks, "PostgreSQL "+strings.Join(t.versions, " | PostgreSQL "), strings.Repeat("---|", len(t.versions)))
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;").Replace
	for _, r := range t.rows {
		verdict := "held"
		if r.risk != "" {
			verdict = "residual risk: " + r.risk
		}
		fmt.Fprintf(&b, "| %s |", cell(r.name))
		for i := range t.versions {
			answer := ""
			if i < len(r.answers) {
				answer = r.answers[i]
			}
			fmt.Fprintf(&b, " `%s` |", cell(answer))
		}
		fmt.Fprintf(&b, " %s |\n", cell(verdict))
	}
	return b.Bytes()
}
