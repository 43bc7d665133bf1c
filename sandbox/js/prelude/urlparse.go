package prelude

import (
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
)

// The library that knows the rules of hosts, ports and schemes takes time that grows
// with the square of the length for many inputs (12 s for 32 KB of "%", 80 s for
// 256 KB of "@"). So it gets the short part of a URL, in front of the path, and what
// is long is done here, a byte once: path, query and fragment are split, tidied and
// encoded as the standard says. Only the paths of file: URLs, with their drive
// letters, are the library's too.
const (
	// maxLibrary bounds what the library is given, in bytes: the worst 4 KB of some
	// dozens took 32 ms, on a busy machine.
	maxLibrary = 4 << 10
	// maxAt is how many "@" that may have: a URL needs one.
	maxAt = 32
)

// urlRecord is a URL taken apart. What it holds is encoded.
type urlRecord struct {
	scheme, username, password, host, hostname, port string

	hasHost         bool // which may be empty
	opaque          bool // the path is no list of segments
	path            string
	query, fragment *string
}

// urlParser counts its work: a test looks how it grows.
type urlParser struct {
	library int // bytes given to the library
	own     int // bytes looked at here
}

func special(scheme string) bool {
	switch scheme {
	case "http", "https", "ws", "wss", "ftp", "file":
		return true
	}
	return false
}

// prefix is what stands in front of the path.
func (u *urlRecord) prefix() string {
	if !u.hasHost {
		return u.scheme + ":"
	}
	user := u.username
	if u.password != "" {
		user += ":" + u.password
	}
	if user != "" {
		user += "@"
	}
	return u.scheme + "://" + user + u.host
}

func (u *urlRecord) href() string {
	s := u.prefix()
	if !u.hasHost && !u.opaque && strings.HasPrefix(u.path, "//") {
		s += "/." // or the path would read as a host
	}
	s += u.path
	if u.query != nil {
		s += "?" + *u.query
	}
	if u.fragment != nil {
		s += "#" + *u.fragment
	}
	return s
}

// fields are the attributes of a URL, a line each: none of them can hold a line
// feed.
func (u *urlRecord) fields() []byte {
	part := func(mark string, s *string) string {
		if s == nil || *s == "" {
			return ""
		}
		return mark + *s
	}
	return []byte(strings.Join([]string{
		u.href(), u.scheme + ":", u.username, u.password, u.host, u.hostname, u.port, u.path, part("?", u.query), part("#", u.fragment), u.origin(),
	}, "\n"))
}

func (u *urlRecord) origin() string {
	switch u.scheme {
	case "http", "https", "ws", "wss", "ftp":
		return u.scheme + "://" + u.host
	case "blob":
		if inner, err := new(urlParser).parse(u.path, nil); err == nil && (inner.scheme == "http" || inner.scheme == "https") {
			return inner.origin()
		}
	}
	return "null"
}

// both parses a URL and its base.
func (p *urlParser) both(args [][]byte) (*urlRecord, error) {
	text, err := given(args[0])
	if err != nil {
		return nil, err
	}
	var base *urlRecord
	if len(args[2]) > 0 {
		var b string
		if b, err = given(args[1]); err != nil {
			return nil, err
		}
		if base, err = p.parse(b, nil); err != nil {
			return nil, err
		}
	}
	return p.parse(text, base)
}

func invalidURL(text string) error { return fail("TypeError", "Invalid URL: %.100q", text) }

