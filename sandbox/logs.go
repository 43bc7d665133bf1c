package sandbox

import (
	"bytes"
	"strings"
	"time"

	"github.com/runnelhq/runnel"
)

// logLineCost is what a line costs towards runnel.MaxLogSize besides its message:
// about what its time and level take in the stored JSON. It bounds empty lines.
const logLineCost = 64

// lastLineSize is how much of a line is kept for the error of a failed command.
const lastLineSize = 300

// namesCrash tells how Go, TinyGo and Rust begin the line that says why they end.
func namesCrash(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") ||
		strings.HasPrefix(line, "thread '") && strings.Contains(line, "' panicked at ")
}

// logs collects what a guest logs, up to runnel.MaxLogSize and then one line that
// says so. The zero value is ready.
type logs struct {
	lines     []runnel.LogLine
	size      int
	truncated bool
	partial   []byte    // a stream's line that has no newline yet
	since     time.Time // when partial began
	last      string    // start of the last line written to a stream that is not blank
	panic     string    // start of the first line that names a crash
}

// add records one message. Trailing newlines are dropped, inner ones are kept.
func (l *logs) add(t time.Time, level, message string) {
	if l.truncated {
		return
	}
	room := runnel.MaxLogSize - l.size - logLineCost
	// Cleaning can triple the length, so cut before it and check again after it.
	if len(message) <= room {
		message = strings.TrimRight(clean(message), "\r\n")
	}
	if len(message) > room {
		l.truncated = true
		l.lines = append(l.lines, runnel.LogLine{T: t, Level: "warn",
			Message: "logs truncated: an invocation keeps " + byteSize(runnel.MaxLogSize) + " of logs, and this one wrote more"})
		return
	}
	l.size += len(message) + logLineCost
	l.lines = append(l.lines, runnel.LogLine{T: t, Level: level, Message: message})
}

// write takes bytes of a stream and adds its complete lines at level info.
func (l *logs) write(t time.Time, b []byte) {
	for len(b) > 0 {
		line, rest, complete := bytes.Cut(b, []byte{'\n'})
		if len(l.partial) == 0 {
			l.since = t
		}
		// A line over the limit is dropped anyway: keep just enough to know that.
		l.partial = append(l.partial, line[:min(len(line), runnel.MaxLogSize+1-len(l.partial))]...)
		if !complete {
			return
		}
		l.flush()
		b = rest
	}
}

// flush ends the stream's current line.
func (l *logs) flush() {
	if l.since.IsZero() {
		return
	}
	line := l.partial
	if start := excerpt(string(line[:min(len(line), lastLineSize+1)]), lastLineSize); strings.TrimSpace(start) != "" {
		l.last = start
		if l.panic == "" && namesCrash(start) {
			l.panic = start
		}
	}
	l.add(l.since, "info", string(line))
	l.partial, l.since = l.partial[:0], time.Time{}
}

// reason is the logged line that most likely says why a command failed: the line
// that names a crash (Go writes a stack after it), else the last one.
func (l *logs) reason() string {
	if l.panic != "" {
		return l.panic
	}
	return strings.TrimSpace(l.last)
}
