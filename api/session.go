package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/runnelhq/runnel"
)

const (
	sessionCookie = "runnel_session"
	sessionLife   = 12 * time.Hour
	pathLogin     = "/login"
	pathRiverUI   = "/riverui/"
	pathMetrics   = "/metrics"
)

// sessions lets an operator's browser in after the admin token was typed once.
// The cookie is an expiry and its HMAC, never the token. The key is derived from
// the tokens, so every web process accepts it and changing a token ends all
// sessions.
type sessions struct {
	key []byte
	now func() time.Time
}

func newSessions(adminToken string, jwtSecret []byte) *sessions {
	mac := hmac.New(sha256.New, []byte("runnel session v1"))
	for _, part := range [][]byte{[]byte(adminToken), jwtSecret} {
		sum := sha256.Sum256(part)
		mac.Write(sum[:])
	}
	return &sessions{key: mac.Sum(nil), now: time.Now}
}

func (s *sessions) sign(expiry []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(expiry)
	return mac.Sum(nil)
}

func (s *sessions) issue() string {
	expiry := binary.BigEndian.AppendUint64(nil, uint64(s.now().Add(sessionLife).Unix()))
	return base64.RawURLEncoding.EncodeToString(append(expiry, s.sign(expiry)...))
}

func (s *sessions) valid(cookie string) bool {
	b, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(b) != 8+sha256.Size {
		return false
	}
	return hmac.Equal(b[8:], s.sign(b[:8])) && s.now().Unix() < int64(binary.BigEndian.Uint64(b[:8]))
}

// page lets an operator pass: with the admin token as bearer, or with a session
// cookie and, for anything but reading, from our own origin. A browser without
// either is sent to the login page.
func (s *Server) page(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "frame-ancestors 'none'")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		err := s.auth.authorizeAdmin(r)
		if err == nil {
			next.ServeHTTP(w, r)
			return
		}
		if c, cookieErr := r.Cookie(sessionCookie); cookieErr == nil && s.sessions.valid(c.Value) {
			if s.origin.Check(r) != nil {
				writeError(w, r, s.log, runnel.Errorf(runnel.CodeForbidden, "this request comes from another site: open the page itself"))
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		if r.Method == http.MethodGet && r.Header.Get("Authorization") == "" && strings.Contains(r.Header.Get("Accept"), "text/html") {
			http.Redirect(w, r, pathLogin+"?"+url.Values{"next": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
			return
		}
		writeError(w, r, s.log, s.refused(r, err))
	})
}

var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Runnel: log in</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 15vh auto; padding: 0 1rem; color: #1d2433 }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit }
input, button { margin: .5rem 0 1rem; padding: .6rem; border: 1px solid #8a94a6; border-radius: 6px }
button { background: #1d2433; color: #fff; cursor: pointer }
p { color: #a3262a }
</style>
<h1>Runnel</h1>
{{with .Problem}}<p role="alert">{{.}}</p>{{end}}
<form method="post" action="/login">
<input type="hidden" name="next" value="{{.Next}}">
<label for="token">Admin token (RUNNEL_ADMIN_TOKEN)</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>
</html>
`))

type loginForm struct{ Next, Problem string }

func (s *Server) showLogin(w http.ResponseWriter, status int, form loginForm) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_ = loginPage.Execute(w, form) // a reader that went away is not our failure
}

// getLogin shows the login page.
func (s *Server) getLogin(w http.ResponseWriter, r *http.Request) {
	s.showLogin(w, http.StatusOK, loginForm{Next: localPage(r.URL.Query().Get("next"))})
}

// postLogin starts a session.
func (s *Server) postLogin(w http.ResponseWriter, r *http.Request) {
	if s.origin.Check(r) != nil {
		writeError(w, r, s.log, runnel.Errorf(runnel.CodeForbidden, "this request comes from another site: open %s itself", pathLogin))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		if !errors.As(err, new(*http.MaxBytesError)) {
			err = runnel.Errorf(runnel.CodeInvalidRequest, "the login form could not be read: send it again")
		}
		writeError(w, r, s.log, err)
		return
	}
	next := localPage(r.PostFormValue("next"))
	if !s.auth.isAdmin(r.Context(), strings.TrimSpace(r.PostFormValue("token"))) {
		wrong := runnel.Errorf(runnel.CodeUnauthorized, "that token is wrong")
		if err := s.countFailure(r, wrong); err != error(wrong) {
			writeError(w, r, s.log, err)
			return
		}
		problem := "That token is wrong."
		if s.auth.admin == nil {
			problem = "No admin token is set: set RUNNEL_ADMIN_TOKEN for the web process."
		}
		s.showLogin(w, http.StatusUnauthorized, loginForm{next, problem})
		return
	}
	s.setSession(w, r, s.sessions.issue(), int(sessionLife.Seconds()))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// postLogout ends the browser's session.
func (s *Server) postLogout(w http.ResponseWriter, r *http.Request) {
	if s.origin.Check(r) != nil {
		writeError(w, r, s.log, runnel.Errorf(runnel.CodeForbidden, "this request comes from another site"))
		return
	}
	s.setSession(w, r, "", -1)
	http.Redirect(w, r, pathLogin, http.StatusSeeOther)
}

func (s *Server) setSession(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
}

// localPage keeps a login from sending its user to another site.
func localPage(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || strings.Contains(next, `\`) {
		return pathConsole
	}
	if strings.HasPrefix(next, pathRiverUI) || next == pathConsole || next == pathMetrics {
		return next
	}
	return pathConsole
}
