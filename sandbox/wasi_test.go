package sandbox

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/wasmtest"
)

// hostCalls is an instance through which a test calls host functions with any
// arguments, from real guest code. It has one page of memory.
type hostCalls struct {
	t        testing.TB
	inv      *invocation
	ctx      context.Context
	instance api.Module
}

func newHostCalls(t testing.TB, call Call) *hostCalls {
	return newCalls(t, call, Command, slices.Concat(wasiFunctions(), runnelFunctions()))
}

// newPluginCalls is newHostCalls of an Extism plug-in.
func newPluginCalls(t testing.TB, call Call) *hostCalls {
	return newCalls(t, call, Extism, extismFunctions())
}

func newCalls(t testing.TB, call Call, kind Kind, functions []hostFunction) *hostCalls {
	t.Helper()
	r := newRuntime(t, Config{})
	g := wasmtest.New()
	for _, f := range functions {
		ft := f.meterType()
		g.ImportFunc(f.module, f.name, g.Type([]byte(ft.Params), []byte(ft.Results)))
	}
	for i, f := range functions {
		ft := f.meterType()
		b := body()
		for p := range ft.Params {
			b.LocalGet(uint32(p))
		}
		g.ExportFunc(f.name, g.Func(g.Type([]byte(ft.Params), []byte(ft.Results)), nil, b.Call(uint32(i)).End()))
	}
	g.ExportFunc("handler", g.Func(g.Type(nil, nil), nil, body().End()))
	wasm := newGuestFrom(g)
	m, err := r.compile(context.Background(), wasm, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if call.Memory == 0 {
		call.Memory = runnel.MinMemory
	}
	if call.Timeout == 0 {
		call.Timeout = time.Minute
	}
	h := &hostCalls{t: t, inv: r.newInvocation(context.Background(), call, m)}
	if m.kind != kind {
		t.Fatalf("the module is a %s", m.kind)
	}
	if kind == Extism {
		h.inv.startPlugin()
	}
	h.ctx = h.inv.context()
	h.instance, err = r.wazero.InstantiateModule(h.ctx, m.compiled, moduleConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.instance.Close(context.Background())
		h.inv.memory.Free()
		if kind == Extism {
			h.inv.plugin.blocks.memory.Free()
		}
		_ = m.compiled.Close(context.Background())
	})
	return h
}

// newGuestFrom finishes a module as a command with one page of memory.
func newGuestFrom(g *wasmtest.Module) []byte { return guest{Module: g}.command(nil, body()) }

// call calls a host function; the result is 0 for one that has none.
func (h *hostCalls) call(name string, args ...uint64) (uint32, error) {
	h.t.Helper()
	results, err := h.instance.ExportedFunction(name).Call(h.ctx, args...)
	if err != nil {
		return 0, h.inv.failure(err)
	}
	if len(results) == 0 {
		return 0, nil
	}
	return uint32(results[0]), nil
}

// errno calls a WASI function that must return.
func (h *hostCalls) errno(name string, args ...uint64) errno {
	h.t.Helper()
	n, err := h.call(name, args...)
	if err != nil {
		h.t.Fatalf("%s%v: %v", name, args, err)
	}
	return errno(n)
}

func (h *hostCalls) write(ptr int, b []byte) { copy(h.inv.memory.bytes[ptr:], b) }

func (h *hostCalls) u32(ptr int) uint32 { return binary.LittleEndian.Uint32(h.inv.memory.bytes[ptr:]) }

func (h *hostCalls) put(ptr int, words ...uint32) {
	for i, w := range words {
		binary.LittleEndian.PutUint32(h.inv.memory.bytes[ptr+4*i:], w)
	}
}

