package sandbox

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/runnelhq/runnel"
)

func messages(l *logs) []string {
	var m []string
	for _, line := range l.lines {
		m = append(m, line.Message)
	}
	return m
}

func TestLogsSplitAStreamIntoLines(t *testing.T) {
	t.Parallel()
	var l logs
	first := time.Now()
	l.write(first, []byte("one\ntw"))
	l.write(first.Add(time.Second), []byte("o\n\r\nthree"))
	l.flush()
	l.flush()
	if got := strings.Join(messages(&l), "|"); got != "one|two||three" {
		t.Errorf("lines are %q", got)
	}
	if !l.lines[1].T.Equal(first) {
		t.Error("a line's time is not when it began")
	}
	if l.reason() != "three" {
		t.Errorf("reason is %q", l.reason())
	}
}

func TestLogsEndWithOneTruncationLine(t *testing.T) {
	t.Parallel()
	for name, fill := range map[string]func(*logs){
		"lines": func(l *logs) {
			for range 10_000 {
				l.add(time.Now(), "info", strings.Repeat("x", 100))
			}
		},
		"empty lines": func(l *logs) { l.write(time.Now(), []byte(strings.Repeat("\n", 1<<20))) },
		"one line": func(l *logs) {
			for range 100 {
				l.write(time.Now(), []byte(strings.Repeat("x", 64<<10)))
			}
			l.flush()
		},
		"one message":           func(l *logs) { l.add(time.Now(), "info", strings.Repeat("x", runnel.MaxLogSize)) },
		"cleaning makes longer": func(l *logs) { l.add(time.Now(), "info", strings.Repeat("a\xff", runnel.MaxLogSize/2-100)) },
	} {
		t.Run(name, func(t *testing.T) {
			var l logs
			fill(&l)
			fill(&l)
			truncations, size := 0, 0
			for _, line := range l.lines {
				if strings.HasPrefix(line.Message, "logs truncated") {
					truncations++
				} else {
					size += len(line.Message)
				}
			}
			if truncations != 1 || !strings.HasPrefix(l.lines[len(l.lines)-1].Message, "logs truncated") {
				t.Errorf("%d truncation lines", truncations)
			}
			if size > runnel.MaxLogSize {
				t.Errorf("%d bytes of messages", size)
			}
			if len(l.lines) > runnel.MaxLogSize/logLineCost+1 {
				t.Errorf("%d lines", len(l.lines))
			}
			if len(l.partial) > runnel.MaxLogSize+1 {
				t.Errorf("%d bytes are kept of a line", len(l.partial))
			}
		})
	}
}

func TestLogsKeepTheReasonBeyondTheLimit(t *testing.T) {
	t.Parallel()
	var l logs
	l.write(time.Now(), []byte(strings.Repeat("noise\n", 100_000)))
	l.write(time.Now(), []byte("the reason\n"))
	if l.reason() != "the reason" {
		t.Errorf("reason is %q", l.reason())
	}
}

func FuzzLogs(f *testing.F) {
	f.Add([]byte("a\nb"), "message")
	f.Add([]byte("\xff\n\x00\n\xc3"), "\x00\xff")
	f.Add([]byte(strings.Repeat("\n", 5000)), strings.Repeat("\xff", 1000))
	f.Fuzz(func(t *testing.T, stream []byte, message string) {
		var l logs
		l.write(time.Now(), stream)
		l.add(time.Now(), "warn", message)
		l.write(time.Now(), stream)
		l.flush()
		size := 0
		for _, line := range l.lines {
			size += len(line.Message) + logLineCost
			if !utf8.ValidString(line.Message) || strings.ContainsRune(line.Message, 0) {
				t.Fatalf("Postgres cannot store %q", line.Message)
			}
		}
		if size > runnel.MaxLogSize+1024 {
			t.Fatalf("%d bytes of logs", size)
		}
	})
}

func TestCrashesAreNamed(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"panic: no such order": true, "fatal error: all goroutines are asleep": true,
		"thread 'main' panicked at 'no such order', src/main.rs:1:1": true,
		"thread 'main' started": false, "no panic: all is well": false, "": false,
	} {
		if namesCrash(line) != want {
			t.Errorf("%q: %v", line, !want)
		}
	}
}
