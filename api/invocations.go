package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/redact"
	"github.com/runnelhq/runnel/sql"
)

const (
	defaultPage = 50
	maxPage     = 500
)

var statuses = []runnel.Status{
	runnel.StatusSuccess, runnel.StatusError, runnel.StatusTimeout, runnel.StatusOutOfMemory,
	runnel.StatusCancelled, runnel.StatusLost, runnel.StatusSkipped,
}

// parseFilter reads ?status=&since=&limit=&cursor=. since is a time (RFC 3339)
// or how long ago ("15m").
func parseFilter(function string, q url.Values, now time.Time) (sql.Filter, error) {
	f := sql.Filter{Function: function, Cursor: q.Get("cursor")}
	if err := onlyParameters(q, "status", "since", "limit", "cursor"); err != nil {
		return f, err
	}
	if v := q.Get("status"); v != "" {
		f.Status = runnel.Status(v)
		if !slices.Contains(statuses, f.Status) {
			return f, runnel.Errorf(runnel.CodeInvalidRequest, "status %.40q is not one: use %s", v, strings.Trim(strings.ReplaceAll(fmt.Sprint(statuses), " ", ", "), "[]"))
		}
	}
	var err error
	if f.Since, err = parseTime("since", q.Get("since"), now); err != nil {
		return f, err
	}
	f.Limit, err = parseLimit(q.Get("limit"), defaultPage, maxPage)
	return f, err
}

// parseTime reads a time (RFC 3339) or how long ago it is ("15m"); "" is none.
func parseTime(name, v string, now time.Time) (time.Time, error) {
	if v == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(v); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return t, runnel.Errorf(runnel.CodeInvalidRequest, "%s %.40q is neither a time such as 2026-01-31T12:00:00Z nor a duration such as 15m", name, v)
	}
	return t, nil
}

func parseLimit(v string, none, most int) (int, error) {
	if v == "" {
		return none, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		return 0, runnel.Errorf(runnel.CodeInvalidRequest, "limit %.40q is not a number from 1 to %d", v, most)
	}
	return n, nil
}

// seen is a log row as it leaves. Rows were redacted before they were written;
// masking by key again costs little and holds for rows of older versions.
func seen(rows []runnel.Invocation) []runnel.Invocation {
	out := make([]runnel.Invocation, len(rows))
	for i, row := range rows {
		row.Environment = redact.Environment(row.Environment)
		out[i] = row
	}
	return out
}

// listInvocations answers with a page of a function's log, newest first.
func (s *Server) listInvocations(w http.ResponseWriter, r *http.Request) {
	f, err := parseFilter(r.PathValue("name"), r.URL.Query(), time.Now())
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	if _, err := s.db.Function(r.Context(), f.Function); err != nil {
		writeError(w, r, s.log, err)
		return
	}
	rows, next, err := s.db.Invocations(r.Context(), f)
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"invocations": seen(rows), "next_cursor": next})
}

var uuidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)

func checkInvocationID(id string) error {
	if uuidPattern.MatchString(id) {
		return nil
	}
	return runnel.Errorf(runnel.CodeInvalidRequest, "%.80q is not an invocation id: use the UUID of the x-runnel-invocation-id header", id)
}

// Where an invocation stands while more of it is to come. They are not statuses of
// log rows.
const (
	statusQueued   runnel.Status = "queued"   // no attempt has begun
	statusRunning  runnel.Status = "running"  // an attempt runs
	statusRetrying runnel.Status = "retrying" // an attempt failed, and there will be another
)

// invocation is the newest attempt's row, all of them, and where it stands. Before
// the first attempt has ended there is no row, and Status and the fields below are
// all that is known.
type invocation struct {
	runnel.Invocation
	progress
}

// progress is what of an invocation is in no row.
type progress struct {
	MaxAttempts int                 `json:"max_attempts,omitempty"` // not known any more a day after the end
	NextAttempt *time.Time          `json:"next_attempt_at,omitempty"`
	Cancelling  bool                `json:"cancelling,omitempty"` // a cancel was asked for, and it runs still
	Attempts    []runnel.Invocation `json:"attempts"`
}

