package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/tracing"
	"github.com/runnelhq/runnel/sql"
)

// Both paths call functions: the second is the one Supabase clients use.
const (
	pathInvoke    = "/functions/v1/invoke/"
	pathFunctions = "/functions/v1/"
)

// errStopping is the cause of a request's context when the server shuts down.
var errStopping = errors.New("server is stopping")

// functionPath splits an escaped path into the function's name and the path the
// function sees. The name may be percent-encoded; what follows it is left as it
// came.
func functionPath(escaped string) (name, path string, err error) {
	rest, ok := strings.CutPrefix(escaped, pathInvoke)
	if !ok {
		rest = strings.TrimPrefix(escaped, pathFunctions)
	}
	first, sub, slash := strings.Cut(rest, "/")
	name, err = url.PathUnescape(first)
	if err != nil {
		return "", "", runnel.Errorf(runnel.CodeInvalidRequest, "the function name in the path is not valid percent-encoding: correct it")
	}
	if err := runnel.CheckName(name); err != nil {
		return "", "", err
	}
	path = "/" + name
	if slash {
		path += "/" + sub
	}
	return name, path, nil
}

// invoke calls a function and answers with its result (FUNC-T3).
func (s *Server) invoke(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	allowCORS(h)
	if preflight(w, r) {
		return
	}

	// Before any check, so that whoever is refused has an id to ask about, too: the
	// access log has it beside the refusal's code. Nothing else knows of it then.
	id := sql.NewID()
	h.Set(headerInvocationID, id)
	span := s.cfg.Tracer.Call(traceparent(r.Header.Get("Traceparent")), r.Method, id)
	if span.On() {
		defer traced(span, w, r)
	}
	e, key, err := s.prepare(w, r)
	if err != nil {
		h.Set(headerRelayError, "true") // nothing has run yet
		writeError(w, r, s.log, err)
		return
	}

	e.Span = span.Traceparent()
	p := parsePrefer(r.Header)
	wait := s.cfg.WaitLimit
	if p.Wait > 0 {
		wait = min(wait, p.Wait)
	}
	e.Now = p.Wait < 0 && !p.Async // whoever named a wait takes 202 for an answer, and may queue
	async := p.Async || p.Wait == 0
	var res sql.Response
	switch {
	case key != nil:
		id, err = s.invoker.EnqueueOnce(r.Context(), e, *key)
		if err == nil && id != e.ID {
			h.Set(headerInvocationID, id)
			h.Set(headerReplayed, "true")
		}
		if err == nil && !async {
			res, err = s.invoker.Wait(r.Context(), id, wait)
		}
	case async:
		err = s.invoker.Enqueue(r.Context(), e)
	default:
		res, err = s.invoker.Invoke(r.Context(), e, wait)
	}
	switch {
	case err == nil && async, p.Wait > 0 && runnel.CodeOf(err) == runnel.CodeWaitTimeout:
		accepted(w, id, p)
	case err != nil:
		s.invokeFailed(w, r, id, err)
	case res.Code != "":
		s.invokeFailed(w, r, id, &runnel.Error{Code: res.Code, Message: res.Message})
	default:
		out, err := respond(res.Result)
		if err != nil {
			s.invokeFailed(w, r, id, err)
			return
		}
		out.write(w)
	}
}

// traced ends the span of a call that has been answered.
func traced(span tracing.Span, w http.ResponseWriter, r *http.Request) {
	name, _, err := functionPath(r.URL.EscapedPath())
	if err != nil {
		name = "" // whatever it was
	}
	var status int
	var code runnel.Code
	if rec, ok := w.(*recorder); ok {
		status, code = rec.status, rec.code
	}
	h := w.Header()
	span.EndCall(name, h.Get(headerInvocationID), h.Get(headerRequestID), status, code)
}

// prepare reads the request down to what is enqueued, and the key that it has, if
// any. Nothing is read of the body before the caller is known to be allowed.
func (s *Server) prepare(w http.ResponseWriter, r *http.Request) (sql.Enqueue, *sql.Key, error) {
	name, path, err := functionPath(r.URL.EscapedPath())
	if err != nil {
		return sql.Enqueue{}, nil, err
	}
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return sql.Enqueue{}, nil, err
	}
	fn, err := s.invoker.Lookup(r.Context(), name)
	if err != nil {
		return sql.Enqueue{}, nil, err
	}
	caller, err := s.auth.caller(r, fn.VerifyJWT)
	if err != nil {
		return sql.Enqueue{}, nil, s.refused(r, err)
	}
	body, err := readBody(w, r, runnel.MaxPayloadSize)
	if err != nil {
		return sql.Enqueue{}, nil, err
	}
	requestID := w.Header().Get(headerRequestID)
	ev, err := event(call{
		Method: r.Method, Path: path, RawQuery: r.URL.RawQuery, Host: r.Host,
		Header: r.Header, Body: body, Caller: caller, RequestID: requestID,
	})
	if err != nil {
		return sql.Enqueue{}, nil, err
	}
	var once *sql.Key
	if key != "" {
		once = &sql.Key{Text: key, Scope: keyScope(caller, r.Header), Request: keyRequest(r.Method, path, r.URL.RawQuery, r.Header.Get("Content-Type"), body)}
	}
	return sql.Enqueue{
		ID: w.Header().Get(headerInvocationID), Function: name, Trigger: runnel.TriggerHTTP, Event: ev, Caller: caller,
		RequestID: requestID, Traceparent: traceparent(r.Header.Get("Traceparent")),
	}, once, nil
}

// readBody reads a body of at most limit bytes, and one that says it is longer
// not at all. Afterwards the connection has no read deadline any more: one that
// ran out while the function runs would look like the client hanging up.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // the rest will not be read
		return nil, &http.MaxBytesError{Limit: limit}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) {
			err = runnel.Errorf(runnel.CodeInvalidRequest, "the request body could not be read to its end: send it again").Because(err)
		}
		return nil, err
	}
	err = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, fmt.Errorf("clear read deadline: %w", err)
	}
	return body, nil
}

// invokeFailed answers for an invocation that has been handed over, so that only
// some codes say whether it ran.
func (s *Server) invokeFailed(w http.ResponseWriter, r *http.Request, id string, err error) {
	if errors.Is(err, errStopping) {
		err = runnel.Errorf(runnel.CodeWaitTimeout, "this server is restarting; the run goes on: read it at /admin/v1/invocations/%s", id)
	}
	if failureOf(runnel.CodeOf(err)).unrun {
		w.Header().Set(headerRelayError, "true")
	}
	writeError(w, r, s.log, err)
}

// accepted answers that the invocation has been enqueued.
func accepted(w http.ResponseWriter, id string, p prefer) {
	h := w.Header()
	h.Set("Location", "/admin/v1/invocations/"+id)
	if p.Async {
		h.Set("Preference-Applied", "respond-async")
	} else {
		h.Set("Preference-Applied", fmt.Sprintf("wait=%d", int(p.Wait.Seconds())))
	}
	writeJSON(w, http.StatusAccepted, map[string]string{"invocation_id": id})
}
