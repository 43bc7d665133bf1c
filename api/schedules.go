package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sql"
)

const (
	// maxSchedule bounds the JSON of a schedule: its payload and some.
	maxSchedule = runnel.MaxPayloadSize + 64<<10
	// defaultAudit is how far an audit looks back when it is not told.
	defaultAudit = 24 * time.Hour
)

// listSchedules answers with a function's schedules, or with all.
func (s *Server) listSchedules(w http.ResponseWriter, r *http.Request) {
	list, err := s.db.Schedules(r.Context(), r.PathValue("name"))
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	out := make([]sql.ScheduleInfo, len(list))
	for i, schedule := range list {
		out[i] = withNext(schedule)
	}
	writeJSON(w, http.StatusOK, map[string]any{"schedules": out})
}

// withNext adds the next run where no worker has computed it yet, within a second
// of a change. It is for reading: what runs is decided by the database's clock.
func withNext(s sql.ScheduleInfo) sql.ScheduleInfo {
	if s.Enabled && s.NextRun == nil {
		if next, err := jobs.ParseCron(s.Cron, s.Timezone); err == nil {
			if at := next(time.Now()); !at.IsZero() {
				at = at.UTC()
				s.NextRun = &at
			}
		}
	}
	return s
}

// postSchedule makes a schedule (201), or changes the function's schedule of that
// name (200): {"name","cron","timezone","payload","catch_up","overlap","enabled"}.
func (s *Server) postSchedule(w http.ResponseWriter, r *http.Request) {
	var c sql.ScheduleChange
	if err := decodeStrict(http.MaxBytesReader(w, r.Body, maxSchedule), "the schedule", &c); err != nil {
		writeError(w, r, s.log, err)
		return
	}
	schedule, created, err := s.db.PutSchedule(r.Context(), r.PathValue("name"), c)
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "schedule set", "schedule", schedule.Name, "function", schedule.Function, "created", created)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		w.Header().Set("Location", schedulePath(schedule))
	}
	writeJSON(w, status, withNext(schedule))
}

func schedulePath(s sql.ScheduleInfo) string {
	return "/admin/v1/functions/" + s.Function + "/schedules/" + strconv.FormatInt(s.ID, 10)
}

// schedule finds the schedule of the path. Where the path has a function, it has
// to be that function's.
func (s *Server) schedule(r *http.Request) (sql.ScheduleInfo, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return sql.ScheduleInfo{}, runnel.Errorf(runnel.CodeInvalidRequest, "%.40q is not a schedule's id: use the number that /admin/v1/schedules lists", r.PathValue("id"))
	}
	schedule, err := s.db.ScheduleByID(r.Context(), id)
	if name := r.PathValue("name"); err == nil && name != "" && schedule.Function != name {
		err = runnel.Errorf(runnel.CodeNotFound, "function %s has no schedule %d: it belongs to %s", name, id, schedule.Function)
	}
	return schedule, err
}

func (s *Server) getSchedule(w http.ResponseWriter, r *http.Request) {
	schedule, err := s.schedule(r)
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	writeJSON(w, http.StatusOK, withNext(schedule))
}

// patchSchedule turns a schedule off and on: {"enabled": false}.
func (s *Server) patchSchedule(w http.ResponseWriter, r *http.Request) {
	schedule, err := s.schedule(r)
	var body struct {
		Enabled *bool `json:"enabled"`
	}
	if err == nil {
		err = decodeStrict(http.MaxBytesReader(w, r.Body, maxMetadata), "the change", &body)
	}
	if err == nil && body.Enabled == nil {
		err = runnel.Errorf(runnel.CodeInvalidRequest, "say whether the schedule is to be enabled: send {\"enabled\": false}; to change the rest, POST the schedule again")
	}
	if err == nil {
		schedule, err = s.db.SwitchSchedule(r.Context(), schedule.ID, *body.Enabled)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "schedule switched", "schedule", schedule.Name, "enabled", schedule.Enabled)
	writeJSON(w, http.StatusOK, withNext(schedule))
}

func (s *Server) deleteSchedule(w http.ResponseWriter, r *http.Request) {
	schedule, err := s.schedule(r)
	if err == nil {
		err = s.db.DeleteSchedule(r.Context(), schedule.ID)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "schedule removed", "schedule", schedule.Name, "function", schedule.Function)
	w.WriteHeader(http.StatusNoContent)
}

// listTicks answers with a page of a schedule's ledger, newest first.
func (s *Server) listTicks(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	schedule, err := s.schedule(r)
	if err == nil {
		err = onlyParameters(q, "since", "limit", "cursor")
	}
	var since time.Time
	if err == nil {
		since, err = parseTime("since", q.Get("since"), time.Now())
	}
	var limit int
	if err == nil {
		limit, err = parseLimit(q.Get("limit"), defaultPage, maxPage)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	ticks, next, err := s.db.Ticks(r.Context(), schedule.ID, since, limit, q.Get("cursor"))
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"ticks": ticks, "next_cursor": next})
}

// getAudit compares ledgers with cron expressions: ?schedule= one by its name, or
// all; ?since= a time or how long ago.
func (s *Server) getAudit(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	now := time.Now()
	err := onlyParameters(q, "schedule", "since")
	var since time.Time
	if err == nil {
		since, err = parseTime("since", q.Get("since"), now)
	}
	if since.IsZero() {
		since = now.Add(-defaultAudit)
	}
	var list []sql.ScheduleInfo
	if err == nil {
		list, err = s.db.Schedules(r.Context(), "")
	}
	if name := q.Get("schedule"); err == nil && q.Has("schedule") {
		list = slices.DeleteFunc(list, func(i sql.ScheduleInfo) bool { return i.Name != name })
		if len(list) == 0 {
			err = runnel.Errorf(runnel.CodeNotFound, "there is no schedule %.80q: list the schedules at /admin/v1/schedules", name)
		}
	}
	audits, clean := []jobs.Audit{}, true
	for _, schedule := range list {
		var a jobs.Audit
		if err == nil {
			a, err = jobs.AuditSchedule(r.Context(), s.db, schedule.ID, since, s.cfg.LogRetention)
		}
		if runnel.CodeOf(err) == runnel.CodeNotFound {
			err = nil // removed meanwhile
			continue
		}
		audits, clean = append(audits, a), clean && a.Clean
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"clean": clean, "schedules": audits})
}

// onlyParameters refuses query parameters that would otherwise be ignored, and
// those that come twice.
func onlyParameters(q url.Values, known ...string) error {
	for name, values := range q {
		if !slices.Contains(known, name) {
			return runnel.Errorf(runnel.CodeInvalidRequest, "query parameter %.80q is not known here: use %v", name, known)
		}
		if len(values) > 1 {
			return runnel.Errorf(runnel.CodeInvalidRequest, "query parameter %.80q is there %d times: give it once", name, len(values))
		}
	}
	return nil
}
