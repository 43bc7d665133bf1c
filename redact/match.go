package redact

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
)

// span is a half-open range of bytes.
type span struct{ from, to int }

// merge sorts spans and joins those that overlap or touch.
func merge(spans []span) []span {
	if len(spans) < 2 {
		return spans
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	out := spans[:1]
	for _, s := range spans[1:] {
		if last := &out[len(out)-1]; s.from <= last.to {
			last.to = max(last.to, s.to)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// replace returns text with Mask in place of each of spans.
func replace[T string | []byte](text T, spans []span) []byte {
	out := make([]byte, 0, len(text)+len(spans)*len(Mask))
	at := 0
	for _, s := range spans {
		out = append(out, text[at:s.from]...)
		out = append(out, Mask...)
		at = s.to
	}
	return append(out, text[at:]...)
}

// window is how many bytes of a text decide whether a pattern may start there.
// No pattern is shorter.
const window = MinLength

// matcher finds many patterns in one pass over a text. The time it takes is
// linear in the text, whatever the patterns: almost every position is ruled out
// by the window of bytes that begins there, and from the others an Aho-Corasick
// automaton runs until no window is left to extend. The automaton is built when
// a pattern's first window is seen for the first time, which for most
// invocations is never.
type matcher struct {
	patterns []pattern
	shortest int      // length of the shortest pattern
	windows  []uint64 // the patterns' first window bytes, sorted
	filter   []uint64 // bit set of their hashes
	shift    int      // from a hash to a bit's number
	machine  func() *automaton
}

func newMatcher(patterns []pattern) matcher {
	if len(patterns) == 0 {
		return matcher{}
	}
	// With 64 bits per pattern about one position in 64 passes by mistake.
	size := bits.Len(uint(len(patterns) - 1))
	m := matcher{
		patterns: patterns,
		shortest: len(patterns[0].text),
		windows:  make([]uint64, 0, len(patterns)),
		filter:   make([]uint64, 1<<size),
		shift:    64 - size - 6,
		machine:  sync.OnceValue(func() *automaton { return newAutomaton(patterns) }),
	}
	for _, p := range patterns {
		m.shortest = min(m.shortest, len(p.text))
		w := binary.LittleEndian.Uint64([]byte(p.text[:window]))
		m.windows = append(m.windows, w)
		bit := hash(w) >> m.shift
		m.filter[bit/64] |= 1 << (bit % 64)
	}
	slices.Sort(m.windows)
	return m
}

func hash(w uint64) uint64 { return w * 0x9e3779b97f4a7c15 } // Fibonacci hashing

func (m *matcher) empty() bool { return len(m.patterns) == 0 }

// in appends to found where patterns are in v, in terms of v's source.
func (m *matcher) in(v view, found []span) []span {
	text := v.text
	var here []span
	for i := 0; i+window <= len(text); {
		w := binary.LittleEndian.Uint64(text[i:])
		bit := hash(w) >> m.shift
		if m.filter[bit/64]&(1<<(bit%64)) == 0 {
			i++
		} else if _, ok := slices.BinarySearch(m.windows, w); !ok {
			i++
		} else {
			i, here = m.walk(text, i, here)
		}
	}
	for _, s := range merge(here) {
		found = append(found, v.source(s))
	}
	return found
}

// walk runs the automaton from position from for as long as some pattern's
// first window bytes have been seen. It adds what it finds and returns where to
// go on: the earliest position at which a pattern may still start.
func (m *matcher) walk(text []byte, from int, found []span) (int, []span) {
	a := m.machine()
	state := int32(0)
	for at := from; at < len(text); {
		state = a.next(state, text[at])
		at++
		if p := a.match[state]; p >= 0 {
			s := m.patterns[p].span(text, at)
			if n := len(found); n > 0 && found[n-1].from <= s.from && s.from <= found[n-1].to {
				found[n-1].to = max(found[n-1].to, s.to) // keeps the list short
			} else {
				found = append(found, s)
			}
		}
		if depth := int(a.depth[state]); depth < window && at-depth > from {
			return at - depth, found
		}
	}
	return len(text), found
}

// span is the range of p, which ends at to, with the base64 characters beside
// it that belong to it.
func (p pattern) span(text []byte, to int) span {
	s := span{to - len(p.text), to}
	if p.before && s.from > 0 && inAlphabet(text[s.from-1]) {
		s.from--
	}
	if p.after && s.to < len(text) && inAlphabet(text[s.to]) {
		s.to++
	}
	if p.before || p.after {
		for n := 0; n < 2 && s.to < len(text) && text[s.to] == '='; n++ {
			s.to++
		}
	}
	return s
}

func inAlphabet(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || bytes.IndexByte([]byte("+/-_"), c) >= 0
}

// automaton is that of Aho and Corasick. Most of its states have one successor,
// which is the state numbered next; the others are in branches.
type automaton struct {
	label    []byte  // the byte that leads into a state
	chain    []bool  // whether a state is the successor of the one before it
	depth    []int32 // length of the text a state stands for
	fail     []int32 // the state of its longest proper suffix that is a state
	match    []int32 // the longest pattern that is a suffix of it, or -1
	branches map[int64]int32
}

func newAutomaton(patterns []pattern) *automaton {
	size := 1
	for _, p := range patterns {
		size += len(p.text)
	}
	a := &automaton{
		label:    make([]byte, 1, size),
		chain:    make([]bool, 1, size),
		depth:    make([]int32, 1, size),
		match:    make([]int32, 1, size),
		branches: make(map[int64]int32, len(patterns)),
	}
	a.match[0] = -1
	parent := make([]int32, 1, size)
	for i, p := range patterns {
		state := int32(0)
		for _, c := range []byte(p.text) {
			to, ok := a.child(state, c)
			if !ok {
				to = int32(len(a.label))
				a.label = append(a.label, c)
				a.chain = append(a.chain, to == state+1)
				a.depth = append(a.depth, a.depth[state]+1)
				a.match = append(a.match, -1)
				parent = append(parent, state)
				if to != state+1 {
					a.branches[int64(state)<<8|int64(c)] = to
				}
			}
			state = to
		}
		a.match[state] = int32(i)
	}
	a.link(parent)
	return a
}

// link finds the suffix links, states of smaller depth first.
func (a *automaton) link(parent []int32) {
	n := len(a.label)
	a.fail = make([]int32, n)
	shallower := make([]int, slices.Max(a.depth)+2) // per depth, how many states come before
	for _, d := range a.depth {
		shallower[d+1]++
	}
	for d := 1; d < len(shallower); d++ {
		shallower[d] += shallower[d-1]
	}
	order := make([]int32, n)
	for state, d := range a.depth {
		order[shallower[d]] = int32(state)
		shallower[d]++
	}
	for _, state := range order {
		if a.depth[state] > 1 {
			a.fail[state] = a.next(a.fail[parent[state]], a.label[state])
		}
		if a.match[state] < 0 {
			a.match[state] = a.match[a.fail[state]]
		}
	}
}

func (a *automaton) child(state int32, c byte) (int32, bool) {
	if to := int(state) + 1; to < len(a.label) && a.chain[to] && a.label[to] == c {
		return int32(to), true
	}
	to, ok := a.branches[int64(state)<<8|int64(c)]
	return to, ok
}

func (a *automaton) next(state int32, c byte) int32 {
	for {
		if to, ok := a.child(state, c); ok {
			return to
		}
		if state == 0 {
			return 0
		}
		state = a.fail[state]
	}
}
