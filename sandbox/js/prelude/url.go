package prelude

import (
	"encoding/json"
	"net/url"
	"strings"
)

// maxURL bounds a URL, its base and the value of a setter, in bytes.
const maxURL = 1 << 20

func init() {
	register("url_parse", operation{args: 3, text: true, run: urlParse})
	register("url_set", operation{args: 3, text: true, run: urlSet})
	register("form_decode", operation{args: 1, text: true, run: formDecode})
	register("form_encode", operation{args: 1, text: true, run: formEncode})
}

var withoutBreaks = strings.NewReplacer("\t", "", "\n", "", "\r", "")

// given is a URL as somebody wrote it.
func given(url []byte) (string, error) {
	if len(url) > maxURL {
		return "", fail("TypeError", "Invalid URL: it is longer than %d KB", maxURL>>10)
	}
	return withoutBreaks.Replace(strings.TrimFunc(string(decodeUTF8(url)), func(r rune) bool { return r <= ' ' })), nil
}

// urlParse(url, base, whether there is a base) returns the fields of a URL.
func urlParse(args [][]byte) ([]byte, error) {
	u, err := new(urlParser).both(args)
	if err != nil {
		return nil, err
	}
	return u.fields(), nil
}

// urlSet(href, field, value) sets a field as the setters of URL do: what does not
// fit changes nothing.
func urlSet(args [][]byte) ([]byte, error) {
	p := new(urlParser)
	href, err := given(args[0])
	if err != nil {
		return nil, err
	}
	if len(args[2]) > maxURL {
		return nil, fail("TypeError", "Invalid URL: it would be longer than %d KB", maxURL>>10)
	}
	u, err := p.parse(href, nil)
	if err != nil {
		return nil, err
	}
	if err := p.set(u, string(args[1]), string(decodeUTF8(args[2]))); err != nil {
		return nil, err
	}
	return u.fields(), nil
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