func TestWASIIsPreview1(t *testing.T) {
	t.Parallel()
	r := wazero.NewRuntime(context.Background())
	defer r.Close(context.Background())
	theirs, err := wasi_snapshot_preview1.NewBuilder(r).Compile(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := theirs.ExportedFunctions()
	got := map[string]hostFunction{}
	for _, f := range wasiFunctions() {
		got[f.name] = f
		w := want[f.name]
		if w == nil {
			t.Errorf("%s is not a function of preview 1", f.name)
			continue
		}
		params, results := f.types()
		if !slices.Equal(params, w.ParamTypes()) || !slices.Equal(results, w.ResultTypes()) {
			t.Errorf("%s is %s, want %v -> %v", f.name, f.meterType(), w.ParamTypes(), w.ResultTypes())
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing, so programs that import it do not link", name)
		}
	}
}

func TestFUNC_I1_NoImportBeyondWASIRunnelAndExtism(t *testing.T) {
	t.Parallel()
	for _, f := range hostFunctions() {
		if !slices.Contains([]string{"wasi_snapshot_preview1", "runnel", "extism:host/env", "extism:host/user"}, f.module) {
			t.Errorf("guests can import %s.%s", f.module, f.name)
		}
	}
}

// pointers are arguments that a hostile guest passes: in memory, at its end, past
// it, and those whose sum wraps around.
var pointers = []uint64{0, 8, 65532, 65535, 65536, 1 << 31, 1<<32 - 1}

func TestFUNC_S2_S3_NothingOpensAndNothingCrashes(t *testing.T) {
	directory := t.TempDir()
	t.Chdir(directory)
	h := newHostCalls(t, Call{Event: []byte("{}"), Env: map[string]string{"A": "b"}})
	before := openFiles(t)

	// What succeeds on a standard stream. All of it is about that stream.
	streams := []string{"fd_close", "fd_read", "fd_write", "fd_fdstat_get", "fd_fdstat_set_flags", "fd_filestat_get"}
	calls := 0
	for _, f := range wasiFunctions() {
		if !strings.HasPrefix(f.name, "fd_") && !strings.HasPrefix(f.name, "path_") && !strings.HasPrefix(f.name, "sock_") {
			continue
		}
		for fd := range uint64(17) {
			for _, p := range pointers {
				for _, q := range pointers {
					h.inv.closed = [3]bool{}
					h.inv.logs = logs{}
					h.inv.stdout = nil
					args := make([]uint64, len(f.params))
					for i, typ := range f.params {
						args[i] = p
						if i%2 == 0 {
							args[i] = q
						}
						if typ == 'I' {
							args[i] = p<<32 | q
						}
					}
					// The descriptor comes first, and second in the calls with two.
					args[0] = fd
					switch f.name {
					case "path_symlink":
						args[2] = fd
					case "path_link":
						args[4] = fd
					case "path_rename":
						args[3] = fd
					}
					e := h.errno(f.name, args...)
					calls++
					switch {
					case e != success:
					case fd > 2 || !slices.Contains(streams, f.name):
						t.Fatalf("%s%v succeeded", f.name, args)
					}
					if fd > 2 && e != errBadf && f.name != "path_symlink" {
						t.Fatalf("%s%v is errno %d, want BADF", f.name, args, e)
					}
				}
			}
		}
	}
	t.Logf("%d calls", calls)
	if after := openFiles(t); after != before {
		t.Errorf("%d files are open, %d were before", after, before)
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 0 {
		t.Errorf("the working directory has %v, %v", entries, err)
	}
}

// openFiles counts the process's descriptors, or is 0 where it cannot.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

func TestFUNC_I1_HostilePointersAreFaults(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{Event: []byte("{}"), Env: map[string]string{"A": "b"}, Timeout: time.Hour})
	outside := uint64(65536)
	for _, c := range []struct {
		name string
		args []uint64
	}{
		{"args_sizes_get", []uint64{outside, 0}},
		{"args_sizes_get", []uint64{0, outside}},
		{"args_get", []uint64{outside, 0}},
		{"args_get", []uint64{0, 65530}},
		{"environ_sizes_get", []uint64{65533, 0}},
		{"environ_get", []uint64{outside, 0}},
		{"environ_get", []uint64{0, 65534}},
		{"clock_res_get", []uint64{0, 65529}},
		{"clock_time_get", []uint64{0, 0, 1<<32 - 1}},
		{"random_get", []uint64{1, 65536}},
		{"random_get", []uint64{1<<32 - 1, 1<<32 - 1}},
		{"fd_read", []uint64{0, outside, 1, 0}},
		{"fd_read", []uint64{0, 60000, 1<<32 - 1, 0}},
		{"fd_write", []uint64{1, 65530, 1, 0}},
		{"fd_write", []uint64{2, 0, 0, outside}},
		{"fd_fdstat_get", []uint64{1, 65513}},
		{"fd_filestat_get", []uint64{1, 65473}},
		{"poll_oneoff", []uint64{65500, 0, 1, 0}},
		{"poll_oneoff", []uint64{0, 65510, 1, 0}},
		{"poll_oneoff", []uint64{0, 64, 1, 65533}},
	} {
		if e := h.errno(c.name, c.args...); e != errFault {
			t.Errorf("%s%v is errno %d, want FAULT", c.name, c.args, e)
		}
	}
	// The runnel module has no error number: it ends the guest and names the call.
	for _, c := range []struct {
		name string
		args []uint64
	}{
		{"log", []uint64{1, outside, 1}},
		{"env", []uint64{1, 1<<32 - 1}},
	} {
		_, err := h.call(c.name, c.args...)
		wantCode(t, err, runnel.CodeFunctionError)
		if !strings.Contains(err.Error(), "runnel."+c.name) {
			t.Errorf("error %q does not name the call", err)
		}
	}
}

func TestWASIArgumentsAndEnvironment(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{Env: map[string]string{"B": "2", "A": "ü", "EMPTY": ""}})
	const name = "function\x00"
	if e := h.errno("args_sizes_get", 0, 4); e != success || h.u32(0) != 1 || int(h.u32(4)) != len(name) {
		t.Errorf("args_sizes_get: %d, %d, %d", e, h.u32(0), h.u32(4))
	}
	if e := h.errno("args_get", 0, 64); e != success || h.u32(0) != 64 || string(h.inv.memory.bytes[64:64+len(name)]) != name {
		t.Errorf("args_get: %d, %d", e, h.u32(0))
	}
	const want = "A=ü\x00B=2\x00EMPTY=\x00"
	if e := h.errno("environ_sizes_get", 0, 4); e != success || h.u32(0) != 3 || int(h.u32(4)) != len(want) {
		t.Errorf("environ_sizes_get: %d, %d, %d", e, h.u32(0), h.u32(4))
	}
	if e := h.errno("environ_get", 16, 64); e != success {
		t.Errorf("environ_get: %d", e)
	}
	if got := string(h.inv.memory.bytes[64 : 64+len(want)]); got != want {
		t.Errorf("environment is %q, want %q", got, want)
	}
	if h.u32(16) != 64 || h.u32(20) != 64+5 || h.u32(24) != 64+9 {
		t.Errorf("pointers are %d, %d, %d", h.u32(16), h.u32(20), h.u32(24))
	}
}

