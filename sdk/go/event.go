package runnel

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"strings"
	"time"
)

// Trigger is what made a function run.
type Trigger string

// The four triggers.
const (
	TriggerHTTP     Trigger = "http"
	TriggerDatabase Trigger = "database"
	TriggerSchedule Trigger = "schedule"
	TriggerSQL      Trigger = "sql"
)

// Event is what a function is called with. The field that belongs to Trigger is set,
// the others are nil.
type Event struct {
	Trigger  Trigger
	HTTP     *HTTPEvent
	Database *DatabaseEvent
	Schedule *ScheduleEvent
	SQL      *SQLEvent
	Raw      json.RawMessage // all of it, as it came
}

// HTTPEvent is a request to /functions/v1/{name}. Authorization, cookie and apikey
// headers do not reach functions.
type HTTPEvent struct {
	Method    string            `json:"method"`
	Path      string            `json:"path"` // "/{name}" and what follows
	Query     Values            `json:"query"`
	Headers   map[string]string `json:"headers"` // lower-case names
	Body      json.RawMessage   `json:"body"`    // JSON byte for byte; text as a JSON string; base64 with IsBase64
	IsBase64  bool              `json:"is_base64"`
	UserID    string            `json:"user_id"` // "sub" of the caller's token, empty without one
	Role      string            `json:"role"`
	Claims    json.RawMessage   `json:"claims"`
	RequestID string            `json:"request_id"`
}

// DatabaseEvent is a committed change of a row, or of Rows by one statement.
type DatabaseEvent struct {
	Schema        string          `json:"schema"`
	Table         string          `json:"table"`
	Operation     string          `json:"operation"` // INSERT, UPDATE, DELETE or TRUNCATE
	Old           json.RawMessage `json:"old"`
	New           json.RawMessage `json:"new"`
	Rows          []Change        `json:"rows"`
	Timestamp     time.Time       `json:"timestamp"`
	TransactionID json.Number     `json:"transaction_id"`
}

// Change is one row of a statement.
type Change struct {
	Old json.RawMessage `json:"old"`
	New json.RawMessage `json:"new"`
}

// ScheduleEvent is a match of a cron expression.
type ScheduleEvent struct {
	Schedule      string          `json:"schedule"`
	Cron          string          `json:"cron"`
	Timezone      string          `json:"timezone"`
	ScheduledTime time.Time       `json:"scheduled_time"`
	ActualTime    time.Time       `json:"actual_time"`
	Payload       json.RawMessage `json:"payload"`
}

// SQLEvent is a call of runnel.invoke().
type SQLEvent struct {
	Payload json.RawMessage `json:"payload"`
}

// ParseEvent reads an event.
func ParseEvent(b []byte) (Event, error) {
	e := Event{Raw: b}
	var head struct {
		Trigger Trigger `json:"trigger"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return e, err
	}
	e.Trigger = head.Trigger
	var into any
	switch e.Trigger {
	case TriggerHTTP:
		e.HTTP = new(HTTPEvent)
		into = e.HTTP
	case TriggerDatabase:
		e.Database = new(DatabaseEvent)
		into = e.Database
	case TriggerSchedule:
		e.Schedule = new(ScheduleEvent)
		into = e.Schedule
	case TriggerSQL:
		e.SQL = new(SQLEvent)
		into = e.SQL
	default:
		return e, errors.New("unknown trigger " + string(e.Trigger))
	}
	return e, json.Unmarshal(b, into)
}

// Decode reads the event's JSON: the request's body or the payload, whichever the
// trigger has; of a change, the new row.
func (e Event) Decode(v any) error {
	var data json.RawMessage
	switch {
	case e.HTTP != nil:
		body, err := e.HTTP.Bytes()
		if err != nil {
			return err
		}
		data = body
	case e.Database != nil:
		data = e.Database.New
	case e.Schedule != nil:
		data = e.Schedule.Payload
	case e.SQL != nil:
		data = e.SQL.Payload
	}
	return json.Unmarshal(data, v)
}

// Bytes returns the body as it was sent, without white space around it when it is
// JSON.
func (e *HTTPEvent) Bytes() ([]byte, error) {
	if len(e.Body) == 0 || string(e.Body) == "null" && !e.isJSON() {
		return nil, nil
	}
	if e.Body[0] != '"' || e.isJSON() {
		return e.Body, nil
	}
	var text string
	if err := json.Unmarshal(e.Body, &text); err != nil {
		return nil, err
	}
	if e.IsBase64 {
		return base64.StdEncoding.DecodeString(text)
	}
	return []byte(text), nil
}

func (e *HTTPEvent) isJSON() bool {
	t, _, err := mime.ParseMediaType(e.Headers["content-type"])
	return err == nil && (t == "application/json" || strings.HasSuffix(t, "+json"))
}

// Values are the parameters of a query string.
type Values map[string][]string

// Get returns the first value of a key, or "".
func (v Values) Get(key string) string {
	if len(v[key]) == 0 {
		return ""
	}
	return v[key][0]
}

// UnmarshalJSON reads what Runnel sends: a string, or an array for a repeated key.
func (v *Values) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*v = make(Values, len(raw))
	for key, value := range raw {
		var many []string
		if len(value) > 0 && value[0] == '[' {
			if err := json.Unmarshal(value, &many); err != nil {
				return err
			}
		} else {
			var one string
			if err := json.Unmarshal(value, &one); err != nil {
				return err
			}
			many = []string{one}
		}
		(*v)[key] = many
	}
	return nil
}
