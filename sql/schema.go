package sql

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
)

//go:embed migration/*.sql routine/*.sql
var schemaFiles embed.FS

// schema is what a release's database holds, River's tables aside.
//
// What holds data (tables, indexes, types) is made by the files of migration/, each
// once and in the order of their numbers. What holds none (functions, views, and the
// triggers on our tables) is written once, in the files of routine/, and a file is
// applied again whenever its content has changed. To change a function, edit it. A
// release whose Go needs the change adds a migration, if only one that says so:
// numbers tell which of two releases is newer, and whether a process has to wait for
// a migration. What CREATE OR REPLACE cannot do (another result type, a parameter
// less, a function that goes) is a DROP in that migration, and what is dropped has
// to be in a file of routine/ that changes with it.
//
// Until a release is gone, its processes run beside the newer schema: a column or a
// function that they use is removed one release later than they stop using it.
type schema struct {
	migrations []script
	routines   []script
}

// script is one file of migration/ or routine/.
type script struct {
	name     string // without extension
	text     string
	checksum string // hex sha256 of text
}

// title is the name of a migration without its number.
func (s script) title() string {
	_, title, _ := strings.Cut(s.name, "_")
	return title
}

// ownSchema is that of this release. It is asked for with every look at readiness.
var ownSchema = sync.OnceValues(func() (schema, error) { return readSchema(schemaFiles) })

// readSchema reads migration/NNN_name.sql, which must be numbered from 001 without a
// gap, and routine/name.sql.
func readSchema(files fs.FS) (wanted schema, err error) {
	if wanted.migrations, err = readScripts(files, "migration"); err != nil {
		return schema{}, err
	}
	for i, m := range wanted.migrations {
		if number, title, _ := strings.Cut(m.name, "_"); number != fmt.Sprintf("%03d", i+1) || title == "" {
			return schema{}, fmt.Errorf("%s: migrations are named NNN_name.sql and numbered without a gap", m.name)
		}
	}
	wanted.routines, err = readScripts(files, "routine")
	return wanted, err
}

// readScripts reads the files of a folder in the order of their names.
func readScripts(files fs.FS, folder string) ([]script, error) {
	names, err := fs.Glob(files, folder+"/*.sql")
	if err != nil {
		return nil, err
	}
	scripts := make([]script, len(names))
	for i, file := range names {
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		scripts[i] = script{strings.TrimSuffix(path.Base(file), ".sql"), string(text), hex.EncodeToString(sum[:])}
	}
	return scripts, nil
}
