package api

import (
	"net/http"
	"net/url"
	"time"

	"github.com/runnelhq/runnel"
)

// parseSince reads ?since=, a time or how long ago; none is the zero time.
func parseSince(q url.Values, now time.Time) (time.Time, error) {
	for name := range q {
		if name != "since" {
			return time.Time{}, runnel.Errorf(runnel.CodeInvalidRequest, "query parameter %.80q is not known here: use since", name)
		}
	}
	f, err := parseFilter("", q, now)
	return f.Since, err
}

// getStats answers with a function's counts, since the hour of ?since= or from its
// first attempt on.
func (s *Server) getStats(w http.ResponseWriter, r *http.Request) {
	since, err := parseSince(r.URL.Query(), time.Now())
	var stats runnel.Stats
	if err == nil {
		stats, err = s.db.Stats(r.Context(), r.PathValue("name"), since)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	writeJSON(w, http.StatusOK, stats)
}
