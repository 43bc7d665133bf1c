package sql_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/runnelhq/runnel/sql"
)

var v7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestNewID(t *testing.T) {
	t.Parallel()
	var ids []string
	for range 1000 {
		id := sql.NewID()
		if !v7.MatchString(id) {
			t.Fatalf("%s is not a version 7 UUID", id)
		}
		ids = append(ids, id[:13])
	}
	if !slices.IsSorted(ids) {
		t.Error("ids made one after the other do not sort by time")
	}
}

func TestUUIDv7_InSQL(t *testing.T) {
	b := setup(t)
	ids := column[string](b, `SELECT runnel.uuid_v7()::text FROM generate_series(1, 1000)`)
	for _, id := range ids {
		if !v7.MatchString(id) {
			t.Fatalf("%s is not a version 7 UUID", id)
		}
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != 1000 {
		t.Error("ids repeat")
	}
	ms := get[int64](b, `SELECT ('x' || left(replace(runnel.uuid_v7()::text, '-', ''), 12))::bit(48)::bigint`)
	if d := time.Since(time.UnixMilli(ms)).Abs(); d > time.Minute {
		t.Errorf("the time in it is %s off", d)
	}
}
