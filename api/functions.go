package api

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/terminal"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/redact"
	"github.com/runnelhq/runnel/sql"
)

// opened is a function's environment with its real values, but for those that
// cannot be decrypted here.
func (s *Server) opened(fn runnel.Function) map[string]string {
	env := maps.Clone(fn.Environment)
	for key, sealed := range fn.Sealed {
		if s.cfg.Keys == nil {
			break
		}
		if value, err := s.cfg.Keys.Open(sealed, sql.BindEnvironment(fn.ID, key)...); err == nil {
			env[key] = string(value)
		}
	}
	return env
}

// shown is a function as it leaves: its secrets masked (FUNC-S1), and what of its
// environment cannot be decrypted. Every answer with a function in it goes through
// here.
func (s *Server) shown(fn runnel.Function) runnel.Function {
	fn.Environment = redact.Environment(s.opened(fn))
	for key := range fn.Sealed {
		if _, ok := fn.Environment[key]; !ok {
			fn.Environment[key] = redact.Mask
		}
	}
	return fn
}

// deployed is a function and what its deployer should know about it.
type deployed struct {
	fn        runnel.Function  // as shown
	unchanged bool             // no version was made
	logs      []runnel.LogLine // of its evaluation at deploy, safe to show
	warnings  []string
}

// MarshalJSON adds "unchanged", "logs" and "warnings", where there are any, to the
// function's own fields.
func (d deployed) MarshalJSON() ([]byte, error) {
	return joined(d.fn, struct {
		Unchanged bool             `json:"unchanged,omitempty"`
		Logs      []runnel.LogLine `json:"logs,omitempty"`
		Warnings  []string         `json:"warnings,omitempty"`
	}{d.unchanged, d.logs, d.warnings})
}

// joined is the JSON of two objects as one. An embedded type that marshals itself
// would leave the fields beside it out.
func joined(a, b any) ([]byte, error) {
	first, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	second, err := json.Marshal(b)
	if err != nil || len(second) <= len("{}") {
		return first, err
	}
	first[len(first)-1] = ','
	return append(first, second[1:]...), nil
}

func (s *Server) newDeployed(fn runnel.Function, c runnel.Config) deployed {
	d := deployed{fn: s.shown(fn)}
	for _, key := range redact.Unmaskable(s.opened(fn)) {
		d.warnings = append(d.warnings, tooShortToMask(key))
	}
	if s.cfg.Keys == nil && c.Environment != nil && slices.ContainsFunc(slices.Collect(maps.Keys(*c.Environment)), redact.SensitiveKey) {
		d.warnings = append(d.warnings, "the environment is stored in the clear, because there is no key to encrypt it with: set RUNNEL_SECRET_KEYS for the web and the worker processes, then runnel secrets rotate")
	}
	return d
}

// shownLogs makes what was logged at deploy fit to show: without secrets, although
// none was there to read, and without what a terminal would obey.
func shownLogs(logs []runnel.LogLine, env map[string]string) []runnel.LogLine {
	messages := make([]string, len(logs))
	for i, l := range logs {
		messages[i] = l.Message
	}
	out := make([]runnel.LogLine, len(logs))
	for i, m := range redact.ForEnvironment(env).Lines(messages) {
		out[i] = runnel.LogLine{T: logs[i].T, Level: logs[i].Level, Message: terminal.Printable(m)}
	}
	return out
}

