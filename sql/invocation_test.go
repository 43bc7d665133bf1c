package sql_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

func TestInvocations_PagesThroughTheLog(t *testing.T) {
	b := setup(t)
	b.deploy("hello", runnel.Config{})
	b.deploy("other", runnel.Config{})
	// 25 rows on three days, some at the same instant, one in five failed.
	b.exec(`INSERT INTO runnel.function_invocations (id, attempt, created_at, function_id, function_name, trigger, status, role, finished_at)
		SELECT runnel.uuid_v7(), 1 + g % 3, date_trunc('second', now()) - (g / 10) * interval '1 day' - (g / 3) * interval '1 second', f.id, f.name, 'http',
		       CASE WHEN g % 5 = 0 THEN 'timeout' ELSE 'success' END, 'anon', now()
		FROM generate_series(0, 24) g, runnel.functions f`)
	for _, limit := range []int{1, 7, 24, 25, 26} {
		var got []string
		seen := map[string]bool{}
		f := sql.Filter{Function: "hello", Limit: limit}
		for {
			page, next, err := b.db.Invocations(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > limit {
				t.Fatalf("%d rows on a page of %d", len(page), limit)
			}
			for _, r := range page {
				if r.FunctionName != "hello" || seen[r.ID] {
					t.Fatalf("limit %d: row %+v", limit, r)
				}
				seen[r.ID] = true
				got = append(got, r.ID)
			}
			if next == "" {
				break
			}
			f.Cursor = next
		}
		want := column[string](b, `SELECT id::text FROM runnel.function_invocations WHERE function_name = 'hello' ORDER BY created_at DESC, id DESC, attempt DESC`)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("limit %d: got %v, want %v", limit, got, want)
		}
	}
	count := func(f sql.Filter) int {
		t.Helper()
		page, _, err := b.db.Invocations(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		return len(page)
	}
	if n := count(sql.Filter{}); n != 50 {
		t.Errorf("of all functions: %d rows, want 50", n)
	}
	if n := count(sql.Filter{Status: runnel.StatusTimeout}); n != 10 {
		t.Errorf("timeouts: %d rows, want 10", n)
	}
	if n := count(sql.Filter{Function: "other", Since: time.Now().Add(-23 * time.Hour)}); n != 10 {
		t.Errorf("since yesterday: %d rows, want 10", n)
	}
}

func TestInvocations_Refusals(t *testing.T) {
	b := setup(t)
	if _, _, err := b.db.Invocations(t.Context(), sql.Filter{Function: "nobody"}); runnel.CodeOf(err) != runnel.CodeFunctionNotFound {
		t.Errorf("got %v", err)
	}
	for _, cursor := range []string{"x", "!", "MSwyLDM", strings.Repeat("A", 100)} {
		if _, _, err := b.db.Invocations(t.Context(), sql.Filter{Cursor: cursor}); runnel.CodeOf(err) != runnel.CodeInvalidRequest {
			t.Errorf("cursor %q: got %v", cursor, err)
		}
	}
	for id, want := range map[string]runnel.Code{"x": runnel.CodeInvalidRequest, sql.NewID(): runnel.CodeNotFound} {
		if _, err := b.db.Invocation(t.Context(), id); runnel.CodeOf(err) != want {
			t.Errorf("id %q: got %v, want %s", id, err, want)
		}
	}
}
