package jobs

import "github.com/runnelhq/runnel/sql"

// Args are the River arguments of an invocation: small, and free of payload,
// headers, claims and environment, because River UI shows them. The event is in
// runnel.invocation_events under the same id.
type Args struct {
	ID       string `json:"id"`
	Function string `json:"function"`
}

// Kind implements river.JobArgs.
func (Args) Kind() string { return sql.Kind }