func TestWASIClocksAreReal(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{})
	read := func(clock uint64) time.Duration {
		if e := h.errno("clock_time_get", clock, 0, 0); e != success {
			t.Fatalf("clock_time_get: %d", e)
		}
		return time.Duration(binary.LittleEndian.Uint64(h.inv.memory.bytes))
	}
	before := time.Now()
	wall := time.Unix(0, int64(read(clockRealtime)))
	if wall.Before(before) || wall.After(time.Now()) {
		t.Errorf("the wall clock shows %v at %v", wall, before)
	}
	first := read(clockMonotonic)
	if first < time.Second || first > time.Hour {
		t.Errorf("the monotonic clock starts at %v", first)
	}
	if second := read(clockMonotonic); second < first {
		t.Errorf("the monotonic clock went from %v to %v", first, second)
	}
	if e := h.errno("clock_time_get", 2, 0, 0); e != errInval {
		t.Errorf("the CPU clock is errno %d", e)
	}
	if e := h.errno("clock_res_get", 1, 0); e != success || h.u32(0) != 1 {
		t.Errorf("clock_res_get: %d, %d", e, h.u32(0))
	}
}

func TestWASIRandomIsRandomAndCharged(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{})
	seen := map[string]bool{}
	for range 100 {
		if e := h.errno("random_get", 0, 16); e != success {
			t.Fatalf("random_get: %d", e)
		}
		seen[string(h.inv.memory.bytes[:16])] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d different values of 100", len(seen))
	}
	before := h.inv.fuel.used
	h.errno("random_get", 0, 65536)
	if charged := h.inv.fuel.used - before; charged < 65536 {
		t.Errorf("64 KB of randomness cost %d fuel", charged)
	}
}

