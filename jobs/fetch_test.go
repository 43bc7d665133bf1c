package jobs

import (
	"testing"
	"time"
)

// usage is what a fetch would be told now.
func usage(f *fetcher, now time.Time) map[string]float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advance(now)
	names, used := f.busiest()
	m := map[string]float64{}
	for i, name := range names {
		m[name] = used[i]
	}
	return m
}

func TestFunctionsThatUsedLessComeFirst(t *testing.T) {
	f := newFetcher(nil)
	now := f.at
	f.runs("long", 1, now)
	f.runs("low", 4, now)
	if m := usage(f, now.Add(time.Second)); m["long"] != 1 || m["low"] != 8 || len(m) != 2 {
		t.Errorf("after a second: %v", m)
	}
	f.running = map[string]float64{}
	if m := usage(f, now.Add(11*time.Second)); m["long"] < 0.49 || m["long"] > 0.51 {
		t.Errorf("after a half-life: %v", m)
	}
	if m := usage(f, now.Add(time.Hour)); len(m) != 0 {
		t.Errorf("after an hour: %v", m)
	}
	for range 3 {
		f.runs("short", 1, f.at)()
	}
	if m := usage(f, f.at); m["short"] < 3*usedLeast || len(f.running) != 0 {
		t.Errorf("attempts that took no time: %v, running %v", m, f.running)
	}
}

func TestFetchIsToldOfTheBusiestOnly(t *testing.T) {
	f := newFetcher(nil)
	for i := range 3 * usedMost {
		f.used[string(rune('a'+i))] = float64(i)
	}
	names, used := f.busiest()
	if len(names) != usedMost || used[0] != 3*usedMost-1 || used[usedMost-1] != 2*usedMost {
		t.Errorf("%d functions, from %v to %v", len(names), used[0], used[len(used)-1])
	}
}

func TestLooks(t *testing.T) {
	f := newFetcher(nil)
	f.mu.Lock()
	f.lookIn(time.Millisecond)
	f.mu.Unlock()
	<-f.look
	f.mu.Lock()
	f.lookIn(time.Hour) // River looks before that by itself
	if f.timer != nil {
		t.Error("a timer for later than River's own poll")
	}
	f.lookIn(100 * time.Millisecond)
	f.mu.Unlock()
	f.stop()
	select {
	case <-f.look:
		t.Error("a look after the end")
	case <-time.After(150 * time.Millisecond):
	}
}
