package runnel_test

import (
	"encoding/json"
	"testing"

	"github.com/runnelhq/runnel"
)

func TestRates(t *testing.T) {
	for in, want := range map[string]runnel.Rate{
		`"10/s"`:                          {PerSecond: 10, Burst: 10},
		`"0.5/second"`:                    {PerSecond: 0.5, Burst: 1},
		`"600/m"`:                         {PerSecond: 10, Burst: 10},
		`" 36 / Hour "`:                   {PerSecond: 0.01, Burst: 1},
		`"1/d"`:                           {PerSecond: 1.0 / 86400, Burst: 1},
		`""`:                              {},
		`{"per_second":2.5}`:              {PerSecond: 2.5, Burst: 3},
		`{"per_minute":60,"burst":100}`:   {PerSecond: 1, Burst: 100},
		`{"per_hour":3600,"burst":1}`:     {PerSecond: 1, Burst: 1},
		`{"per_second":1e6,"burst":1000}`: {PerSecond: 1e6, Burst: 1000},
	} {
		var r runnel.Rate
		if err := json.Unmarshal([]byte(in), &r); err != nil || r != want {
			t.Errorf("%s: %+v, %v", in, r, err)
		}
	}
	for _, in := range []string{`"10"`, `10`, `"10/year"`, `"-1/s"`, `"1e9/s"`, `"0/s"`, `"1/s; DROP"`, `{}`, `{"per_second":0}`, `{"per_second":-1}`,
		`{"per_second":1e300}`, `{"per_second":1e-9}`, `{"per_second":1,"per_minute":1}`, `{"per_second":1,"burst":0}`, `{"per_second":1,"burst":2000000}`,
		`{"per_second":1,"brust":2}`, `{"burst":2}`, `[]`, `true`, `{"per_second":"1"}`} {
		var r runnel.Rate
		isRefused(t, in, json.Unmarshal([]byte(in), &r))
	}
	// What GET shows can be sent back.
	b, err := json.Marshal(runnel.Function{Flow: runnel.Flow{Rate: runnel.Rate{PerSecond: 1.0 / 60, Burst: 7}}})
	var back struct{ Rate runnel.Rate }
	if err != nil || json.Unmarshal(b, &back) != nil || back.Rate.PerSecond != 1.0/60 || back.Rate.Burst != 7 {
		t.Errorf("%s, %v: %+v", b, err, back)
	}
}

func TestFlowConfigs(t *testing.T) {
	for _, in := range []string{
		`{"concurrency_key":"tenant"}`, `{"concurrency_key":"a.b c.0.ключ","max_concurrency_per_key":3}`, `{"concurrency_key":""}`, `{"concurrency_key":"","max_concurrency_per_key":0}`,
		`{"max_concurrency_per_key":5}`, `{"priority":0}`, `{"priority":4}`, `{"paused":true}`, `{"rate":null}`, `{"rate":"5/s"}`,
	} {
		var c runnel.Config
		if err := json.Unmarshal([]byte(in), &c); err != nil || c.Check() != nil {
			t.Errorf("%s: %v, %v", in, err, c.Check())
		}
	}
	for _, in := range []string{
		`{"concurrency_key":"."}`, `{"concurrency_key":"a."}`, `{"concurrency_key":"a..b"}`, `{"concurrency_key":"a{b"}`, `{"concurrency_key":"\u0000"}`,
		`{"concurrency_key":"","max_concurrency_per_key":1}`, `{"max_concurrency_per_key":-1}`, `{"priority":5}`, `{"priority":-1}`,
	} {
		var c runnel.Config
		if err := json.Unmarshal([]byte(in), &c); err != nil {
			t.Errorf("%s does not decode: %v", in, err)
		}
		isRefused(t, in, c.Check())
	}
}