func TestWASIStreams(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{Event: []byte("0123456789")})
	// Two vectors of 4 bytes and one that is empty, at 100, 200 and 0.
	h.put(0, 100, 4, 0, 0, 200, 4)
	if e := h.errno("fd_read", 0, 0, 3, 64); e != success || h.u32(64) != 8 {
		t.Errorf("fd_read: %d, %d bytes", e, h.u32(64))
	}
	if got := string(h.inv.memory.bytes[100:104]) + string(h.inv.memory.bytes[200:204]); got != "01234567" {
		t.Errorf("read %q", got)
	}
	h.errno("fd_read", 0, 0, 3, 64)
	if n := h.u32(64); n != 2 {
		t.Errorf("then %d bytes", n)
	}
	if e := h.errno("fd_read", 0, 0, 3, 64); e != success || h.u32(64) != 0 {
		t.Errorf("at the end: %d, %d bytes", e, h.u32(64))
	}
	h.write(100, []byte("abcd"))
	h.write(200, []byte("ef\ng"))
	for _, fd := range []uint64{1, 2} {
		if e := h.errno("fd_write", fd, 0, 3, 64); e != success || h.u32(64) != 8 {
			t.Errorf("fd_write(%d): %d, %d bytes", fd, e, h.u32(64))
		}
	}
	if got := string(h.inv.stdout); got != "abcdef\ng" {
		t.Errorf("stdout is %q", got)
	}
	h.inv.logs.flush()
	if l := h.inv.logs.lines; len(l) != 2 || l[0].Message != "abcdef" || l[1].Message != "g" || l[0].Level != "info" {
		t.Errorf("logs are %+v", l)
	}
	for _, c := range []struct {
		name string
		fd   uint64
		want errno
	}{
		{"fd_read", 1, errBadf}, {"fd_read", 3, errBadf}, {"fd_write", 0, errBadf}, {"fd_write", 3, errBadf},
	} {
		if e := h.errno(c.name, c.fd, 0, 1, 64); e != c.want {
			t.Errorf("%s(%d) is errno %d, want %d", c.name, c.fd, e, c.want)
		}
	}
	for fd, rights := range map[uint64]uint64{0: rightRead | rightPoll, 1: rightWrite | rightPoll} {
		h.errno("fd_fdstat_get", fd, 512)
		if got := binary.LittleEndian.Uint64(h.inv.memory.bytes[520:]); h.inv.memory.bytes[512] != 0 || got != rights {
			t.Errorf("descriptor %d has type %d and rights %#x", fd, h.inv.memory.bytes[512], got)
		}
	}
	if e := h.errno("fd_close", 1); e != success {
		t.Errorf("fd_close: %d", e)
	}
	if e := h.errno("fd_write", 1, 0, 1, 64); e != errBadf {
		t.Errorf("a closed stream is errno %d", e)
	}
	if e := h.errno("fd_close", 1); e != errBadf {
		t.Errorf("closing again is errno %d", e)
	}
}

