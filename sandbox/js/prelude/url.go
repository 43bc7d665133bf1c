package prelude

import (
	"encoding/json"
	"net/url"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
)

// maxURL bounds a URL, its base and the value of a setter, in bytes; most servers stop
// at 8 KB, too. The library that parses takes time that grows with the square of the
// length for many inputs (12 s for 32 KB of "%", 80 s for 256 KB of "@"), so that this
// is a bound on time: what 8 KB take at worst was 0.8 s on a busy machine.
const maxURL = 8 << 10

// maxAt is how many "@" one piece between slashes may have: a URL needs one.
const maxAt = 32

// tame checks what would take the library long, and does what it would do first.
func tame(url []byte) (string, error) {
	if len(url) > maxURL {
		return "", fail("TypeError", "Invalid URL: it is longer than %d KB", maxURL>>10)
	}
	at := 0
	for _, c := range url {
		switch c {
		case '/', '\\', '?', '#':
			at = 0
		case '@':
			if at++; at > maxAt {
				return "", fail("TypeError", "Invalid URL: it has more than %d \"@\" in a row", maxAt)
			}
		}
	}
	s := strings.TrimFunc(string(url), func(r rune) bool { return r <= ' ' })
	return strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(s), nil
}

func init() {
	register("url_parse", operation{args: 3, text: true, run: urlParse})
	register("url_set", operation{args: 3, text: true, run: urlSet})
	register("form_decode", operation{args: 1, text: true, run: formDecode})
	register("form_encode", operation{args: 1, text: true, run: formEncode})
}

// urlParse(url, base, whether there is a base) returns the fields of a URL.
func urlParse(args [][]byte) ([]byte, error) {
	text, err := tame(args[0])
	if err != nil {
		return nil, err
	}
	var u *whatwg.Url
	if len(args[2]) > 0 {
		var base string
		if base, err = tame(args[1]); err != nil {
			return nil, err
		}
		u, err = whatwg.ParseRef(base, text)
	} else {
		u, err = whatwg.Parse(text)
	}
	if err != nil {
		return nil, fail("TypeError", "Invalid URL: %.100q", args[0])
	}
	return fields(u), nil
}

// urlSet(href, field, value) sets a field as the setters of URL do: what does not
// fit changes nothing.
func urlSet(args [][]byte) ([]byte, error) {
	href, err := tame(args[0])
	if err != nil {
		return nil, err
	}
	if _, err := tame(args[2]); err != nil {
		return nil, err
	}
	value := strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(string(args[2]))
	if f := string(args[1]); f == "username" || f == "password" {
		value = string(args[2]) // these keep them, percent-encoded
	}
	u, err := whatwg.Parse(href)
	if err != nil {
		return nil, fail("TypeError", "Invalid URL: %.100q", args[0])
	}
	switch string(args[1]) {
	case "protocol":
		u.SetProtocol(value)
	case "username":
		u.SetUsername(value)
	case "password":
		u.SetPassword(value)
	case "host":
		u.SetHost(value)
	case "hostname":
		u.SetHostname(value)
	case "port":
		u.SetPort(value)
	case "pathname":
		u.SetPathname(value)
	case "search":
		u.SetSearch(value)
	case "hash":
		u.SetHash(value)
	}
	return fields(u), nil
}

// fields are the attributes of a URL, a line each: none of them can hold a line
// feed.
func fields(u *whatwg.Url) []byte {
	return []byte(strings.Join([]string{
		u.Href(false), u.Protocol(), u.Username(), u.Password(), u.Host(), u.Hostname(), u.Port(), u.Pathname(), u.Search(), u.Hash(), origin(u),
	}, "\n"))
}

func origin(u *whatwg.Url) string {
	switch u.Scheme() {
	case "http", "https", "ws", "wss", "ftp":
		return u.Protocol() + "//" + u.Host()
	case "blob":
		if inner, err := whatwg.Parse(u.Pathname()); err == nil && (inner.Scheme() == "http" || inner.Scheme() == "https") {
			return origin(inner)
		}
	}
	return "null"
}

// formDecode(text) parses application/x-www-form-urlencoded and returns JSON:
// an array of pairs. Nothing is an error, as in browsers.
func formDecode(args [][]byte) ([]byte, error) {
	pairs := [][2]string{}
	for pair := range strings.SplitSeq(string(args[0]), "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		pairs = append(pairs, [2]string{formUnescape(k), formUnescape(v)})
	}
	return json.Marshal(pairs)
}

func formUnescape(s string) string {
	if strings.IndexByte(s, '+') >= 0 {
		s = strings.ReplaceAll(s, "+", " ")
	}
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if h, l := unhex(s[i+1]), unhex(s[i+2]); h >= 0 && l >= 0 {
				b = append(b, byte(h<<4|l))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(decodeUTF8(b))
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// formEncode(JSON array of pairs) returns application/x-www-form-urlencoded.
func formEncode(args [][]byte) ([]byte, error) {
	var pairs [][2]string
	if err := json.Unmarshal(args[0], &pairs); err != nil {
		return nil, fail("TypeError", "the pairs are not valid")
	}
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(formEscape(p[0]))
		b.WriteByte('=')
		b.WriteString(formEscape(p[1]))
	}
	return []byte(b.String()), nil
}

// formEscape differs from url.QueryEscape in two characters.
func formEscape(s string) string {
	return strings.NewReplacer("%2A", "*", "~", "%7E").Replace(url.QueryEscape(s))
}