// MarshalJSON writes both as one object.
func (i invocation) MarshalJSON() ([]byte, error) { return joined(i.Invocation, i.progress) }

// getInvocation answers with an invocation's log and where it stands.
func (s *Server) getInvocation(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	err := checkInvocationID(id)
	var got invocation
	if err == nil {
		got, err = s.invocation(r.Context(), id)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	writeJSON(w, http.StatusOK, got)
}

func (s *Server) invocation(ctx context.Context, id string) (got invocation, err error) {
	// The job first: an attempt that ends in between is then in the rows.
	job, queued, err := s.db.Job(ctx, id)
	if err != nil {
		return got, err
	}
	rows, err := s.db.Invocation(ctx, id)
	switch {
	case err == nil || queued && runnel.CodeOf(err) == runnel.CodeNotFound:
	case runnel.CodeOf(err) == runnel.CodeNotFound:
		return got, runnel.Errorf(runnel.CodeNotFound, "there is no invocation %s, or none any more: a call that was refused (x-relay-error) has its id in the access log of the web process only, with the code; older ones are removed after RUNNEL_LOG_RETENTION; and log_success of a function may leave out successes", id)
	default:
		return got, err
	}
	got.Attempts = seen(rows)
	for _, row := range got.Attempts {
		if row.Attempt >= got.Attempt {
			got.Invocation = row
		}
	}
	if !queued {
		return got, nil
	}
	got.MaxAttempts = job.MaxAttempts
	if len(rows) == 0 {
		got.Invocation = runnel.Invocation{
			ID: id, FunctionName: job.Function, Trigger: job.Trigger, JobID: job.ID, Attempt: job.Attempt, CreatedAt: job.CreatedAt,
			Environment: map[string]string{}, RequestID: job.RequestID, ReplayOf: job.ReplayOf,
		}
	}
	switch job.State {
	case "running":
		if len(rows) == 0 || got.Attempt < job.Attempt {
			got.Status, got.Attempt, got.StartedAt, got.Cancelling = statusRunning, job.Attempt, job.AttemptedAt, job.Cancelling
		}
	case "available", "pending", "retryable", "scheduled":
		if got.Attempt > job.Attempt {
			break // an attempt has ended since
		}
		got.Status = statusQueued
		if job.Attempt > 0 {
			got.Status = statusRetrying
		}
		got.NextAttempt = &job.ScheduledAt
	case "completed":
		if len(rows) == 0 {
			// Its function keeps the rows of some successes only.
			got.Status, got.StartedAt, got.FinishedAt = runnel.StatusSuccess, job.AttemptedAt, deref(job.FinalizedAt)
		}
	}
	return got, nil
}

func deref(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// cancelInvocation stops an invocation: 200 when it will not run (any more), 202 when
// it runs and its worker was told, 409 when it had ended.
func (s *Server) cancelInvocation(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	err := checkInvocationID(id)
	var what string
	if err == nil {
		what, err = s.db.Cancel(r.Context(), id)
	}
	if err == nil && what == sql.Finished {
		err = runnel.Errorf(runnel.CodeConflict, "invocation %s has ended: there is nothing to cancel. Read how it ended at /admin/v1/invocations/%s", id, id)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "invocation cancelled", "invocation", id, "was", what)
	status := http.StatusOK
	if what == sql.Stopping {
		status = http.StatusAccepted
	}
	writeJSON(w, status, map[string]string{"invocation_id": id, "status": what})
}

// replayInvocation runs an invocation's event again, as a new invocation.
func (s *Server) replayInvocation(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	err := checkInvocationID(id)
	var again string
	if err == nil {
		again, err = s.db.Replay(r.Context(), id)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "invocation replayed", "invocation", again, "replay_of", id)
	w.Header().Set("Location", "/admin/v1/invocations/"+again)
	writeJSON(w, http.StatusAccepted, map[string]string{"invocation_id": again, "replay_of": id})
}