func TestWASIWritesAreCutNotRefused(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{Memory: 4 << 20})
	if _, err := h.instance.Memory().Grow(40); !err {
		t.Fatal("no memory")
	}
	h.put(0, 1024, 2<<20)
	if e := h.errno("fd_write", 1, 0, 1, 64); e != success || h.u32(64) != maxWrite {
		t.Errorf("a large write: %d, %d bytes", e, h.u32(64))
	}
	// More vectors than the host looks at, all of one byte, the count itself huge.
	h.inv.stdout = nil
	for i := range 2000 {
		h.put(65536+8*i, 1024, 1)
	}
	if e := h.errno("fd_write", 1, 65536, 2000, 64); e != success || h.u32(64) != maxVectors || len(h.inv.stdout) != maxVectors {
		t.Errorf("many vectors: %d, %d bytes", e, h.u32(64))
	}
}

func TestResultOverTheLimitEndsTheGuest(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{})
	h.put(0, 0, 65536)
	writes := 0
	var err error
	for err == nil && writes < 200 {
		_, err = h.call("fd_write", 1, 0, 1, 32)
		writes++
	}
	wantCode(t, err, runnel.CodeFunctionError)
	if !strings.Contains(err.Error(), "6 MB") || writes != 97 {
		t.Errorf("write %d of 64 KB: %v", writes, err)
	}
}

// subscription encodes one for poll_oneoff.
func subscription(userdata uint64, tag byte, id uint32, timeout uint64, flags uint16) []byte {
	b := make([]byte, 48)
	binary.LittleEndian.PutUint64(b, userdata)
	b[8] = tag
	binary.LittleEndian.PutUint32(b[16:], id)
	binary.LittleEndian.PutUint64(b[24:], timeout)
	binary.LittleEndian.PutUint16(b[40:], flags)
	return b
}

type pollEvent struct {
	userdata uint64
	errno    errno
	tag      byte
	bytes    uint64
	hangup   bool
}

// poll writes subscriptions at 0, events at 32768 and the count at 65532.
func (h *hostCalls) poll(subscriptions ...[]byte) (events []pollEvent, e errno) {
	h.t.Helper()
	h.write(0, slices.Concat(subscriptions...))
	e = h.errno("poll_oneoff", 0, 32768, uint64(len(subscriptions)), 65532)
	if e != success {
		return nil, e
	}
	for i := range h.u32(65532) {
		b := h.inv.memory.bytes[32768+32*i:]
		events = append(events, pollEvent{binary.LittleEndian.Uint64(b), errno(binary.LittleEndian.Uint16(b[8:])), b[10],
			binary.LittleEndian.Uint64(b[16:]), b[24] == 1})
	}
	return events, success
}