// postFunction deploys: 201 for a new function, 200 for a new version of one, and 200
// with "unchanged" where "if_changed" was asked for and the module is the current
// version's.
func (s *Server) postFunction(w http.ResponseWriter, r *http.Request) {
	var createOnly bool
	switch r.Header.Get("If-None-Match") {
	case "":
	case "*":
		createOnly = true
	default:
		writeError(w, r, s.log, runnel.Errorf(runnel.CodeInvalidRequest, "If-None-Match can only be *, which means: create, but do not replace"))
		return
	}
	u, err := readUpload(w, r)
	if err == nil {
		err = checkConfig(u.Config)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	var made jobs.Deployed
	dep := sql.Deploy{Name: u.Name, Config: u.Config, CreateOnly: createOnly, IfChanged: u.IfChanged}
	if u.script() {
		name := u.FileName
		if !slices.Contains(scripts, strings.ToLower(path.Ext(name))) {
			name = u.Name + ".js"
		}
		made, err = s.deployer.DeployScript(r.Context(), dep, name, u.File)
	} else if dep.Wasm = u.File; u.Snapshot {
		made, err = s.deployer.DeploySnapshot(r.Context(), dep)
	} else {
		made, err = s.deployer.Deploy(r.Context(), dep)
	}
	if err != nil {
		var env map[string]string
		if u.Environment != nil {
			env = *u.Environment
		}
		writeError(w, r, s.log, err, shownLogs(made.Logs, env)...)
		return
	}
	fn, created := made.Function, made.Made == sql.MadeFunction
	s.log.InfoContext(r.Context(), "function deployed", "function", fn.Name, "version", fn.Version, "wasm_hash", fn.WasmHash, "created", created, "unchanged", made.Made == sql.MadeNothing)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		w.Header().Set("Location", "/admin/v1/functions/"+fn.Name)
	}
	answer := s.newDeployed(fn, u.Config)
	answer.unchanged, answer.logs = made.Made == sql.MadeNothing, shownLogs(made.Logs, s.opened(fn))
	writeJSON(w, status, answer)
}

func (s *Server) listFunctions(w http.ResponseWriter, r *http.Request) {
	fns, err := s.db.Functions(r.Context())
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	out := make([]runnel.Function, len(fns))
	for i, fn := range fns {
		out[i] = s.shown(fn)
	}
	writeJSON(w, http.StatusOK, map[string]any{"functions": out})
}

func (s *Server) getFunction(w http.ResponseWriter, r *http.Request) {
	fn, err := s.db.Function(r.Context(), r.PathValue("name"))
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	writeJSON(w, http.StatusOK, s.shown(fn))
}

// patchFunction changes the configuration. "environment" replaces all of it.
func (s *Server) patchFunction(w http.ResponseWriter, r *http.Request) {
	var c runnel.Config
	err := decodeStrict(http.MaxBytesReader(w, r.Body, maxMetadata), "the configuration", &c)
	if err == nil {
		err = c.Check()
	}
	if err == nil {
		err = checkConfig(c)
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	fn, err := s.db.Configure(r.Context(), r.PathValue("name"), c)
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "function configured", "function", fn.Name)
	writeJSON(w, http.StatusOK, s.newDeployed(fn, c))
}

func (s *Server) deleteFunction(w http.ResponseWriter, r *http.Request) {
	if err := s.db.Delete(r.Context(), r.PathValue("name")); err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "function deleted", "function", r.PathValue("name"))
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) listVersions(w http.ResponseWriter, r *http.Request) {
	versions, err := s.db.Versions(r.Context(), r.PathValue("name"))
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	if versions == nil {
		versions = []runnel.Version{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"versions": versions})
}

// postRollback makes an earlier version current: {"version": 3}.
func (s *Server) postRollback(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Version *int `json:"version"`
	}
	err := decodeStrict(io.LimitReader(r.Body, maxMetadata), "the rollback", &body)
	if err == nil && (body.Version == nil || *body.Version < 1) {
		err = runnel.Errorf(runnel.CodeInvalidRequest, "say which version to go back to: send {\"version\": 1} with one of GET /admin/v1/functions/%s/versions", r.PathValue("name"))
	}
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	fn, err := s.db.Rollback(r.Context(), r.PathValue("name"), *body.Version)
	if err != nil {
		writeError(w, r, s.log, err)
		return
	}
	s.log.InfoContext(r.Context(), "function rolled back", "function", fn.Name, "version", fn.Version)
	writeJSON(w, http.StatusOK, s.shown(fn))
}
