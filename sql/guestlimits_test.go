package sql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

func TestFUNC_I2_QueriesOverTheirLimitsWriteNothing(t *testing.T) {
	b := newGuests(t)
	g := b.guest(user(alice), false)
	insert := `INSERT INTO note (text) SELECT repeat('x', $1) FROM generate_series(1, $2) RETURNING text`
	g.fails("TooLarge", "", insert, `1`, `100001`)
	g.fails("TooLarge", "", insert, `1000`, `7000`)
	g.fails("TooLarge", "", insert, `20000000`, `1`)
	for name, statement := range map[string]string{
		"sleep":      `WITH w AS (INSERT INTO note (text) VALUES ('late')) SELECT pg_sleep(60)`,
		"no timeout": `WITH w AS (INSERT INTO note (text) VALUES ('late')) SELECT set_config('statement_timeout', '0', false), pg_sleep(60)`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		began := time.Now()
		got := g.askIn(ctx, statement, ``)
		cancel()
		if got.Error == nil || got.Error.Code != "Timeout" || time.Since(began) > 3*time.Second {
			t.Errorf("%s: %v after %s", name, got, time.Since(began))
		}
	}
	if n := get[int](b, `SELECT count(*)::int FROM note`); n != 2 {
		t.Errorf("%d rows, want the 2 of before", n)
	}
	g.wants(`[["of alice"]]`, `SELECT text FROM note`)
}

func TestFUNC_F2_ABatchIsOneTransaction(t *testing.T) {
	b := newGuests(t)
	b.exec(`ALTER TABLE note ADD CONSTRAINT one_text UNIQUE (text) DEFERRABLE INITIALLY DEFERRED`)
	g := b.guest(user(alice), false)
	batch := func(statements string) answer { return g.askIn(t.Context(), "", `{"batch":[`+statements+`]}`) }
	if a := batch(`{"sql":"INSERT INTO note (text) VALUES ($1)","params":["one"]},{"sql":"SELECT count(*) FROM note"}`); a.Error != nil || len(a.Results) != 2 || a.Results[0].RowCount != 1 || a.Results[1].String() != `[[2]]` {
		t.Errorf("got %+v", a)
	}
	for name, c := range map[string]struct {
		second, state string
		at            int
	}{
		"error":      {`{"sql":"SELECT 1/0"}`, "22012", 1},
		"too many":   {`{"sql":"SELECT generate_series(1, 100001)"}`, "", 1},
		"refused":    {`{"sql":"SELECT 1 AS x INTO TEMP y"}`, "42501", 1},
		"commit":     {`{"sql":"COMMIT"}`, "42501", 1},
		"deferred":   {`{"sql":"INSERT INTO note (text) VALUES ('one')"}`, "23505", -1},
		"procedures": {`{"sql":"CALL nothing()"}`, "42883", 1},
	} {
		a := batch(`{"sql":"INSERT INTO note (text) VALUES ('two')"},` + c.second)
		if a.Error == nil || a.Error.SQLState != c.state || (c.at >= 0 && (a.Error.Statement == nil || *a.Error.Statement != c.at)) {
			t.Errorf("%s: got %v", name, a)
		}
		if n := get[int](b, `SELECT count(*)::int FROM note WHERE text = 'two'`); n != 0 {
			t.Errorf("%s left %d rows", name, n)
		}
	}
	g.wants(`[[2]]`, `SELECT count(*) FROM note`)
}

