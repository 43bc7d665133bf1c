package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// prefer is what of RFC 7240 a caller may ask for.
type prefer struct {
	Async bool          // respond-async: do not wait at all
	Wait  time.Duration // wait=N seconds, then 202; negative when not asked for
}

// parsePrefer reads the Prefer headers. As the RFC has it, preferences that are
// unknown or make no sense are ignored, and the first of a kind counts. Where both
// are asked for, respond-async is honoured: it promises the least.
func parsePrefer(h http.Header) prefer {
	p := prefer{Wait: -1}
	for _, line := range h.Values("Prefer") {
		for item := range strings.SplitSeq(line, ",") {
			item, _, _ = strings.Cut(item, ";")
			name, value, _ := strings.Cut(item, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				p.Async = true
			case "wait":
				n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
				if err == nil && p.Wait < 0 {
					p.Wait = time.Duration(n) * time.Second
				}
			}
		}
	}
	return p
}
