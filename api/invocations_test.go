package api

import (
	"net/url"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

func TestParseFilter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for query, want := range map[string]sql.Filter{
		"":                     {Function: "f", Limit: defaultPage},
		"status=out_of_memory": {Function: "f", Limit: defaultPage, Status: runnel.StatusOutOfMemory},
		"since=15m&limit=5":    {Function: "f", Limit: 5, Since: now.Add(-15 * time.Minute)},
		"since=2026-01-01T00:00:00Z&cursor=abc": {Function: "f", Limit: defaultPage,
			Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Cursor: "abc"},
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseFilter("f", q, now)
		if err != nil || got != want {
			t.Errorf("%s = %+v, %v; want %+v", query, got, err, want)
		}
	}
	for _, query := range []string{"status=ok", "since=yesterday", "since=-5m", "limit=0", "limit=501", "limit=x", "stat=x"} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseFilter("f", q, now); err == nil || runnel.CodeOf(err) != runnel.CodeInvalidRequest {
			t.Errorf("%s: error %v, want InvalidRequest", query, err)
		}
	}
}
