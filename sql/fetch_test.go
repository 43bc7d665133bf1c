package sql_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

// limited deploys a function with a flow.
func limited(b *bundle, name string, f runnel.FlowConfig) runnel.Function {
	b.Helper()
	wasm, hash := module(name)
	fn, _, err := b.db.Deploy(b.Context(), sql.Deploy{Name: name, Wasm: wasm, Hash: hash, Kind: "reactor", Config: runnel.Config{FlowConfig: f}})
	if err != nil {
		b.Fatal(err)
	}
	return fn
}

func fetch(b *bundle, slots int, use ...any) sql.Fetched {
	b.Helper()
	f := sql.Fetch{Worker: "w", Slots: slots, MaxAttemptedBy: 100}
	for i := 0; i < len(use); i += 2 {
		f.Functions, f.Used = append(f.Functions, use[i].(string)), append(f.Used, use[i+1].(float64))
	}
	got, err := b.db.Fetch(b.Context(), f)
	if err != nil {
		b.Fatal(err)
	}
	return got
}

// functions are those of the jobs, sorted.
func functions(f sql.Fetched) string {
	var names []string
	for _, j := range f.Jobs {
		names = append(names, j.Tags[0])
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// A job is to River what it would be if River had fetched it.
func TestFetchedJobsAreRivers(t *testing.T) {
	b := setup(t)
	limited(b, "f", runnel.FlowConfig{})
	b.exec(`SELECT runnel.invoke('f', priority => 3)`)
	b.exec(`UPDATE runnel.river_job SET errors = ARRAY['{"at":"2026-01-01T00:00:00Z","attempt":1,"error":"e","trace":""}'::jsonb], attempt = 1, attempted_by = '{a,b}'`)
	got, err := b.db.Fetch(t.Context(), sql.Fetch{Worker: "w", Slots: 5, MaxAttemptedBy: 2})
	if err != nil || len(got.Jobs) != 1 || got.Next != "" || got.Again >= 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	want, err := riverpgxv5.New(b.db.Pool()).GetExecutor().JobGetByID(t.Context(), &riverdriver.JobGetByIDParams{ID: got.Jobs[0].ID, Schema: sql.Schema})
	if err != nil {
		t.Fatal(err)
	}
	want.UniqueStates = nil // left out
	if !reflect.DeepEqual(got.Jobs[0], want) {
		t.Errorf("got  %+v\nwant %+v", got.Jobs[0], want)
	}
	if want.Attempt != 2 || want.AttemptedAt == nil || !slices.Equal(want.AttemptedBy, []string{"b", "w"}) || want.State != "running" || len(want.Errors) != 1 {
		t.Errorf("%+v", want)
	}
	if again := fetch(b, 5); len(again.Jobs) != 0 {
		t.Errorf("taken twice: %+v", again.Jobs)
	}
}

// Anyone who may write river_job can write odd jobs. They are fetched, or River
// could not end them.
func TestFetchTakesOddJobs(t *testing.T) {
	b := setup(t)
	b.exec(`INSERT INTO runnel.river_job (kind, queue, max_attempts, args) VALUES
		('invoke', 'functions', 1, '{}'), ('invoke', 'functions', 1, '{"function":""}'), ('invoke', 'functions', 1, '[]'),
		('invoke', 'functions', 1, '{"function":{"a":1}}'), ('invoke', 'functions', 1, '{"function":"ключ","key":7}'),
		('other', 'functions', 1, '{}'), ('invoke', 'other', 1, '{}')`)
	if got := fetch(b, 10); len(got.Jobs) != 5 {
		t.Errorf("%d jobs", len(got.Jobs))
	}
}

func TestFetchSharesSlots(t *testing.T) {
	b := setup(t)
	for _, name := range []string{"noisy", "quiet", "rare"} {
		limited(b, name, runnel.FlowConfig{})
	}
	b.exec(`SELECT runnel.invoke('noisy') FROM generate_series(1, 50)`)
	b.exec(`SELECT runnel.invoke('quiet') FROM generate_series(1, 2)`)
	b.exec(`SELECT runnel.invoke('rare', priority => 4)`)
	// One slot goes to whoever has used least; then to the better priority.
	for range 3 {
		if got := functions(fetch(b, 1, "noisy", 9.0, "quiet", 2.0, "rare", 1.0)); got != "rare" && got != "quiet" {
			t.Errorf("first %s", got)
		}
	}
	// What is left of the slots goes to whoever has jobs.
	if got := functions(fetch(b, 10)); got != strings.TrimSpace(strings.Repeat("noisy ", 10)) {
		t.Errorf("got %s", got)
	}
	b.exec(`SELECT runnel.invoke('quiet') FROM generate_series(1, 50)`)
	b.exec(`SELECT runnel.invoke('rare') FROM generate_series(1, 2)`)
	if got := functions(fetch(b, 10)); strings.Count(got, "rare") != 2 || strings.Count(got, "noisy") < 3 || strings.Count(got, "quiet") < 3 {
		t.Errorf("got %s", got)
	}
}

func TestFetchOrdersAFunctionsJobsByPriority(t *testing.T) {
	b := setup(t)
	limited(b, "f", runnel.FlowConfig{Priority: ptr(3)})
	for _, call := range []string{`runnel.invoke('f', '1', priority => 4)`, `runnel.invoke('f', '2')`, `runnel.invoke('f', '3', priority => 1)`, `runnel.invoke('f', '4', priority => 2)`} {
		b.exec(`SELECT ` + call)
	}
	var got []int
	for range 4 {
		got = append(got, fetch(b, 1).Jobs[0].Priority)
	}
	if !slices.Equal(got, []int{1, 2, 3, 4}) {
		t.Errorf("priorities %v", got)
	}
}

func TestFetchPassesOverPausedFunctions(t *testing.T) {
	b := setup(t)
	limited(b, "p", runnel.FlowConfig{Paused: ptr(true)})
	limited(b, "f", runnel.FlowConfig{})
	b.exec(`SELECT runnel.invoke(f) FROM unnest('{p,p,f}'::text[]) f`)
	if got := functions(fetch(b, 5)); got != "f" {
		t.Errorf("got %s", got)
	}
	if _, err := b.db.Configure(t.Context(), "p", runnel.Config{FlowConfig: runnel.FlowConfig{Paused: ptr(false)}}); err != nil {
		t.Fatal(err)
	}
	if got := functions(fetch(b, 5)); got != "p p" {
		t.Errorf("got %s", got)
	}
}

func TestFetchKeepsRates(t *testing.T) {
	b := setup(t)
	fn := limited(b, "f", runnel.FlowConfig{Rate: &runnel.Rate{PerSecond: 0.5, Burst: 3}})
	b.exec(`SELECT runnel.invoke('f') FROM generate_series(1, 10)`)
	got := fetch(b, 10)
	if len(got.Jobs) != 3 || got.Again <= 0 || got.Again > 2*time.Second+10*time.Millisecond {
		t.Fatalf("%d jobs, again in %s", len(got.Jobs), got.Again)
	}
	if got = fetch(b, 10); len(got.Jobs) != 0 || got.Again <= 0 {
		t.Errorf("%d jobs, again in %s", len(got.Jobs), got.Again)
	}
	b.exec(`UPDATE runnel.function_flow SET refilled_at = clock_timestamp() - interval '2.1 s' WHERE function_id = $1`, fn.ID)
	if got = fetch(b, 10); len(got.Jobs) != 1 {
		t.Errorf("%d jobs after two seconds", len(got.Jobs))
	}
	b.exec(`UPDATE runnel.function_flow SET refilled_at = clock_timestamp() - interval '1 day' WHERE function_id = $1`, fn.ID)
	if got = fetch(b, 10); len(got.Jobs) != 3 {
		t.Errorf("%d jobs after a day, want the burst", len(got.Jobs))
	}
}

// More functions and keys than one fetch looks at are all reached.
func TestFetchGoesAround(t *testing.T) {
	b := setup(t)
	limited(b, "keyed", runnel.FlowConfig{ConcurrencyKey: ptr("k")})
	b.exec(`SELECT runnel.invoke('keyed', jsonb_build_object('k', n)) FROM generate_series(1, 300) n`)
	b.exec(`INSERT INTO runnel.river_job (kind, queue, max_attempts, args, tags) SELECT 'invoke', 'functions', 1, jsonb_build_object('function', 'f' || n), '{f}' FROM generate_series(1, 300) n`)
	seen := map[int64]bool{}
	after, fetches := "", 0
	for len(seen) < 600 && fetches < 100 {
		got, err := b.db.Fetch(t.Context(), sql.Fetch{Worker: "w", Slots: 50, MaxAttemptedBy: 100, After: after})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Jobs) < 50 && len(seen)+len(got.Jobs) < 600 && (got.Again < 0 || got.Again > 25*time.Millisecond) {
			t.Errorf("%d jobs, %d seen, and nothing says that there are more", len(got.Jobs), len(seen))
		}
		for _, j := range got.Jobs {
			seen[j.ID] = true
		}
		after = got.Next
		fetches++
	}
	if len(seen) != 600 {
		t.Errorf("%d of 600 jobs in %d fetches", len(seen), fetches)
	}
}

func TestEventKeys(t *testing.T) {
	b := setup(t)
	key := func(path, event string) *string {
		return get[*string](b, `SELECT runnel.event_key($1, convert_to($2, 'UTF8'))`, path, event)
	}
	one := key("a.b", `{"trigger":"http","body":{"a":{"b":"x"}}}`)
	if one == nil || len(*one) != 16 {
		t.Fatal(one)
	}
	for _, same := range [][2]string{
		{"b", `{"trigger":"sql","payload":{"b":"x"}}`},
		{"b", `{"trigger":"schedule","payload":{"b":"x"}}`},
		{"b", `{"payload":{"b":"x"}}`},
		{"b", `{"trigger":"database","new":{"b":"x"},"old":{"b":"y"}}`},
		{"b", `{"trigger":"database","new":null,"old":{"b":"x"}}`},
		{"1", `{"trigger":"sql","payload":["y","x"]}`},
	} {
		if got := key(same[0], same[1]); got == nil || *got != *one {
			t.Errorf("%s in %s: %v", same[0], same[1], got)
		}
	}
	if other := key("b", `{"trigger":"sql","payload":{"b":"y"}}`); other == nil || *other == *one {
		t.Errorf("another value: %v", other)
	}
	for _, none := range []string{`{"trigger":"http","body":"text"}`, `{"trigger":"http","body":null}`, `{"trigger":"sql","payload":{"b":null}}`, `{}`, `[]`, `nonsense`, `{"trigger":"sql","payload":{"b":"\u0000"}}`} {
		if got := key("b", none); got != nil {
			t.Errorf("%s: %v", none, *got)
		}
	}
	if got := get[*string](b, `SELECT runnel.event_key('b', '\xff00'::bytea)`); got != nil {
		t.Errorf("no UTF-8: %v", *got)
	}
}

// Many workers take and end jobs, some die with theirs. No limit is ever exceeded,
// every limit is reached, and every job is run.
func TestLimitsAreExactUnderFire(t *testing.T) {
	b := setup(t)
	limited(b, "three", runnel.FlowConfig{MaxConcurrency: ptr(3)})
	limited(b, "keyed", runnel.FlowConfig{MaxConcurrency: ptr(5), ConcurrencyKey: ptr("k"), MaxConcurrencyPerKey: ptr(2)})
	limited(b, "free", runnel.FlowConfig{})
	b.exec(`SELECT runnel.invoke('three') FROM generate_series(1, 150)`)
	b.exec(`SELECT runnel.invoke('keyed', jsonb_build_object('k', n % 4)) FROM generate_series(1, 150) n`)
	b.exec(`SELECT runnel.invoke('free') FROM generate_series(1, 150)`)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()

	watch := use(t, b.url)
	most := map[string]int{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			rows, err := watch.conn.Query(ctx, `SELECT coalesce(args ->> 'function', ''), coalesce(args ->> 'key', ''), count(*) FROM runnel.river_job
				WHERE state = 'running' GROUP BY GROUPING SETS ((1), (1, 2))`)
			if err != nil {
				return
			}
			for rows.Next() {
				var fn string
				var key *string // null: of all keys together
				var n int
				if rows.Scan(&fn, &key, &n) == nil {
					if fn == "keyed" && key != nil {
						fn = "key"
					}
					most[fn] = max(most[fn], n)
				}
			}
			if rows.Close(); rows.Err() != nil {
				return
			}
		}
	}()

	var wg sync.WaitGroup
	for i := range 6 {
		db := use(t, b.url).db
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			name := fmt.Sprint("w", i)
			for ctx.Err() == nil {
				got, err := db.Fetch(ctx, sql.Fetch{Worker: name, Slots: 1 + random.IntN(12), MaxAttemptedBy: 100})
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					return
				}
				for _, j := range got.Jobs {
					state := "completed"
					if random.IntN(4) == 0 { // it dies: whoever finds that gives the job back
						state = "available"
					}
					if _, err := db.Pool().Exec(ctx, `UPDATE runnel.river_job SET state = $2::text::runnel.river_job_state, finalized_at = CASE WHEN $2::text = 'completed' THEN now() END WHERE id = $1`, j.ID, state); err != nil {
						if ctx.Err() == nil {
							t.Error(err)
						}
						return
					}
				}
				var left bool
				if err := db.Pool().QueryRow(ctx, `SELECT EXISTS (SELECT FROM runnel.river_job WHERE finalized_at IS NULL)`).Scan(&left); err == nil && !left {
					return
				}
			}
		})
	}
	wg.Wait()
	if left := get[int](b, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NULL`); left != 0 {
		t.Errorf("%d jobs are left", left)
	}
	cancel()
	<-done
	if most["three"] != 3 || most["keyed"] != 5 || most["key"] != 2 {
		t.Errorf("most at once: %v", most)
	}
}

func TestEnqueueRefusesWhoCannotWait(t *testing.T) {
	b := setup(t)
	limited(b, "two", runnel.FlowConfig{MaxConcurrency: ptr(2)})
	limited(b, "rated", runnel.FlowConfig{Rate: &runnel.Rate{PerSecond: 0.1, Burst: 1}})
	limited(b, "keyed", runnel.FlowConfig{ConcurrencyKey: ptr("k")})
	limited(b, "paused", runnel.FlowConfig{Paused: ptr(true)})
	limited(b, "free", runnel.FlowConfig{})
	ask := func(function, body string, now bool) sql.Enqueue {
		return sql.Enqueue{ID: sql.NewID(), Function: function, Trigger: runnel.TriggerHTTP, Event: []byte(`{"trigger":"http","body":` + body + `}`),
			Caller: runnel.Caller{Role: runnel.RoleAnon}, Now: now}
	}
	check := func(want string, items ...sql.Enqueue) {
		t.Helper()
		errs, err := b.db.Enqueue(t.Context(), items)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range errs {
			var ours *runnel.Error
			if !errors.As(e, &ours) {
				got = append(got, "ok")
			} else if got = append(got, string(ours.Code)); ours.Code == runnel.CodeTooManyRequests && ours.RetryAfter <= 0 {
				t.Errorf("no time to try again in %v", ours)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("got %s, want %s", strings.Join(got, " "), want)
		}
	}
	check("ok ok TooManyRequests ok", ask("two", "1", true), ask("two", "1", true), ask("two", "1", true), ask("free", "1", true))
	check("ok TooManyRequests", ask("two", "1", false), ask("two", "1", true))
	check("ok TooManyRequests ok", ask("rated", "1", true), ask("rated", "1", true), ask("rated", "1", false))
	check("ok TooManyRequests ok ok ok", ask("keyed", `{"k":1}`, true), ask("keyed", `{"k":1}`, true), ask("keyed", `{"k":2}`, true), ask("keyed", `{}`, true), ask("keyed", `{}`, true))
	check("TooManyRequests ok FunctionNotFound", ask("paused", "1", true), ask("paused", "1", false), ask("nobody", "1", true))
	for len(fetch(b, 20).Jobs) > 0 {
	}
	check("TooManyRequests TooManyRequests", ask("two", "1", true), ask("keyed", `{"k":2}`, true)) // they run
	b.exec(`UPDATE runnel.river_job SET state = 'completed', finalized_at = now() WHERE state = 'running'`)
	fetch(b, 20) // the third of "two"
	check("ok TooManyRequests ok", ask("two", "1", true), ask("two", "1", true), ask("keyed", `{"k":2}`, true))
}
