package api

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
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
	f := sql.Filter{Function: function, Limit: defaultPage, Cursor: q.Get("cursor")}
	for name := range q {
		if !slices.Contains([]string{"status", "since", "limit", "cursor"}, name) {
			return f, runnel.Errorf(runnel.CodeInvalidRequest, "query parameter %.80q is not known here: use status, since, limit and cursor", name)
		}
	}
	if v := q.Get("status"); v != "" {
		f.Status = runnel.Status(v)
		if !slices.Contains(statuses, f.Status) {
			return f, runnel.Errorf(runnel.CodeInvalidRequest, "status %.40q is not one: use %s", v, statuses)
		}
	}
	if v := q.Get("since"); v != "" {
		if ago, err := time.ParseDuration(v); err == nil && ago >= 0 {
			f.Since = now.Add(-ago)
		} else if f.Since, err = time.Parse(time.RFC3339, v); err != nil {
			return f, runnel.Errorf(runnel.CodeInvalidRequest, "since %.40q is neither a time such as 2026-01-31T12:00:00Z nor a duration such as 15m", v)
		}
	}
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxPage {
			return f, runnel.Errorf(runnel.CodeInvalidRequest, "limit %.40q is not a number from 1 to %d", v, maxPage)
		}
		f.Limit = n
	}
	return f, nil
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

// invocation is the newest attempt's row, and all of them.
type invocation struct {
	runnel.Invocation
	Attempts []runnel.Invocation `json:"attempts"`
}

// getInvocation answers with an invocation's log. There is none before its first
// attempt has ended: until then it is 404.
func (s *Server) getInvocation(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !uuidPattern.MatchString(id) {
		writeError(w, r, s.log, runnel.Errorf(runnel.CodeInvalidRequest, "%.80q is not an invocation id: use the UUID of the x-runnel-invocation-id header", id))
		return
	}
	rows, err := s.db.Invocation(r.Context(), id)
	if err == nil && len(rows) == 0 {
		err = runnel.Errorf(runnel.CodeNotFound, "invocation %s has no log row: it has not ended yet, or it is older than RUNNEL_LOG_RETENTION", id)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	rows = seen(rows)
	newest := slices.MaxFunc(rows, func(a, b runnel.Invocation) int { return a.Attempt - b.Attempt })
	writeJSON(w, http.StatusOK, invocation{newest, rows})
}
