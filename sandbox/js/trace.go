package js

import (
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
)

// Bounds of a source map. It comes with a module, and a module may be anybody's.
const (
	maxMapBytes    = 4 << 20
	maxMapSegments = 500_000
	maxSources     = 10_000
	maxSourceName  = 200
)

// sourceMap is the part of a source map (version 3) that stacks need.
type sourceMap struct {
	Sources  []string `json:"sources"`
	Mappings string   `json:"mappings"`

	lines [][]segment // by generated line
}

// segment says that from a column of the generated line on, the code is that of a
// line and a column of a source. All count from 0.
type segment struct{ column, source, line, sourceColumn int32 }

var (
	framePosition = regexp.MustCompile(regexp.QuoteMeta(ModuleName) + `:(\d{1,9})(?::(\d{1,9}))?`)
	// engineFrame is a line of a stack that is the boot script's or the prelude's. What
	// is compiled from a string in a script has the second name too.
	engineFrame = regexp.MustCompile(`^[ \t]+at (?:.*\()?(?:(?:` + engineName + `|<input>):\d+:\d+\)?|` + engineName + ` \(native\))$`)
)

// Trace returns a function that maps the positions in a stack to those of the
// sources, and leaves out the lines of a stack that are the engine's own. encoded is
// the source map that a module carries; one that makes no sense maps nothing.
func Trace(encoded []byte) func(text string) string {
	m := parseMap(encoded)
	return func(text string) string {
		text = withoutEngine(text)
		if m == nil || !strings.Contains(text, ModuleName) {
			return text
		}
		return framePosition.ReplaceAllStringFunc(text, func(frame string) string {
			at := framePosition.FindStringSubmatch(frame)
			line, _ := strconv.Atoi(at[1])
			column := 1
			if at[2] != "" {
				column, _ = strconv.Atoi(at[2])
			}
			source, line, column, ok := m.find(line, column)
			if !ok {
				return frame
			}
			mapped := source + ":" + strconv.Itoa(line)
			if at[2] != "" {
				mapped += ":" + strconv.Itoa(column)
			}
			return mapped
		})
	}
}

// withoutEngine leaves out the engine's frames, and the call that led from one of
// them to the function.
func withoutEngine(text string) string {
	if !strings.Contains(text, engineName) && !strings.Contains(text, "<input>") {
		return text
	}
	var kept []string
	for line := range strings.SplitSeq(text, "\n") {
		if !engineFrame.MatchString(line) {
			kept = append(kept, line)
		} else if n := len(kept); n > 0 && strings.TrimSpace(kept[n-1]) == "at apply (native)" {
			kept = kept[:n-1]
		}
	}
	return strings.TrimRight(strings.Join(kept, "\n"), "\n")
}

// plainMap is the map of a script that is its own source: it only gives it a name.
func plainMap(name string) []byte {
	b, _ := json.Marshal(map[string]any{"version": 3, "sources": []string{name}, "mappings": ""}) // strings
	return b
}

func parseMap(encoded []byte) *sourceMap {
	if len(encoded) == 0 || len(encoded) > maxMapBytes {
		return nil
	}
	m := new(sourceMap)
	if json.Unmarshal(encoded, m) != nil || len(m.Sources) == 0 || len(m.Sources) > maxSources {
		return nil
	}
	for i, name := range m.Sources {
		m.Sources[i] = sourceName(name)
	}
	if !m.decode() {
		return nil
	}
	m.Mappings = ""
	return m
}

// sourceName is a source's path as a stack shows it: one line, not too long.
func sourceName(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	if name = path.Clean(name); len(name) > maxSourceName {
		name = strings.ToValidUTF8(name[len(name)-maxSourceName:], "")
	}
	return name
}

// find maps a position, counted from 1 as stacks do.
func (m *sourceMap) find(line, column int) (source string, l, c int, ok bool) {
	if len(m.lines) == 0 {
		return m.Sources[0], line, column, true
	}
	if line < 1 || line > len(m.lines) {
		return "", 0, 0, false
	}
	segments := m.lines[line-1]
	i := sort.Search(len(segments), func(i int) bool { return int(segments[i].column) > column-1 }) - 1
	if i < 0 {
		return "", 0, 0, false
	}
	s := segments[i]
	if s.line < 0 || s.sourceColumn < 0 || s.source < 0 || int(s.source) >= len(m.Sources) {
		return "", 0, 0, false
	}
	return m.Sources[s.source], int(s.line) + 1, int(s.sourceColumn) + 1, true
}

// decode reads the mappings: lines separated by semicolons, segments by commas, each
// of 1, 4 or 5 numbers relative to those before.
func (m *sourceMap) decode() bool {
	if m.Mappings == "" {
		return true
	}
	var s segment
	total := 0
	for line := range strings.SplitSeq(m.Mappings, ";") {
		s.column = 0
		var segments []segment
		for part := range strings.SplitSeq(line, ",") {
			if part == "" {
				continue
			}
			var n [5]int32
			count, ok := decodeVLQ(part, &n)
			if total++; !ok || total > maxMapSegments {
				return false
			}
			s.column += n[0]
			if count < 4 {
				continue
			}
			s.source += n[1]
			s.line += n[2]
			s.sourceColumn += n[3]
			segments = append(segments, s)
		}
		if !slices.IsSortedFunc(segments, func(a, b segment) int { return int(a.column) - int(b.column) }) {
			return false
		}
		m.lines = append(m.lines, segments)
	}
	return true
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// decodeVLQ decodes up to 5 numbers.
func decodeVLQ(s string, n *[5]int32) (count int, ok bool) {
	for len(s) > 0 {
		if count == len(n) {
			return count, false
		}
		var v uint64
		for shift := 0; ; shift += 5 {
			if len(s) == 0 || shift > 30 {
				return count, false
			}
			d := strings.IndexByte(base64Digits, s[0])
			if d < 0 {
				return count, false
			}
			s = s[1:]
			v |= uint64(d&31) << shift
			if d&32 == 0 {
				break
			}
		}
		if n[count] = int32(v >> 1); v&1 != 0 {
			n[count] = -n[count]
		}
		count++
	}
	return count, true
}
