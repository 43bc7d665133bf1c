package api

import (
	"context"
	"net/http"
	"time"
)

// readyTimeout bounds a readiness check, so that a database that hangs reads as
// not ready.
const readyTimeout = 5 * time.Second

// workerSilence is how old a worker's last heartbeat may be for it to count.
const workerSilence = 15 * time.Second

// getHealth says that the process answers. It looks at nothing else: restarting
// us does not mend a database.
func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// getReady says whether a call made now would be answered: the database is
// reachable and migrated, and a worker is alive. It is open to everyone, so it
// names what is missing and no more; the log has the rest.
func (s *Server) getReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	checks := map[string]string{"database": "ok", "migrations": "ok", "worker": "ok"}
	if s.db.Pooled() {
		checks["database"] = "ok, through a connection pooler: functions' SQL needs a direct connection, and answers may be up to half a second late"
	}
	status, word := http.StatusOK, "ok"
	if err := s.db.Ready(ctx); err != nil {
		s.log.Warn("not ready", "error", err)
		checks["migrations"], checks["worker"] = "not those of this release: run runnel migrate", "unknown"
		if s.db.Pool().Ping(ctx) != nil {
			checks["database"], checks["migrations"] = "unreachable: check DATABASE_URL and that Postgres is up", "unknown"
		}
		status, word = http.StatusServiceUnavailable, "unavailable"
	} else if alive, err := s.db.LiveWorkers(ctx, workerSilence); err != nil || alive == 0 {
		if err != nil {
			s.log.Warn("not ready", "error", err)
		}
		checks["worker"] = "none is alive: start a worker process"
		status, word = http.StatusServiceUnavailable, "unavailable"
	}
	writeJSON(w, status, map[string]any{"status": word, "checks": checks})
}
