package api

import (
	"net/http"
	"strings"
)

// What browsers may send to functions and read of their answers, from pages of any
// origin: tokens go with a request because the page sends them, and cookies, which
// would go by themselves, never reach a function. corsAllow is Supabase's list and
// ours.
const (
	corsAllow   = "authorization, x-client-info, apikey, content-type, x-region, x-request-id, idempotency-key, prefer, traceparent, tracestate, baggage"
	corsExpose  = "idempotent-replayed, location, preference-applied, retry-after, x-relay-error, x-request-id, x-runnel-invocation-id"
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	corsMaxAge  = "86400" // seconds; Chromium believes 7200 of them

	// maxCORSHeaders is how many headers of its own a page may announce.
	maxCORSHeaders = 64
)

// allowCORS lets pages of any origin read the answer.
func allowCORS(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", corsExpose)
}

// preflight answers a browser that asks whether a page may make a call, and tells
// whether it did. Headers beyond corsAllow are the function's business: what a page
// announces, it may send.
func preflight(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	allow := corsAllow
	names := strings.SplitN(strings.Join(r.Header.Values("Access-Control-Request-Headers"), ","), ",", maxCORSHeaders+1)
	for _, name := range names[:min(len(names), maxCORSHeaders)] {
		if name = strings.ToLower(strings.TrimSpace(name)); isToken(name) && !strings.Contains(", "+allow+",", ", "+name+",") {
			allow += ", " + name
		}
	}
	h := w.Header()
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", allow)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}
