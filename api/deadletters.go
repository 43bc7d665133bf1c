package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

// maxRedrive bounds one redrive by filter; repeat it until it answers 0.
const maxRedrive = 10_000

// parseLetters reads the filter of dead letters from a query string. Only the named
// parameters are known.
func parseLetters(q url.Values, now time.Time, known ...string) (f sql.DeadLetters, err error) {
	for name := range q {
		if !slices.Contains(known, name) {
			return f, runnel.Errorf(runnel.CodeInvalidRequest, "query parameter %.80q is not known here: use %s", name, strings.Join(known, ", "))
		}
	}
	f.Function, f.Code, f.Trigger, f.Cursor = q.Get("function"), runnel.Code(q.Get("code")), runnel.Trigger(q.Get("trigger")), q.Get("cursor")
	if f.Function != "" {
		if err := runnel.CheckName(f.Function); err != nil {
			return f, err
		}
	}
	if triggers := []runnel.Trigger{"", runnel.TriggerHTTP, runnel.TriggerSQL, runnel.TriggerDatabase, runnel.TriggerSchedule}; !slices.Contains(triggers, f.Trigger) {
		return f, runnel.Errorf(runnel.CodeInvalidRequest, "trigger %.40q is not one: use http, sql, database or schedule", f.Trigger)
	}
	if f.Since, err = parseTime("since", q.Get("since"), now); err != nil {
		return f, err
	}
	f.Before, err = parseTime("before", q.Get("before"), now)
	return f, err
}

// listDeadLetters answers with a page of what failed for good, newest first.
func (s *Server) listDeadLetters(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f, err := parseLetters(q, time.Now(), "function", "code", "trigger", "since", "before", "limit", "cursor")
	if err == nil {
		f.Limit, err = parseLimit(q.Get("limit"), defaultPage, maxPage)
	}
	var page []sql.DeadLetter
	var next string
	if err == nil {
		page, next, err = s.db.DeadLetters(r.Context(), f)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	if page == nil {
		page = []sql.DeadLetter{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"dead_letters": page, "next_cursor": next})
}

// getDeadLetter answers with a dead letter and the log of its attempts.
func (s *Server) getDeadLetter(w http.ResponseWriter, r *http.Request) {
	letter, err := s.letter(r)
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	// The log may be shorter lived than the letter; then there are no attempts.
	rows, err := s.db.Invocation(r.Context(), letter.ID)
	if err != nil && runnel.CodeOf(err) != runnel.CodeNotFound {
		writeError(w, r, s.log, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		sql.DeadLetter
		Log []runnel.Invocation `json:"log"`
	}{letter, seen(rows)})
}

func (s *Server) letter(r *http.Request) (sql.DeadLetter, error) {
	id := r.PathValue("id")
	if err := checkInvocationID(id); err != nil {
		return sql.DeadLetter{}, err
	}
	page, _, err := s.db.DeadLetters(r.Context(), sql.DeadLetters{ID: id, Limit: 1})
	if err == nil && len(page) == 0 {
		err = runnel.Errorf(runnel.CodeNotFound, "invocation %s is no dead letter: it has not failed for good, or was redriven or purged; read it at /admin/v1/invocations/%s", id, id)
	}
	if err != nil {
		return sql.DeadLetter{}, err
	}
	return page[0], nil
}

// redriveDeadLetter runs one dead letter again: the same invocation, its next attempt.
func (s *Server) redriveDeadLetter(w http.ResponseWriter, r *http.Request) {
	letter, err := s.letter(r)
	var ids []string
	if err == nil {
		ids, err = s.db.Redrive(r.Context(), sql.DeadLetters{ID: letter.ID})
	}
	if err == nil && len(ids) == 0 {
		err = runnel.Errorf(runnel.CodeConflict, "invocation %s was not redriven: somebody else does so just now, or its event is gone", letter.ID)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "dead letter redriven", "invocation", letter.ID)
	w.Header().Set("Location", "/admin/v1/invocations/"+letter.ID)
	writeJSON(w, http.StatusAccepted, map[string]any{"redriven": ids})
}

// redriveDeadLetters runs those of a filter again, oldest first.
func (s *Server) redriveDeadLetters(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f, err := s.someLetters(q, "limit")
	if err == nil {
		f.Limit, err = parseLimit(q.Get("limit"), 1000, maxRedrive)
	}
	var ids []string
	if err == nil {
		ids, err = s.db.Redrive(r.Context(), f)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "dead letters redriven", "count", len(ids), "filter", q.Encode())
	if ids == nil {
		ids = []string{}
	}
	writeJSON(w, http.StatusAccepted, map[string]any{"redriven": ids})
}

// purgeDeadLetter removes one from the list.
func (s *Server) purgeDeadLetter(w http.ResponseWriter, r *http.Request) {
	letter, err := s.letter(r)
	if err == nil {
		_, err = s.db.Purge(r.Context(), sql.DeadLetters{ID: letter.ID})
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "dead letter purged", "invocation", letter.ID)
	w.WriteHeader(http.StatusNoContent)
}

// purgeDeadLetters removes those of a filter.
func (s *Server) purgeDeadLetters(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f, err := s.someLetters(q)
	var n int64
	if err == nil {
		n, err = s.db.Purge(r.Context(), f)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "dead letters purged", "count", n, "filter", q.Encode())
	writeJSON(w, http.StatusOK, map[string]int64{"purged": n})
}

// someLetters is a filter that changes things: without one it takes ?all=true, so
// that a parameter that was left out by mistake does nothing.
func (s *Server) someLetters(q url.Values, more ...string) (sql.DeadLetters, error) {
	f, err := parseLetters(q, time.Now(), append([]string{"function", "code", "since", "before", "all"}, more...)...)
	if err != nil {
		return f, err
	}
	all := q.Get("all")
	if all != "" && all != "true" {
		return f, runnel.Errorf(runnel.CodeInvalidRequest, "all is %.20q: it can only be true", all)
	}
	filtered := f.Function != "" || f.Code != "" || !f.Since.IsZero() || !f.Before.IsZero()
	switch {
	case !filtered && all == "":
		return f, runnel.Errorf(runnel.CodeInvalidRequest, "say which dead letters: use function, code, since or before, or all=true")
	case filtered && all != "":
		return f, runnel.Errorf(runnel.CodeInvalidRequest, "all=true goes with no other filter: leave one of them out")
	}
	return f, nil
}
