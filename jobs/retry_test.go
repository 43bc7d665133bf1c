package jobs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		result string
		says   string // "": it is a success
		final  bool
		after  time.Duration
	}{
		{``, "", false, 0},
		{`null`, "", false, 0},
		{`{"statusCode":200}`, "", false, 0},
		{`{"statusCode":399,"headers":{"retry-after":"5"}}`, "", false, 0},
		{`{"statusCode":"500"}`, "", false, 0},
		{`{"statusCode":500.5}`, "", false, 0},
		{`{"statusCode":600}`, "", false, 0},
		{`{"statuscode":500}`, "", false, 0},
		{`{"a":"\"statusCode\":500"}`, "", false, 0},
		{`["statusCode",500]`, "", false, 0},
		{`{"statusCode":500`, "", false, 0},
		{`{"statusCode":500}`, "status 500", false, 0},
		{`{"statusCode":503.0,"body":"busy"}`, "status 503: busy", false, 0},
		{`{"statusCode":503,"body":{"why":1}}`, `status 503: {"why":1}`, false, 0},
		{`{"statusCode":503,"body":null}`, "status 503", false, 0},
		{`{"statusCode":400,"body":"  no  "}`, "status 400: no", true, 0},
		{`{"statusCode":422,"headers":{"retry-after":"5"}}`, "status 422", true, 0},
		{`{"statusCode":408}`, "status 408", false, 0},
		{`{"statusCode":425}`, "status 425", false, 0},
		{`{"statusCode":429,"headers":{"Retry-After":"120"}}`, "status 429", false, 2 * time.Minute},
		{`{"statusCode":429,"headers":{"RETRY-AFTER":1.5}}`, "status 429", false, 1500 * time.Millisecond},
		{`{"statusCode":429,"headers":{"retry-after":"1e300"}}`, "status 429", false, 24 * time.Hour},
		{`{"statusCode":429,"headers":{"retry-after":"NaN"}}`, "status 429", false, 0},
		{`{"statusCode":429,"headers":{"retry-after":"-1"}}`, "status 429", false, 0},
		{`{"statusCode":429,"headers":{"retry-after":"soon"}}`, "status 429", false, 0},
		{`{"statusCode":429,"headers":{"retry-after":["5"]}}`, "status 429", false, 0},
		{`{"statusCode":429,"headers":[]}`, "status 429", false, 0},
		{`{"statusCode":503,"headers":{"retry-after":"Wed, 21 Oct 2015 07:28:00 GMT"}}`, "status 503", false, 0},
		{`{"statusCode":503,"headers":{"retry-after":"Wed, 21 Oct 2099 07:28:00 GMT"}}`, "status 503", false, 24 * time.Hour},
	} {
		err := refusal([]byte(c.result))
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", c.result, err)
			}
			continue
		}
		e, ok := err.(*runnel.Error)
		if !ok || e.Code != runnel.CodeFunctionError || !strings.HasSuffix(e.Message, c.says) || e.Final != c.final || e.RetryAfter != c.after {
			t.Errorf("%s: %+v, want %q, final %v, after %s", c.result, err, c.says, c.final, c.after)
		}
	}
	long := refusal([]byte(`{"statusCode":500,"body":"` + strings.Repeat("ä", 10_000) + `"}`)).(*runnel.Error)
	if len(long.Message) > maxReason+100 || strings.ContainsRune(long.Message, '\uFFFD') {
		t.Errorf("a long body gives %d bytes", len(long.Message))
	}
}

func TestAttemptEvent(t *testing.T) {
	const id, old = "0190c5a0-1f2e-7a3b-8c4d-5e6f7a8b9c0d", "0190c5a0-0000-7a3b-8c4d-5e6f7a8b9c0d"
	for _, c := range []struct {
		trigger       runnel.Trigger
		event         string
		attempt, most int
		replay        string
		want          string
	}{
		{runnel.TriggerSQL, `{"a":1,"a":2.0}`, 1, 3, "", `{"a":1,"a":2.0,"invocation_id":"` + id + `","attempt":1,"max_attempts":3,"last_attempt":false}`},
		{runnel.TriggerSchedule, `{ }` + "\n", 1, 1, "", `{"invocation_id":"` + id + `","attempt":1,"max_attempts":1,"last_attempt":true}`},
		{runnel.TriggerDatabase, `{"a":1}`, 4, 3, old, `{"a":1,"invocation_id":"` + id + `","attempt":4,"max_attempts":3,"last_attempt":true,"replay_of":"` + old + `"}`},
		{runnel.TriggerHTTP, ` {"a": 1} `, 1, 1, "", ` {"a": 1} `},
		{runnel.TriggerHTTP, `{"a": 1 }`, 1, 2, "", `{"a": 1,"invocation_id":"` + id + `","attempt":1,"max_attempts":2,"last_attempt":false}`},
		{runnel.TriggerHTTP, `{"a":1}`, 1, 1, old, `{"a":1,"invocation_id":"` + id + `","attempt":1,"max_attempts":1,"last_attempt":true,"replay_of":"` + old + `"}`},
		{runnel.TriggerSQL, `[1]`, 1, 2, "", `[1]`},
		{runnel.TriggerSQL, ``, 1, 2, "", ``},
	} {
		got := attemptEvent(sql.Task{ID: id, Trigger: c.trigger, Event: []byte(c.event), ReplayOf: c.replay}, c.attempt, c.most)
		if string(got) != c.want {
			t.Errorf("%s %s: %s\nwant %s", c.trigger, c.event, got, c.want)
		}
		if c.event != "" && !json.Valid(got) {
			t.Errorf("%s is not JSON", got)
		}
	}
}
