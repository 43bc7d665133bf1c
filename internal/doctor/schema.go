package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// authFunctions finds auth.jwt() and its like that believe settings: Supabase's
// own do. Levels are refused for them (sql/query/probe.sql).
func (v *visit) authFunctions(ctx context.Context) {
	rows, err := v.db.Pool().Query(ctx, query("auth"))
	if err != nil {
		v.failed("auth functions", err)
		return
	}
	var names []string
	var name, owner, last string
	var ours, all bool
	all = true
	_, err = pgx.ForEachRow(rows, []any{&name, &owner, &ours}, func() error {
		names, last, all = append(names, name), owner, all && ours
		return nil
	})
	if err != nil {
		v.failed("auth functions", err)
		return
	}
	if names == nil {
		v.ok("auth functions", "auth.jwt(), auth.uid() and auth.role() answer what the caller's token says")
		return
	}
	who := "as a member of role " + last + ", who owns them, or a superuser"
	if all {
		who = "as the role of DATABASE_URL"
	}
	v.add(Finding{"auth functions", Problem, strings.Join(names, ", ") + " are not Runnel's: they read settings, as Supabase's own do",
		"a function's SQL can set request.jwt.claims to another user's id, and every policy would believe it; so db_query answers RlsUnavailable as anon and authenticated",
		`runnel doctor --print supabase | psql "$DATABASE_URL" (` + who + `): they then answer in functions' SQL what Runnel wrote, and elsewhere what they do now. Where that is not allowed, use functions with can_bypass_rls and check the caller in them`})
}

// executes finds functions that may run what they are told.
func (v *visit) executes(ctx context.Context) {
	rows, err := v.db.Pool().Query(ctx, query("executes"))
	if err != nil {
		v.failed("functions that execute text", err)
		return
	}
	found := 0
	var name, owner string
	var definer bool
	var levels []string
	_, err = pgx.ForEachRow(rows, []any{&name, &definer, &owner, &levels}, func() error {
		found++
		f := Finding{"functions that execute text", Warning, fmt.Sprintf("%s may be called by %s and seems to execute a text it is given", name, strings.Join(levels, ", ")),
			"with the caller's own rights it gets past what db_query refuses as a statement (SET, NOTIFY, LISTEN, DDL), though not past roles and policies",
			fmt.Sprintf("read it; unless what it executes is fixed: REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, %s", name, strings.Join(levels, ", "))}
		if definer {
			f.Why = fmt.Sprintf("it is SECURITY DEFINER: a text of the caller's would run with the rights of %s, past every policy", owner)
			f.Next = fmt.Sprintf("read it; quote names with format('%%I') and values with USING, or: REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, %s", name, strings.Join(levels, ", "))
		}
		v.add(f)
		return nil
	})
	if err != nil {
		v.failed("functions that execute text", err)
		return
	}
	if found == 0 {
		v.ok("functions that execute text", "none can be called by functions' SQL")
	}
}

// forgeable finds what decides by settings.
func (v *visit) forgeable(ctx context.Context) {
	rows, err := v.db.Pool().Query(ctx, query("forgeable"))
	if err != nil {
		v.failed("forgeable settings", err)
		return
	}
	found := 0
	var kind, name string
	_, err = pgx.ForEachRow(rows, []any{&kind, &name}, func() error {
		found++
		v.add(Finding{"forgeable settings", Warning, fmt.Sprintf("%s %s reads a setting with current_setting", kind, name),
			"SQL can give any setting any value (set_config), so a function's SQL can choose what it reads, another user's id for example",
			"write (SELECT auth.uid()) or (SELECT auth.jwt()) in its place; they answer what the caller's token says"})
		return nil
	})
	if err != nil {
		v.failed("forgeable settings", err)
		return
	}
	if found == 0 {
		v.ok("forgeable settings", "no policy, view, default or function decides by one")
	}
}

// path finds schemas in which others could put functions in the place of Postgres's.
func (v *visit) path(ctx context.Context) {
	rows, err := v.db.Pool().Query(ctx, query("path"))
	if err != nil {
		v.failed("search path", err)
		return
	}
	found := 0
	var schema string
	var others []string
	_, err = pgx.ForEachRow(rows, []any{&schema, &others}, func() error {
		found++
		who := strings.Join(others, ", ")
		v.add(Finding{"search path", Warning, fmt.Sprintf("%s may create functions and operators in schema %s, which is in the search_path of DATABASE_URL's role", who, schema),
			"one that fits a call better than Postgres's own is called in its place, with the rights of DATABASE_URL's role: by your own statements, and by Runnel's where they lead through a pooler",
			fmt.Sprintf("REVOKE CREATE ON SCHEMA %s FROM %s (PostgreSQL 15 and newer begin without that right), and look for what is there already", pgx.Identifier{schema}.Sanitize(), who)})
		return nil
	})
	if err != nil {
		v.failed("search path", err)
		return
	}
	if found == 0 {
		v.ok("search path", "nobody else may create in its schemas")
	}
}
