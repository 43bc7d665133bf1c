package api

import (
	"embed"
	"net/http"
	"strings"
)

// pathConsole is our own page. Below it, api/v1/ is the management API for the
// page's script: what /admin/v1/ is for a token, with the session's cookie.
const (
	pathConsole    = "/console/"
	pathConsoleAPI = "/console/api/v1/"
	pathAdmin      = "/admin/v1/"
)

//go:embed console
var consoleFiles embed.FS

// consolePolicy lets the page run its own script and nothing else: what functions
// log is shown there, and functions are written by attackers.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// console serves the page and its script and style.
func (s *Server) console() http.Handler {
	files := http.FileServerFS(consoleFiles) // the folder's name is the path's
	return s.page(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", consolePolicy)
		h.Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	}))
}

// manage registers a route of the management API twice: for a token, and for the
// session of somebody who logged in. The latter is refused to other sites' pages.
func (s *Server) manage(mux *http.ServeMux, pattern string, h http.HandlerFunc) {
	mux.Handle(pattern, s.admin(h))
	method, path, _ := strings.Cut(pattern, " ")
	mux.Handle(method+" "+pathConsoleAPI+strings.TrimPrefix(path, pathAdmin), s.page(s.named(h)))
}
