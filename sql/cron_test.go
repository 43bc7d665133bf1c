package sql_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	cron "github.com/netresearch/go-cron"
)

// parser is how the scheduler reads what check_cron lets through.
var parser = cron.MustNewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom | cron.Descriptor)

func TestCheckCron_Accepts(t *testing.T) {
	b := setup(t)
	for in, want := range map[string]string{
		"* * * * *":                   "",
		"0 * * * * *":                 "",
		"*/5 * * * *":                 "",
		"*/10 * * * * *":              "",
		"5/15 * * * *":                "",
		"0-30/10 * * * *":             "",
		"0,15,30-40/5,59 * * * *":     "",
		"0 22-2 * * *":                "",
		"0 0 1,15 * ?":                "",
		"0 0 ? * MON":                 "",
		"0 0 * * mon-FRI":             "",
		"0 0 * * FRI-MON":             "",
		"0 0 * * SAT,SUN":             "",
		"0 0 * * 7":                   "",
		"0 0 * * 0-7":                 "",
		"0 0 * * 5-7":                 "",
		"0 0 1 jan-Mar,DEC *":         "",
		"0 0 1 NOV-FEB *":             "",
		"0 0 29 2 *":                  "",
		"0 0 30 2 MON":                "", // or any Monday
		"0 0 31 4-5 *":                "",
		"0 0 31 1/2 *":                "",
		"0 0 28-3 2 *":                "",
		"*/59 * * * *":                "",
		"0/1 * * * *":                 "",
		"59 23 31 12 7":               "",
		"00 00 01 01 *":               "",
		"  0\t0   * *  * ":            "0 0 * * *",
		"@hourly":                     "",
		" @Daily ":                    "@daily",
		"@MIDNIGHT":                   "@midnight",
		"@weekly":                     "",
		"@monthly":                    "",
		"@yearly":                     "",
		"@annually":                   "",
		"59 59 23 31 12 SUN-SAT":      "",
		"0 0 1-31/30 * *":             "",
		"1,2,3,4,5,6,7,8,9 * * * * *": "",
	} {
		if want == "" {
			want = in
		}
		got := get[string](b, `SELECT runnel.check_cron($1)`, in)
		if got != want {
			t.Errorf("%q is spelled %q, want %q", in, got, want)
		}
		schedule, err := parser.Parse(got)
		if err != nil {
			t.Errorf("%q passes here and fails in the scheduler: %v", got, err)
			continue
		}
		if schedule.Next(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
			t.Errorf("%q never runs", got)
		}
	}
}

func TestCheckCron_Refuses(t *testing.T) {
	b := setup(t)
	for _, in := range []string{
		"", " ", "\t", "*", "* * * *", "* * * * * * *", "* * * * * * 2026",
		"60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 8",
		"60 * * * * *", "-1 * * * *", "+1 * * * *", "1- * * * *", "-5 * * * *", "1-2-3 * * * *", "*-5 * * * *", "1..5 * * * *",
		"*/0 * * * *", "*/60 * * * *", "*/99 * * * *", "*/-1 * * * *", "*/ * * * *", "/5 * * * *", "*/5/5 * * * *", "5/55 * * * *",
		"0-5/6 * * * *", "50-10/5 * * * *", "0 22-2/2 * * *", "0 0 * * FRI-MON/2",
		", * * * *", "1,,2 * * * *", "1, * * * *", ",1 * * * *", "*,? * * * *",
		"? * * * *", "* ? * * *", "* * * ? *", "0 0 ?/2 * *", "0 0 1,? * *",
		"MON * * * *", "* * * * MO", "* * * * MONDAY", "* * * * JAN", "* * * MON *", "* * JAN * *", "* * * * MON#2", "* * L * *", "* * 15W * *", "* * LW * *", "* * * * 5L", "H * * * *",
		"001 * * * *", "1.5 * * * *", "0x1 * * * *", "1e1 * * * *", "a * * * *", "** * * * *", "* * * * *;", "*\u00a0* * * *", "٣ * * * *", "* * *\n* *", "* * * * *\n",
		"@every 1h", "@reboot", "@", "@hourly *", "@hourlyy", "@ hourly", "hourly", "TZ=UTC * * * * *", "CRON_TZ=UTC * * * * *",
		"0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 31 4 ?", "0 0 31 2,4 *", "0 0 30,31 FEB *", "0 0 31 9-9 *",
		strings.Repeat("1,", 128) + "1 * * * *",
	} {
		_, err := b.conn.Exec(t.Context(), `SELECT runnel.check_cron($1)`, in)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "22023" || !strings.HasPrefix(pg.Message, "InvalidCron: ") || pg.Hint == "" {
			t.Errorf("%q: got %v", in, err)
		}
	}
	b.refuses("22023", "InvalidCron: the expression is NULL", `SELECT runnel.check_cron(NULL)`)
}

// Whatever passes here, the scheduler must be able to read and to find a date for.
func TestCheckCron_WhatPassesTheSchedulerReads(t *testing.T) {
	b := setup(t)
	b.exec(`CREATE FUNCTION pg_temp.spelled(c text) RETURNS text LANGUAGE plpgsql AS $$
		BEGIN RETURN runnel.check_cron(c); EXCEPTION WHEN invalid_parameter_value THEN RETURN NULL; END $$`)
	random := rand.New(rand.NewPCG(1, 2))
	tokens := []string{"*", "?", "0", "1", "2", "5", "7", "12", "23", "28", "30", "31", "59", "60", "MON", "sun", "FEB", "jan", "L", "H", "#", "W",
		"-", "/", ",", "-", "/", ",", " ", "*/2", "@hourly", "@every 1s", "\t"}
	var specs []string
	for range 20000 {
		fields := make([]string, 5+random.IntN(2))
		for i := range fields {
			for range 1 + random.IntN(4) {
				fields[i] += tokens[random.IntN(len(tokens))]
			}
			if random.IntN(2) == 0 {
				fields[i] = "*"
			}
		}
		specs = append(specs, strings.Join(fields, " "))
	}
	passed := 0
	for _, spec := range column[*string](b, `SELECT pg_temp.spelled(c) FROM unnest($1::text[]) c`, specs) {
		if spec == nil {
			continue
		}
		passed++
		schedule, err := parser.Parse(*spec)
		if err != nil {
			t.Errorf("%q: %v", *spec, err)
		} else if schedule.Next(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
			t.Errorf("%q never runs", *spec)
		}
	}
	if passed < 500 {
		t.Errorf("only %d expressions passed: the test tests nothing", passed)
	}
}
