package sql_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Arrays are written and read by our code, not by the driver's. Postgres is asked
// what it makes of random ones: as a parameter and as a result they must be what
// its own to_json says.
func TestGuestArraysAgainstPostgres(t *testing.T) {
	b := newGuests(t)
	g := b.guest(user(alice), false)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 1000 {
		want := randomArray(r, 1+r.IntN(3))
		param, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		// One way: what arrived, in Postgres's words. The other: what we make of
		// what it has. Both must be what was sent.
		got := g.ask(`SELECT to_json($1::text[]), $1::text[]`, string(param))
		if got.Error != nil {
			t.Fatalf("%s: %v", param, got)
		}
		var arrived, returned any
		if json.Unmarshal(got.Rows[0][0], &arrived) != nil || json.Unmarshal(got.Rows[0][1], &returned) != nil {
			t.Fatalf("%s: %v", param, got)
		}
		if !reflect.DeepEqual(arrived, want) || !reflect.DeepEqual(returned, want) {
			t.Errorf("%s: arrived as %s, returned as %s", param, got.Rows[0][0], got.Rows[0][1])
		}
	}

	// The same for values whose text is not what they are: what we read, sent
	// back, is the same value to Postgres.
	for _, c := range []struct{ typ, one string }{
		{"int8", `(random() * 1.8e19 - 9e18)::int8`}, {"numeric", `(random() * 1e9)::numeric / 7`}, {"float8", `random() * 1e300 - 5e299`},
		{"float4", `(random() * 1e30)::float4`}, {"bool", `random() < 0.5`}, {"date", `date '0001-01-01' + (random() * 3e6)::int`},
		{"timestamptz", `timestamptz '0001-01-01' + random() * interval '9000 years'`}, {"timestamp", `timestamp '4700-01-01 BC' + random() * interval '9000 years'`},
		{"interval", `random() * interval '100 years -3 days'`}, {"uuid", `gen_random_uuid()`}, {"bytea", `decode(md5(random()::text), 'hex')`},
		{"jsonb", `jsonb_build_object('a"\{}', ARRAY[random()::text, null])`}, {"json", `to_json(ARRAY['x,}"\', null])`}, {"box", `box(point(random(), 1), point(0, random()))`},
		{"inet", `'10.0.0.0'::inet + (random() * 1e6)::int`}, {"int4range", `int4range((random() * 9)::int, 10 + (random() * 9)::int)`}, {"varbit", `(random() * 1e9)::int::bit(32)`},
		{"\"char\"", `chr(33 + (random() * 90)::int)::"char"`},
	} {
		for _, shape := range []string{
			`(SELECT array_agg(CASE WHEN random() < 0.2 THEN NULL ELSE %[1]s END) FROM generate_series(1, (random() * 8)::int + 1))`,
			`ARRAY[[%[1]s, NULL], [%[1]s, %[1]s]]`, `ARRAY[]::%[2]s[]`,
		} {
			if strings.Contains(c.typ, "json") && strings.Contains(shape, "[[") {
				continue // an array in an array of json is an element, not a dimension
			}
			a := g.ask(fmt.Sprintf(`WITH a AS MATERIALIZED (SELECT (`+shape+`)::%[2]s[] AS a) SELECT a, a::text FROM a`, c.one, c.typ))
			if a.Error != nil {
				t.Fatalf("%s: %v", c.typ, a)
			}
			if !strings.HasPrefix(string(a.Rows[0][0]), "[") {
				t.Errorf("%s[]: %s is not an array", c.typ, a.Rows[0][0])
			}
			if back := g.ask(`SELECT $1::`+c.typ+`[]::text`, string(a.Rows[0][0])); back.Error != nil || string(back.Rows[0][0]) != string(a.Rows[0][1]) {
				t.Errorf("%s[]: %s, read as %s, is %v", c.typ, a.Rows[0][1], a.Rows[0][0], back)
			}
		}
	}
}

// randomArray is an array of strings and nulls with so many dimensions, no side
// of which is empty: Postgres has only one empty array.
func randomArray(r *rand.Rand, dimensions int) any {
	sides := make([]int, dimensions)
	for i := range sides {
		sides[i] = 1 + r.IntN(4)
	}
	var make func(d int) any
	make = func(d int) any {
		if d == len(sides) {
			if r.IntN(6) == 0 {
				return nil
			}
			return randomText(r)
		}
		var all []any
		for range sides[d] {
			all = append(all, make(d+1))
		}
		return all
	}
	return make(0)
}

// randomText is made of what means something to somebody on the way.
func randomText(r *rand.Rand) string {
	parts := []string{"", "NULL", "null", `"`, `\`, `\\`, "{", "}", "{}", ",", ";", " ", "\t", "\n", "\r", "\v", "\f", "'", "''", "$1", "--", "/*", "[0:1]=", "=", "\u00a0", "\u2028", "ü", "😀", "e\u0301", "\x7f", "\u0001", "\\x00", "\\u0000", "a", "0", "</script>", "&"}
	var b strings.Builder
	for range r.IntN(4) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}
