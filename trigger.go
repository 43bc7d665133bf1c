package runnel

// Trigger says what caused an invocation. The text is stored in the log row,
// in the River job's tags and in the event handed to the function.
type Trigger string

// The four triggers. Each of them inserts one River job of kind "invoke".
const (
	TriggerHTTP     Trigger = "http"
	TriggerDatabase Trigger = "database"
	TriggerSchedule Trigger = "schedule"
	TriggerSQL      Trigger = "sql"
)

// MaxAttempts is how often an invocation of this trigger is tried when the
// function does not say otherwise. HTTP callers and schedules see one attempt,
// because a function is not transactional and may have done half its work.
func (t Trigger) MaxAttempts() int {
	switch t {
	case TriggerDatabase, TriggerSQL:
		return 3
	default:
		return 1
	}
}
