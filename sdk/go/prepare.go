package runnel

import (
	"encoding/json"
	"fmt"
)

// Prepare does what the first use of this package does besides its work: encoding/json
// learns types when it meets them, which takes longer than to read an event. Package
// reactor calls it when a snapshot is taken.
func Prepare() {
	if err := prepare(); err != nil {
		panic(err) // at deploy, of this package's own making
	}
}

func prepare() error {
	for _, event := range []string{
		`{"trigger":"http","method":"GET","path":"/","query":{"a":"1","b":["1","2"]},"headers":{"content-type":"application/json"},"body":{},"is_base64":false,"user_id":"","role":"anon","claims":null,"request_id":""}`,
		`{"trigger":"database","schema":"","table":"","operation":"INSERT","old":null,"new":{},"rows":[{"old":null,"new":{}}],"timestamp":"2019-12-05T00:00:00Z","transaction_id":1}`,
		`{"trigger":"schedule","schedule":"","cron":"","timezone":"","scheduled_time":"2019-12-05T00:00:00Z","actual_time":"2019-12-05T00:00:00Z","payload":{}}`,
		`{"trigger":"sql","payload":{}}`,
	} {
		e, err := ParseEvent([]byte(event))
		if err != nil {
			return fmt.Errorf("%s: %w", event, err)
		}
		var any map[string]string
		if err := e.Decode(&any); err != nil {
			return fmt.Errorf("%s: %w", event, err)
		}
	}
	const failure = `"error":{"code":"","message":"","sqlstate":"","statement":0}`
	for answer, into := range map[string]any{
		`{"columns":[{"name":"","type":""}],"rows":[[1,null,"a"]],"row_count":1,` + failure + `}`:                new(queryAnswer),
		`{"results":[{"columns":[{"name":"","type":""}],"rows":[[1]],"row_count":1}],` + failure + `}`:           new(batchAnswer),
		`{"status":200,"headers":{"a":"b"},"cookies":[""],"body":"","is_base64":false,"url":"",` + failure + `}`: new(fetchAnswer),
	} {
		if err := json.Unmarshal([]byte(answer), into); err != nil {
			return fmt.Errorf("%s: %w", answer, err)
		}
	}
	for _, value := range []any{
		[]any{"", 1, 1.5, true, nil, []byte{}, []string{""}, map[string]any{"a": 1}},
		map[string][]Statement{"batch": {{Params: []any{""}}}},
		fetchRequest{Headers: map[string]string{"a": "b"}},
	} {
		if _, err := json.Marshal(value); err != nil {
			return err
		}
	}
	for _, body := range []any{nil, "", map[string]string{"a": "b"}, map[string]any{"a": 1}} {
		if _, err := encodeResult(Response{StatusCode: 200, Headers: map[string]string{"a": "b"}, Body: body}); err != nil {
			return err
		}
	}
	return nil
}
