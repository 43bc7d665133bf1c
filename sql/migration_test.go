package sql

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestReadMigrations_RefusesGapsAndNames(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"002_a.sql"}, {"001_a.sql", "003_b.sql"}, {"001_a.sql", "001_b.sql"}, {"001.sql"}, {"one_a.sql"}} {
		files := fstest.MapFS{}
		for _, name := range names {
			files["migration/"+name] = &fstest.MapFile{}
		}
		if _, err := readMigrations(files); err == nil || !strings.Contains(err.Error(), "numbered without a gap") {
			t.Errorf("%v: got %v", names, err)
		}
	}
}

func TestReadMigrations_Embedded(t *testing.T) {
	t.Parallel()
	migrations, err := readMigrations(migrationFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range migrations {
		if !strings.HasPrefix(m.text, "-- ") || !strings.Contains(m.text, "\n-- Operator: ") {
			t.Errorf("%03d_%s does not tell the operator what it locks", m.version, m.name)
		}
	}
}