func TestGuestErrorsAreNative(t *testing.T) {
	b := newGuests(t)
	g := b.guest(user(alice), false)
	if e := g.fails("QueryError", "42703", `SELECT 'äöü', nope FROM note`).Error; e == nil || e.Position != 15 {
		t.Errorf("position is %+v", e)
	}
	if e := g.fails("QueryError", "23505", `INSERT INTO note (id, text) VALUES (1, 'x')`).Error; e == nil || e.Constraint != "note_pkey" || e.Table != "note" || e.Detail != "" { // Postgres keeps the detail where policies hide rows
		t.Errorf("constraint error is %+v", e)
	}
	if e := g.fails("QueryError", "42883", `SELECT lower(1, 2)`).Error; e == nil || e.Hint == "" {
		t.Errorf("no hint: %+v", e)
	}
	g.fails("QueryError", "08P01", `SELECT $1::int`)
	g.fails("InvalidRequest", "", `  -- nothing`)
	if a := g.askIn(t.Context(), `SELECT 1`, `"no array"`); a.Error == nil || a.Error.Code != "InvalidRequest" {
		t.Errorf("got %v", a)
	}
}

func TestSlotsExhausted(t *testing.T) {
	b := newGuests(t) // 4 slots
	var held []*guestCalls
	for range 4 {
		g := b.guest(user(alice), false)
		g.wants(`[[1]]`, `SELECT 1`)
		held = append(held, g)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if a := b.guest(user(bob), false).askIn(ctx, `SELECT 1`, ``); a.Error == nil || a.Error.Code != "Unavailable" || a.Error.SQLState != "53300" {
		t.Errorf("got %v", a)
	}
	waits := b.guest(user(bob), false)
	time.AfterFunc(50*time.Millisecond, held[0].Close)
	waits.wants(`[["of bob"]]`, `SELECT text FROM note`)

	// A second process finds other logins.
	other := &bundle{T: t, url: b.url}
	db, err := sql.Open(t.Context(), b.url, sql.Options{MaxConns: 2, SlotSecret: "a secret of the tests", Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	other.db = db
	other.guest(user(bob), false).wants(`[["of bob"]]`, `SELECT text FROM note`)
}

func TestFUNC_I3_ALevelThatCouldMisleadOthersIsNotUsed(t *testing.T) {
	b := newGuests(t)
	b.exec(`GRANT CREATE ON SCHEMA public TO authenticated`)
	if a := b.guest(user(alice), false).fails("RlsUnavailable", "", `SELECT 1`); a.Error != nil && !strings.Contains(a.Error.Message, "REVOKE CREATE ON SCHEMA public") {
		t.Errorf("got %v", a)
	}
	b.guest(runnel.Caller{Role: runnel.RoleAnon}, false).wants(`[[1]]`, `SELECT 1`)
}

func TestASlotThatSomeoneChangedIsRepaired(t *testing.T) {
	b := newGuests(t)
	g := b.guest(user(alice), false)
	slot := strings.Trim(g.ask(`SELECT session_user`).String(), `[]"`)
	b.exec(`ALTER ROLE "` + slot + `" PASSWORD 'other' CONNECTION LIMIT 5; ALTER ROLE "` + slot + `" SET search_path = evil; ALTER ROLE "` + slot + `" CREATEDB`)
	b.exec(`ALTER ROLE "` + slot + `" NOCREATEDB`)
	b.exec(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '` + slot + `'`)
	g.Close()
	b.guest(user(alice), false).wants(`[["of alice","\"$user\", public"]]`, `SELECT text, current_setting('search_path') FROM note`)
	if n := get[int](b, `SELECT rolconnlimit FROM pg_roles WHERE rolname = $1`, slot); n != 1 {
		t.Errorf("connection limit is %d", n)
	}
}

// Cancelled queries of many functions never strike a query that was not cancelled.
func TestCancelNeverStrikesTheNextQuery(t *testing.T) {
	b := newGuests(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range 25 {
				s := b.db.Guest(user(alice), false)
				if n%2 == 0 {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(time.Duration(rand.IntN(4000))*time.Microsecond, cancel)
					s.Query(ctx, `SELECT pg_sleep(0.002)`, nil)
					cancel()
				} else if raw := s.Query(t.Context(), `SELECT pg_sleep(0.002)`, nil); !json.Valid(raw) || strings.Contains(string(raw), "error") {
					t.Errorf("a query that nobody cancelled: %s", raw)
				}
				s.Close()
			}
		})
	}
	wg.Wait()
}

func TestGuestTypesAreNative(t *testing.T) {
	b := newGuests(t)
	b.exec(`CREATE TYPE mood AS ENUM ('sad', 'so happy'); CREATE DOMAIN positive AS int CHECK (value > 0); CREATE TYPE pair AS (a int, b text);
		SET timezone = 'UTC'; SET intervalstyle = 'iso_8601'`)
	g := b.guest(user(alice), false)
	cases := []struct{ typ, in string }{ // in is JSON; what Postgres makes of it must come back
		{"bool", `true`}, {"bool", `false`}, {"bool", `null`}, {"int2", `-32768`}, {"int4", `2147483647`}, {"int4", `1e3`},
		{"int8", `9007199254740991`}, {"int8", `"9007199254740993"`}, {"int8", `"-9223372036854775808"`}, {"oid", `4294967295`},
		{"numeric", `1.10`}, {"numeric", `"123456789012345678901234567890.123"`}, {"numeric", `"NaN"`}, {"numeric", `"Infinity"`},
		{"float4", `1.5`}, {"float8", `0.1`}, {"float8", `1e300`}, {"float8", `1e-7`}, {"float8", `"NaN"`}, {"float8", `"-Infinity"`}, {"float8", `-0.0`},
		{"text", `""`}, {"text", `"a \"b\" \\ \n ü 😀 </script>"`}, {"varchar(3)", `"abc"`}, {"char(4)", `"ab"`}, {"name", `"x"`}, {"\"char\"", `"x"`},
		{"bytea", `"\\x00ff"`}, {"bytea", `"\\x"`}, {"uuid", `"` + alice + `"`}, {"json", `{"b":1, "a":[1,2],"b":"\u00fc"}`}, {"jsonb", `{"b":1,"a":[1,null]}`},
		{"json", `[1,2]`}, {"jsonb", `12345678901234567890`}, {"json", `null`},
		{"date", `"2024-02-29"`}, {"date", `"infinity"`}, {"date", `"0044-03-15 BC"`}, {"time", `"13:14:15.678"`}, {"timetz", `"13:14:15+05:30"`},
		{"timestamp", `"2024-01-02 03:04:05.678901"`}, {"timestamptz", `"2024-01-02T03:04:05.6+05:30"`}, {"timestamptz", `"infinity"`}, {"timestamptz", `"0044-03-15 00:00:00+00 BC"`},
		{"timestamptz", `"12024-01-01 00:00:00Z"`}, {"interval", `"1 year 2 mons 3 days 04:05:06.7"`}, {"inet", `"10.0.0.1/8"`}, {"cidr", `"10.0.0.0/8"`}, {"macaddr", `"08:00:2b:01:02:03"`},
		{"bit(3)", `"101"`}, {"varbit", `"10"`}, {"money", `"$1.50"`}, {"point", `"(1,2)"`}, {"box", `"(1,2),(0,0)"`}, {"tsvector", `"'a':1 'b':2"`}, {"int4range", `"[1,5)"`}, {"xml", `"<a/>"`},
		{"mood", `"so happy"`}, {"positive", `7`}, {"pair", `"(1,\"a b\")"`}, {"int2vector", `"1 2"`},
		{"int4[]", `[1,2,null]`}, {"int4[]", `[]`}, {"int4[]", `[[1,2],[3,4]]`}, {"int8[]", `["9007199254740993",1]`}, {"text[]", `["a","b c","","NULL","{","\"","\\",",",null,"ü"]`},
		{"bool[]", `[true,false]`}, {"float8[]", `[1.5,"NaN"]`}, {"numeric[]", `["1.10"]`}, {"uuid[]", `["` + alice + `"]`}, {"jsonb[]", `[{"a":[1]},null,"x"]`}, {"mood[]", `["sad","so happy"]`},
		{"positive[]", `[1,2]`}, {"bytea[]", `["\\x00"]`}, {"timestamptz[]", `["2024-01-02 03:04:05+00"]`}, {"date[]", `["2024-02-29"]`},
	}
	for _, c := range cases {
		// What Postgres makes of our answer, given back as a parameter, is what it
		// made of the first one: so nothing was lost on either way.
		a := g.ask(`SELECT $1::`+c.typ, c.in)
		if a.Error != nil || len(a.Rows) != 1 {
			t.Errorf("%s %s: %v", c.typ, c.in, a)
			continue
		}
		ours := string(a.Rows[0][0])
		back := g.ask(`SELECT $1::`+c.typ+`::text`, ours)
		want := g.ask(`SELECT $1::`+c.typ+`::text`, c.in)
		if back.Error != nil || want.Error != nil || back.String() != want.String() {
			t.Errorf("%s %s: came as %s, which is %v, want %v", c.typ, c.in, ours, back, want)
		}
		// And pgx, with the same text, sees the same.
		var text *string
		if s, err := paramText(c.in); err == nil {
			if err := b.conn.QueryRow(t.Context(), `SELECT ($1::text)::`+c.typ+`::text`, s).Scan(&text); err != nil {
				t.Errorf("%s %s: natively: %v", c.typ, c.in, err)
			} else if native, _ := json.Marshal([][]*string{{text}}); string(native) != want.String() && fmt.Sprintf("%q", native) != fmt.Sprintf("%q", want.String()) {
				var one, two any
				if json.Unmarshal(native, &one) != nil || json.Unmarshal([]byte(want.String()), &two) != nil || fmt.Sprint(one) != fmt.Sprint(two) {
					t.Errorf("%s %s: %s natively, %s here", c.typ, c.in, native, want)
				}
			}
		}
	}
	if len(cases) < 60 {
		t.Errorf("only %d cases", len(cases))
	}
	// The forms that the contract names.
	g.wants(`[[9007199254740991,"9007199254740992","1.10","NaN","2024-01-02T03:04:05.6Z","2024-01-02T03:04:05",[[1,null]],"\\x00ff",{"a":1},true,null]]`,
		`SELECT 9007199254740991, 9007199254740992, 1.10, 'NaN'::float8, '2024-01-02 03:04:05.6+00'::timestamptz, '2024-01-02 03:04:05'::timestamp, '{{1,NULL}}'::int[], '\x00ff'::bytea, '{"a": 1}'::json, true, null::int`)
	if a := g.ask(`SELECT 1 AS a, 'x' AS a, '{}'::int[], 'sad'::mood, now()`); fmt.Sprint(a.Columns) != `[{a int4} {a text} {int4 int4[]} {mood mood} {now timestamptz}]` {
		t.Errorf("columns are %v", a.Columns)
	}
	g.wants(`[[1,2]]`, `SELECT count(*), max(x) FROM unnest($1::int[]) x WHERE x = ANY ($2) AND x IN ($3, $4)`, `[1,2,3]`, `[2]`, `2`, `5`)
	g.wants(`[]`, `INSERT INTO note (text) SELECT 'x' LIMIT $1;`, `1`)
	g.wants(`[[]]`, `SELECT FROM note LIMIT 1`)
	g.wants(`[["text",[["(1,1),(0,0)"],["(3,3),(2,2)"]],[1,2]]]`, `SELECT $1::jsonb, '{{(1,1),(0,0)};{(3,3),(2,2)}}'::box[], '[0:1]={1,2}'::int[]`, `"\"text\""`)
}

// paramText is the text of a JSON parameter that is not an array or an object.
func paramText(in string) (*string, error) {
	if in == "null" {
		return nil, nil
	}
	var s string
	switch in[0] {
	case '"':
		err := json.Unmarshal([]byte(in), &s)
		return &s, err
	case '[', '{':
		return nil, fmt.Errorf("an array or an object")
	}
	if in == "1e3" {
		in = "1000"
	}
	return &in, nil
}
