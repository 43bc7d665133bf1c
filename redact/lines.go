package redact

import (
	"slices"
	"strings"
)

// Lines returns lines with every secret replaced by Mask, also one that is
// split across consecutive lines: then each of its parts becomes a Mask. The
// argument is not changed; there are as many lines as before.
func (r *Redactor) Lines(lines []string) []string {
	out := slices.Clone(lines)
	// Joined by line breaks, a value of several lines is found as it is; joined
	// by nothing, one that was cut.
	cuts := make([][]span, len(lines))
	hit := false
	for _, separator := range []string{"\n", ""} {
		line, start := 0, 0 // start is where line begins in the joined text
		for _, s := range r.spans([]byte(strings.Join(lines, separator))) {
			hit = true
			for line < len(lines) && start < s.to {
				end := start + len(lines[line])
				if from, to := max(s.from, start), min(s.to, end); from < to {
					cuts[line] = append(cuts[line], span{from - start, to - start})
				}
				if s.to <= end {
					break // the next span may be in this line too
				}
				start = end + len(separator)
				line++
			}
		}
	}
	if !hit {
		return out
	}
	for i, spans := range cuts {
		if len(spans) > 0 {
			out[i] = string(replace(lines[i], merge(spans)))
		}
	}
	return out
}