func TestPollOneoff(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{Event: []byte("12345")})
	const hour = uint64(time.Hour)
	soon := uint64(10 * time.Millisecond)
	monotonic := func(d time.Duration) uint64 { return uint64(h.inv.monotonic(time.Now()) + d) }
	for name, c := range map[string]struct {
		in   [][]byte
		want []pollEvent
	}{
		"the first clock ends the wait": {
			[][]byte{subscription(1, 0, 1, hour, 0), subscription(2, 0, 0, soon, 0)}, []pollEvent{{2, success, 0, 0, false}}},
		"clocks due together are all reported": {
			[][]byte{subscription(1, 0, 1, 0, 0), subscription(2, 0, 0, 0, 0)}, []pollEvent{{1, success, 0, 0, false}, {2, success, 0, 0, false}}},
		"an absolute monotonic time": {
			[][]byte{subscription(7, 0, 1, monotonic(10*time.Millisecond), 1)}, []pollEvent{{7, success, 0, 0, false}}},
		"an absolute wall time": {
			[][]byte{subscription(7, 0, 0, uint64(time.Now().Add(10*time.Millisecond).UnixNano()), 1)}, []pollEvent{{7, success, 0, 0, false}}},
		"an absolute time in the past": {
			[][]byte{subscription(7, 0, 1, 1, 1), subscription(8, 0, 1, hour, 0)}, []pollEvent{{7, success, 0, 0, false}}},
		"streams are ready at once": {
			[][]byte{subscription(1, 0, 1, hour, 0), subscription(2, 1, 0, 0, 0), subscription(3, 2, 1, 0, 0), subscription(4, 2, 2, 0, 0)},
			[]pollEvent{{2, success, 1, 5, false}, {3, success, 2, maxWrite, false}, {4, success, 2, maxWrite, false}}},
		"a descriptor that does not exist": {
			[][]byte{subscription(1, 1, 3, 0, 0), subscription(2, 2, 0, 0, 0), subscription(3, 1, 1<<31, 0, 0)},
			[]pollEvent{{1, errBadf, 1, 0, false}, {2, errBadf, 2, 0, false}, {3, errBadf, 1, 0, false}}},
		"a clock that does not exist": {
			[][]byte{subscription(1, 0, 9, soon, 0), subscription(2, 0, 1, soon, 8)},
			[]pollEvent{{1, errInval, 0, 0, false}, {2, errInval, 0, 0, false}}},
	} {
		if got, e := h.poll(c.in...); e != success || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, errno %d", name, got, e)
		}
	}
	h.inv.stdin = nil
	if got, _ := h.poll(subscription(1, 1, 0, 0, 0)); len(got) != 1 || !got[0].hangup {
		t.Errorf("at the end of the event: %+v", got)
	}
	if _, e := h.poll(subscription(1, 3, 0, 0, 0)); e != errInval {
		t.Errorf("an unknown subscription is errno %d", e)
	}
	for _, count := range []uint64{0, maxSubscriptions + 1, 1<<32 - 1} {
		if e := h.errno("poll_oneoff", 0, 32768, count, 65532); e != errInval {
			t.Errorf("%d subscriptions are errno %d", count, e)
		}
	}
	// Events over subscriptions: userdata must come from what was subscribed.
	h.write(0, slices.Concat(subscription(1, 0, 1, 0, 0), subscription(2, 0, 1, 0, 0)))
	if e := h.errno("poll_oneoff", 0, 0, 2, 1024); e != success || h.u32(0) != 1 || h.u32(32) != 2 {
		t.Errorf("overlapping events: errno %d, userdata %d and %d", e, h.u32(0), h.u32(32))
	}
}

func TestPollOneoffNeverSleepsPastTheDeadline(t *testing.T) {
	t.Parallel()
	h := newHostCalls(t, Call{Timeout: 50 * time.Millisecond})
	h.write(0, subscription(1, 0, 1, 1<<64-1, 0))
	_, err := h.call("poll_oneoff", 0, 64, 1, 128)
	wantCode(t, err, runnel.CodeTimeout)
	if late := time.Since(h.inv.deadline); late < 0 || late > slack {
		t.Errorf("ended %v after the deadline", late)
	}
}

func FuzzWASI(f *testing.F) {
	h := newHostCalls(f, Call{Event: []byte("{}"), Env: map[string]string{"A": "b"}, Timeout: time.Hour})
	functions := slices.Concat(wasiFunctions(), runnelFunctions())
	for i := range functions {
		f.Add(byte(i), uint64(1), uint64(0), uint64(65535), uint64(1<<32-1), []byte{0, 0, 1, 0, 255, 255, 255, 255})
	}
	f.Fuzz(func(t *testing.T, which byte, a, b, c, d uint64, memory []byte) {
		fn := functions[int(which)%len(functions)]
		h.inv.logs, h.inv.stdout, h.inv.closed = logs{}, nil, [3]bool{}
		h.inv.deadline = time.Now().Add(20 * time.Millisecond)
		h.write(0, memory)
		args := []uint64{a, b, c, d, a ^ b, c ^ d, a, b, c}[:len(fn.params)]
		_, err := h.instance.ExportedFunction(fn.name).Call(h.ctx, args...)
		if err == nil {
			return
		}
		var stopped *runnel.Error
		if errors.As(err, &stopped) && stopped.Code != runnel.CodeInternal || errors.As(err, new(exit)) {
			return
		}
		t.Fatalf("%s%v: %v", fn.name, args, err)
	})
}
