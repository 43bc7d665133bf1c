package api

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/runnelhq/runnel"
)

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int // 0 until the header is written
	bytes  int64
	code   runnel.Code // of the failure that was answered; "": none
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe gives every request an id, answers panics, and writes the access log:
// no query string, no header but the ids, no body; of a failure its code.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w}
		body := r.Body
		id := requestID(r.Header.Get(headerRequestID))
		rec.Header().Set(headerRequestID, id)
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				s.log.Error("panic while answering a request", "panic", p, "request_id", id, "stack", string(debug.Stack()))
				if rec.status == 0 {
					e := explain(nil, id)
					writeFailure(rec, http.StatusInternalServerError, e)
				}
			}
			level := slog.LevelInfo
			if quiet[r.URL.Path] {
				level = slog.LevelDebug
			}
			line := []any{
				"method", r.Method, "path", r.URL.Path, "status", rec.status, "bytes", rec.bytes,
				"duration_ms", float64(time.Since(start).Microseconds()) / 1000,
				"request_id", id, "invocation_id", rec.Header().Get(headerInvocationID),
			}
			if rec.code != "" {
				line = append(line, "code", rec.code)
			}
			s.log.Log(r.Context(), level, "request", line...)
			if p == http.ErrAbortHandler {
				panic(p)
			}
		}()
		next.ServeHTTP(rec, r)
		if rec.status >= 400 {
			finish(rec, r, body)
		}
	})
}

// quiet are the paths that machines ask for every few seconds.
var quiet = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

// routed serves mux, with JSON where the mux itself would answer in plain text
// that it has no such route, or none for the method.
func routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refusal, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		blank := &discard{header: http.Header{}}
		refusal.ServeHTTP(blank, r)
		if allow := blank.header.Get("Allow"); blank.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", allow)
			writeFailure(w, http.StatusMethodNotAllowed, runnel.Errorf(runnel.CodeInvalidRequest, "method %.20q is not available here: use %s", r.Method, allow))
			return
		}
		writeFailure(w, http.StatusNotFound, runnel.Errorf(runnel.CodeNotFound, "there is nothing at %.200q: functions are at %s{name}, their management at /admin/v1/functions", r.URL.Path, pathFunctions))
	})
}

// discard keeps the header of an answer only.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
