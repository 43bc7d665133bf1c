package sql

import (
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func TestReadSchema_RefusesGapsAndNames(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"002_a.sql"}, {"001_a.sql", "003_b.sql"}, {"001_a.sql", "001_b.sql"}, {"001.sql"}, {"1_a.sql"}, {"one_a.sql"}} {
		files := fstest.MapFS{}
		for _, name := range names {
			files["migration/"+name] = &fstest.MapFile{}
		}
		if _, err := readSchema(files); err == nil || !strings.Contains(err.Error(), "numbered without a gap") {
			t.Errorf("%v: got %v", names, err)
		}
	}
}

func TestReadSchema_MigrationsTellTheOperatorWhatTheyLock(t *testing.T) {
	t.Parallel()
	wanted, err := readSchema(schemaFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range wanted.migrations {
		if !strings.HasPrefix(m.text, "-- ") || !strings.Contains(m.text, "\n-- Operator: ") {
			t.Errorf("%s does not", m.name)
		}
	}
}

// A function that was written twice would be what the later file says, and a file
// that cannot be applied twice would stop the release that changes it.
func TestReadSchema_RoutinesAreWrittenOnceAndCanBeReplaced(t *testing.T) {
	t.Parallel()
	wanted, err := readSchema(schemaFiles)
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]string{}
	create := regexp.MustCompile(`(?m)^CREATE (OR REPLACE )?(FUNCTION|VIEW|TRIGGER) ([a-z_.0-9]+)`)
	for _, r := range wanted.routines {
		if !strings.HasPrefix(r.text, "-- ") {
			t.Errorf("%s does not say what it holds", r.name)
		}
		for _, found := range create.FindAllStringSubmatch(r.text, -1) {
			if found[1] == "" {
				t.Errorf("%s: write CREATE OR REPLACE %s %s", r.name, found[2], found[3])
			}
			if first, ok := written[found[3]]; ok && found[2] != "TRIGGER" {
				t.Errorf("%s is in %s and in %s", found[3], first, r.name)
			}
			written[found[3]] = r.name
		}
	}
	if len(written) < 50 {
		t.Errorf("only %d were looked at", len(written))
	}
}