// parse parses a URL without spaces around it and line breaks in it. base may be nil.
func (p *urlParser) parse(text string, base *urlRecord) (*urlRecord, error) {
	p.own += len(text)
	rest, fragment, hasFragment := strings.Cut(text, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	u, err := p.hierarchy(rest, base, hasQuery, hasFragment)
	if err != nil {
		return nil, err
	}
	if hasQuery {
		u.setQuery(p, query)
	}
	if hasFragment {
		s := p.encode(fragment, fragmentSet)
		u.fragment = &s
	}
	return u, nil
}

func (u *urlRecord) setQuery(p *urlParser, query string) {
	set := &querySet
	if special(u.scheme) {
		set = &specialQuerySet
	}
	s := p.encode(query, *set)
	u.query = &s
}

// hierarchy parses what comes before the query. hasQuery and hasFragment say whether
// they follow.
func (p *urlParser) hierarchy(text string, base *urlRecord, hasQuery, hasFragment bool) (*urlRecord, error) {
	scheme, rest := cutScheme(text)
	if scheme == "file" || scheme == "" && base != nil && base.scheme == "file" {
		return p.file(text, base, hasFragment)
	}
	if scheme == "" {
		switch {
		case base == nil, base.opaque && (text != "" || hasQuery || !hasFragment):
			return nil, invalidURL(text)
		}
		return p.relative(text, base, hasQuery)
	}
	switch {
	case special(scheme):
		if base != nil && base.scheme == scheme && !strings.HasPrefix(rest, "//") {
			return p.relative(rest, base, hasQuery)
		}
		return p.authority(scheme, strings.TrimLeft(rest, `/\`))
	case strings.HasPrefix(rest, "//"):
		return p.authority(scheme, rest[2:])
	case strings.HasPrefix(rest, "/"):
		return &urlRecord{scheme: scheme, path: p.segments(nil, rest[1:], false)}, nil
	}
	return &urlRecord{scheme: scheme, opaque: true, path: p.encode(rest, controlSet)}, nil
}

// cutScheme returns the scheme in lower case, or none.
func cutScheme(s string) (scheme, rest string) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return strings.ToLower(s[:i]), s[i+1:]
		default:
			return "", s
		}
	}
	return "", s
}

// authority parses what follows "//".
func (p *urlParser) authority(scheme, text string) (*urlRecord, error) {
	end := strings.IndexByte(text, '/')
	if special(scheme) {
		end = strings.IndexAny(text, `/\`)
	}
	path := ""
	if end < 0 {
		end = len(text)
	} else {
		path = text[end:]
	}
	u, err := p.ask(scheme+"://"+text[:end]+"/", "")
	if err != nil {
		return nil, err
	}
	u.setPath(p, path)
	return u, nil
}

// setPath sets a path that is no relative one.
func (u *urlRecord) setPath(p *urlParser, path string) {
	slashed := path != "" && (path[0] == '/' || path[0] == '\\' && special(u.scheme))
	switch {
	case slashed:
		path = path[1:]
	case path == "" && !special(u.scheme):
		u.path = ""
		return
	}
	u.path = p.segments(nil, path, special(u.scheme))
}

// relative parses what has no scheme, or that of a base.
func (p *urlParser) relative(text string, base *urlRecord, hasQuery bool) (*urlRecord, error) {
	u := *base
	u.fragment = nil
	slash := func(i int) bool {
		return len(text) > i && (text[i] == '/' || text[i] == '\\' && special(base.scheme))
	}
	switch {
	case slash(0) && slash(1):
		if special(base.scheme) {
			return p.authority(base.scheme, strings.TrimLeft(text, `/\`))
		}
		return p.authority(base.scheme, text[2:])
	case slash(0):
		u.path, u.query = p.segments(nil, text[1:], special(base.scheme)), nil
	case text != "":
		var list []string
		if base.path != "" {
			list = strings.Split(base.path[1:], "/")
			p.own += len(base.path)
			list = list[:len(list)-1]
		}
		u.path, u.query = p.segments(list, text, special(base.scheme)), nil
	case hasQuery:
		u.query = nil
	}
	return &u, nil
}

// segments adds those of a path to a list, without "." and "..", and returns the
// whole.
func (p *urlParser) segments(list []string, path string, backslash bool) string {
	for more := true; more; {
		end := 0
		for end < len(path) && path[end] != '/' && !(backslash && path[end] == '\\') {
			end++
		}
		p.own += end + 1
		s := path[:end]
		if more = end < len(path); more {
			path = path[end+1:]
		}
		dots := 0
		if len(s) <= len("%2e%2e") {
			dots = dotsOf(s)
		}
		if dots == 2 && len(list) > 0 {
			list = list[:len(list)-1]
		}
		switch {
		case dots == 0:
			list = append(list, p.encode(s, pathSet))
		case !more:
			list = append(list, "")
		}
	}
	return "/" + strings.Join(list, "/")
}

// dotsOf returns 1 for ".", 2 for "..", in any of their forms, and otherwise 0.
func dotsOf(s string) int {
	n := 0
	for ; s != ""; n++ {
		switch {
		case s[0] == '.':
			s = s[1:]
		case len(s) >= 3 && strings.EqualFold(s[:3], "%2e"):
			s = s[3:]
		default:
			return 0
		}
	}
	if n > 2 {
		return 0
	}
	return n
}

// file parses the URLs that are the library's altogether.
func (p *urlParser) file(text string, base *urlRecord, hasFragment bool) (*urlRecord, error) {
	from := ""
	if base != nil {
		b := *base
		if b.fragment = nil; b.query != nil {
			b.query = &inherited
		}
		from = b.href()
	}
	if hasFragment {
		text += "#"
	}
	u, err := p.ask(text, from)
	if err != nil {
		return nil, err
	}
	if u.query != nil { // text has none
		u.query = base.query
	}
	return u, nil
}

// inherited stands for the query of a base, which may be long.
var inherited = "inherited"

// ask has the library parse.
func (p *urlParser) ask(text, base string) (*urlRecord, error) {
	if len(text)+len(base) > maxLibrary {
		return nil, fail("TypeError", "Invalid URL: what comes before its path, or the whole when it is a file: URL, is longer than %d KB", maxLibrary>>10)
	}
	if strings.Count(text, "@") > maxAt {
		return nil, fail("TypeError", "Invalid URL: it has more than %d \"@\" before its path", maxAt)
	}
	p.library += len(text) + len(base)
	var u *whatwg.Url
	var err error
	if base != "" {
		u, err = whatwg.ParseRef(base, text)
	} else {
		u, err = whatwg.Parse(text)
	}
	if err != nil {
		return nil, invalidURL(text)
	}
	r := recordOf(u)
	if u.Query() != "" {
		r.query = &inherited
	}
	return r, nil
}

func recordOf(u *whatwg.Url) *urlRecord {
	r := &urlRecord{
		scheme: u.Scheme(), username: u.Username(), password: u.Password(), host: u.Host(), hostname: u.Hostname(), port: u.Port(), path: u.Pathname(),
	}
	r.hasHost = strings.HasPrefix(u.Href(true)[len(r.scheme):], "://")
	r.opaque = !r.hasHost && !strings.HasPrefix(r.path, "/")
	return r
}

// set does what a setter of URL does.
func (p *urlParser) set(u *urlRecord, field, value string) error {
	if field != "username" && field != "password" { // these keep them, encoded
		value = withoutBreaks.Replace(value)
	}
	p.own += len(value)
	switch field {
	case "search":
		if u.query = nil; value != "" {
			u.setQuery(p, strings.TrimPrefix(value, "?"))
		}
		u.strip()
		return nil
	case "hash":
		if u.fragment = nil; value != "" {
			s := p.encode(strings.TrimPrefix(value, "#"), fragmentSet)
			u.fragment = &s
		}
		u.strip()
		return nil
	case "pathname":
		switch {
		case u.opaque:
			return nil
		case u.scheme != "file":
			if value == "" && !special(u.scheme) && !u.hasHost {
				value = "/"
			}
			u.setPath(p, value)
			return nil
		}
	}
	// The library sets these on a URL with a short path in the place of its own.
	short := *u
	short.query, short.fragment = nil, nil
	switch {
	case u.scheme == "file" && field == "pathname":
	case u.opaque:
		short.path = "x"
	case u.path != "":
		short.path = "/x"
	}
	text := short.href()
	if len(text)+len(value) > maxLibrary || strings.Count(value, "@") > maxAt {
		return fail("TypeError", "Invalid URL: its %s would be too long", field)
	}
	p.library += len(text) + len(value)
	l, err := whatwg.Parse(text)
	if err != nil {
		return invalidURL(text)
	}
	switch field {
	case "protocol":
		l.SetProtocol(value)
	case "username":
		l.SetUsername(value)
	case "password":
		l.SetPassword(value)
	case "host":
		l.SetHost(value)
	case "hostname":
		l.SetHostname(value)
	case "port":
		l.SetPort(value)
	case "pathname":
		l.SetPathname(value)
	}
	r := recordOf(l)
	if field != "pathname" {
		r.path, r.opaque = u.path, u.opaque
	}
	r.query, r.fragment = u.query, u.fragment
	*u = *r
	return nil
}

// strip takes the spaces off the end of an opaque path that nothing follows any more.
func (u *urlRecord) strip() {
	if u.opaque && u.query == nil && u.fragment == nil {
		u.path = strings.TrimRight(u.path, " ")
	}
}

// A percentSet has the bytes that are percent-encoded, beside all that are not ASCII.
type percentSet [128]bool

func setOf(from percentSet, more string) percentSet {
	for _, c := range []byte(more) {
		from[c] = true
	}
	return from
}

var (
	controlSet = func() (s percentSet) {
		for c := range s {
			s[c] = c < ' ' || c == 0x7f
		}
		return s
	}()
	fragmentSet     = setOf(controlSet, " \"<>`")
	querySet        = setOf(controlSet, " \"#<>")
	specialQuerySet = setOf(querySet, "'")
	pathSet         = setOf(querySet, "?`{}")
)

// encode percent-encodes the bytes of a set.
func (p *urlParser) encode(s string, set percentSet) string {
	p.own += len(s)
	n := 0
	for i := range len(s) {
		if s[i] >= 0x80 || set[s[i]] {
			n++
		}
	}
	if n == 0 {
		return s
	}
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || set[c] {
			b = append(b, '%', digits[c>>4], digits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}
