package main

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed audit.sql
var auditSQL string

//go:embed ledger.sql
var ledgerSQL string

// finding is one thing that does not add up.
type finding struct{ Kind, What, Who string }

func (f finding) String() string { return f.Kind + ": " + f.What + ": " + f.Who }

// audit is what the ledgers say when they are laid side by side.
type audit struct {
	Findings []finding
	Enqueued int
	Ran      int
	Rows     string // by status
	Answers  string // of HTTP, by status
}

// auditOptions are what may be left open.
type auditOptions struct {
	unfinished bool // jobs may still wait or run
	unrecorded bool // functions could not write what they ran
}

func newAudit(ctx context.Context, pool *pgxpool.Pool, o auditOptions) (audit, error) {
	rows, err := pool.Query(ctx, auditSQL, o.unfinished, !o.unrecorded)
	if err != nil {
		return audit{}, fmt.Errorf("audit: %w", err)
	}
	var a audit
	if a.Findings, err = pgx.CollectRows(rows, pgx.RowToStructByPos[finding]); err != nil {
		return audit{}, fmt.Errorf("audit: %w", err)
	}
	err = pool.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM runnel.invocation_events), (SELECT count(*) FROM faults.ran),
		(SELECT coalesce(string_agg(n || ' ' || status, ', ' ORDER BY n DESC, status), 'none') FROM (SELECT status, count(*) n FROM runnel.function_invocations GROUP BY 1) x),
		(SELECT coalesce(string_agg(n || ' ' || answer, ', ' ORDER BY n DESC, answer), 'none')
		 FROM (SELECT CASE status WHEN 0 THEN coalesce(nullif(code, ''), 'no answer') WHEN 200 THEN '200' ELSE trim(status || ' ' || code) END answer, count(*) n
		       FROM faults.sent WHERE trigger = 'http' GROUP BY 1) x)`).
		Scan(&a.Enqueued, &a.Ran, &a.Rows, &a.Answers)
	return a, err
}

// count is how many findings there are of a kind.
func (a audit) count(kind string) (n int) {
	for _, f := range a.Findings {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

// verdict is the three figures.
func (a audit) verdict() string {
	return fmt.Sprintf("%d / %d / %d", a.count("lost"), a.count("duplicated"), a.count("unaccounted"))
}

// details lists findings, a few of each sort.
func (a audit) details() string {
	const few = 5
	var b strings.Builder
	seen := map[string]int{}
	for _, f := range a.Findings {
		if seen[f.Kind+": "+f.What]++; seen[f.Kind+": "+f.What] <= few {
			fmt.Fprintf(&b, "  %s\n", f)
		}
	}
	for _, sort := range slices.Sorted(maps.Keys(seen)) {
		if n := seen[sort]; n > few {
			fmt.Fprintf(&b, "  (%s: %d in all)\n", sort, n)
		}
	}
	return b.String()
}
