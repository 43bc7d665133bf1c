package api

import (
	"net/http"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

// listTriggers answers with a function's database triggers, or with all.
func (s *Server) listTriggers(w http.ResponseWriter, r *http.Request) {
	list, err := s.db.Triggers(r.Context(), r.PathValue("name"))
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	if list == nil {
		list = []sql.TriggerInfo{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"triggers": list})
}

// postTrigger makes a trigger (201), or replaces the function's on that table (200):
// {"table","schema","operations","granularity","condition"}.
func (s *Server) postTrigger(w http.ResponseWriter, r *http.Request) {
	var c sql.TriggerChange
	err := decodeStrict(http.MaxBytesReader(w, r.Body, maxMetadata), "the trigger", &c)
	if err == nil && c.Table == "" {
		err = runnel.Errorf(runnel.CodeInvalidRequest, "the trigger has no table: send {\"table\": \"orders\"}")
	}
	var t sql.TriggerInfo
	var created bool
	if err == nil {
		t, created, err = s.db.PutTrigger(r.Context(), r.PathValue("name"), c)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "trigger set", "schema", t.Schema, "table", t.Table, "function", t.Function, "created", created)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		w.Header().Set("Location", "/admin/v1/functions/"+t.Function+"/triggers/"+t.ID)
	}
	writeJSON(w, status, t)
}

func (s *Server) getTrigger(w http.ResponseWriter, r *http.Request) {
	t, err := s.db.Trigger(r.Context(), r.PathValue("name"), r.PathValue("id"))
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	writeJSON(w, http.StatusOK, t)
}

func (s *Server) deleteTrigger(w http.ResponseWriter, r *http.Request) {
	name, id := r.PathValue("name"), r.PathValue("id")
	if err := s.db.DropTrigger(r.Context(), name, id); err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "trigger removed", "trigger", id, "function", name)
	w.WriteHeader(http.StatusNoContent)
}
