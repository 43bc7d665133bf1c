package sandbox

import (
	"crypto/rand"
	"encoding/binary"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/runnelhq/runnel"
)

const wasiModule = "wasi_snapshot_preview1"

// errno is a WASI error number.
type errno uint32

const (
	success  errno = 0
	errBadf  errno = 8  // not an open descriptor
	errFault errno = 21 // a pointer outside of memory
	errInval errno = 28
	errNoDir errno = 54 // a path relative to a stream
	errNoSck errno = 57 // a stream is no socket
	errNoSup errno = 58
	errSpipe errno = 70 // a stream cannot seek
	errNoCap errno = 76 // more rights than the descriptor has
)

// Rights of the standard streams.
const (
	rightRead  = 1 << 1
	rightWrite = 1 << 6
	rightPoll  = 1 << 27
)

// Bounds of one call. A caller of readv and writev handles a short count, so the
// first two cut rather than fail.
const (
	maxVectors       = 1024
	maxWrite         = 1 << 20
	maxSubscriptions = 1024
	randomChunk      = 64 << 10
)

// wasiFunctions is WASI preview 1 with the three standard streams and nothing else.
// All of its functions exist, so that programs link; whatever names a file, a
// directory or a socket answers with an error and has no code behind it.
func wasiFunctions() []hostFunction {
	wasi := func(name, params string, call func(*invocation, []uint64) errno) hostFunction {
		return hostFunction{module: wasiModule, name: name, params: params, results: "i", call: func(inv *invocation, p []uint64) uint64 {
			return uint64(call(inv, p))
		}}
	}
	// stream is a function of a descriptor that the standard streams do not have.
	stream := func(name, params string, e errno) hostFunction {
		return wasi(name, params, func(inv *invocation, p []uint64) errno { return inv.refuse(p[0], e) })
	}
	// path is a function of paths; fds says which parameters are directories.
	path := func(name, params string, fds ...int) hostFunction {
		return wasi(name, params, func(inv *invocation, p []uint64) errno {
			for _, i := range fds {
				if e := inv.refuse(p[i], success); e != success {
					return e
				}
			}
			return errNoDir
		})
	}
	return []hostFunction{
		wasi("args_get", "ii", func(inv *invocation, p []uint64) errno { return inv.putStrings(p, arguments) }),
		wasi("args_sizes_get", "ii", func(inv *invocation, p []uint64) errno {
			return inv.putSizes(p, len(arguments), len(arguments[0])+1)
		}),
		wasi("environ_get", "ii", (*invocation).environGet),
		wasi("environ_sizes_get", "ii", (*invocation).environSizesGet),
		wasi("clock_res_get", "ii", (*invocation).clockResGet),
		wasi("clock_time_get", "iIi", (*invocation).clockTimeGet),
		wasi("random_get", "ii", (*invocation).randomGet),
		wasi("poll_oneoff", "iiii", (*invocation).pollOneoff),
		wasi("sched_yield", "", func(*invocation, []uint64) errno { runtime.Gosched(); return success }),
		wasi("proc_raise", "i", func(*invocation, []uint64) errno { return errNoSup }),
		{module: wasiModule, name: "proc_exit", params: "i", call: func(_ *invocation, p []uint64) uint64 { panic(exit{uint32(p[0])}) }},

		wasi("fd_close", "i", (*invocation).fdClose),
		wasi("fd_read", "iiii", (*invocation).fdRead),
		wasi("fd_write", "iiii", (*invocation).fdWrite),
		wasi("fd_fdstat_get", "ii", (*invocation).fdFdstatGet),
		wasi("fd_fdstat_set_flags", "ii", (*invocation).fdFdstatSetFlags),
		wasi("fd_filestat_get", "ii", (*invocation).fdFilestatGet),
		stream("fd_fdstat_set_rights", "iII", errNoCap),
		stream("fd_advise", "iIIi", errSpipe),
		stream("fd_allocate", "iII", errSpipe),
		stream("fd_datasync", "i", errInval),
		stream("fd_sync", "i", errInval),
		stream("fd_filestat_set_size", "iI", errInval),
		stream("fd_filestat_set_times", "iIIi", errNoCap),
		stream("fd_pread", "iiiIi", errSpipe),
		stream("fd_pwrite", "iiiIi", errSpipe),
		stream("fd_seek", "iIii", errSpipe),
		stream("fd_tell", "ii", errSpipe),
		stream("fd_readdir", "iiiIi", errNoDir),
		stream("fd_renumber", "ii", errNoSup),
		stream("fd_prestat_get", "ii", errBadf), // programs stop looking for directories at the first BADF
		stream("fd_prestat_dir_name", "iii", errBadf),

		path("path_create_directory", "iii", 0),
		path("path_filestat_get", "iiiii", 0),
		path("path_filestat_set_times", "iiiiIIi", 0),
		path("path_link", "iiiiiii", 0, 4),
		path("path_open", "iiiiiIIii", 0),
		path("path_readlink", "iiiiii", 0),
		path("path_remove_directory", "iii", 0),
		path("path_rename", "iiiiii", 0, 3),
		path("path_symlink", "iiiii", 2),
		path("path_unlink_file", "iii", 0),

		stream("sock_accept", "iii", errNoSck),
		stream("sock_recv", "iiiiii", errNoSck),
		stream("sock_send", "iiiii", errNoSck),
		stream("sock_shutdown", "ii", errNoSck),
	}
}

// open tells whether fd is a standard stream that the guest has not closed.
func (inv *invocation) open(fd uint64) bool {
	i := uint32(fd)
	return i < 3 && !inv.closed[i]
}

// refuse returns e for an open stream and BADF for anything else.
func (inv *invocation) refuse(fd uint64, e errno) errno {
	if !inv.open(fd) {
		return errBadf
	}
	return e
}

func (inv *invocation) put32(ptr uint64, v uint32) errno {
	b, ok := inv.memory.view(uint32(ptr), 4)
	if !ok {
		return errFault
	}
	binary.LittleEndian.PutUint32(b, v)
	return success
}

func (inv *invocation) put64(ptr uint64, v uint64) errno {
	b, ok := inv.memory.view(uint32(ptr), 8)
	if !ok {
		return errFault
	}
	binary.LittleEndian.PutUint64(b, v)
	return success
}

func (inv *invocation) putSizes(ptrs []uint64, count, size int) errno {
	if e := inv.put32(ptrs[0], uint32(count)); e != success {
		return e
	}
	return inv.put32(ptrs[1], uint32(size))
}

// environment is the call's Env as WASI has it, in a stable order.
func (inv *invocation) environment() (vars []string, size int) {
	if inv.environ == nil {
		for _, k := range slices.Sorted(maps.Keys(inv.call.Env)) {
			inv.environ = append(inv.environ, k+"="+inv.call.Env[k])
		}
	}
	for _, v := range inv.environ {
		size += len(v) + 1
	}
	return inv.environ, size
}

func (inv *invocation) environSizesGet(p []uint64) errno {
	vars, size := inv.environment()
	return inv.putSizes(p, len(vars), size)
}

// arguments are a program's name and nothing more. Programs that look for what
// follows their name, as os.Args[1:] does in Go, do not expect that it is missing.
var arguments = []string{"function"}

func (inv *invocation) environGet(p []uint64) errno {
	vars, _ := inv.environment()
	return inv.putStrings(p, vars)
}

// putStrings writes texts that end with NUL at ptrs[1], and their addresses at ptrs[0].
func (inv *invocation) putStrings(ptrs []uint64, texts []string) errno {
	size := len(texts)
	for _, v := range texts {
		size += len(v)
	}
	pointers, ok1 := inv.memory.view(uint32(ptrs[0]), uint32(len(texts)*4))
	text, ok2 := inv.memory.view(uint32(ptrs[1]), uint32(size))
	if !ok1 || !ok2 {
		return errFault
	}
	at := uint32(ptrs[1])
	for i, v := range texts {
		binary.LittleEndian.PutUint32(pointers[i*4:], at)
		n := copy(text, v)
		text[n] = 0
		text, at = text[n+1:], at+uint32(n)+1
	}
	return success
}

// The clocks. CPU time clocks are refused, as most runtimes do.
const (
	clockRealtime  = 0
	clockMonotonic = 1
)

func (inv *invocation) clockResGet(p []uint64) errno {
	if uint32(p[0]) > clockMonotonic {
		return errInval
	}
	return inv.put64(p[1], 1)
}

func (inv *invocation) clockTimeGet(p []uint64) errno {
	now := time.Now()
	if inv.building {
		now = buildTime
		if uint32(p[0]) == clockMonotonic {
			return inv.put64(p[2], uint64(time.Second))
		}
	}
	switch uint32(p[0]) {
	case clockRealtime:
		return inv.put64(p[2], uint64(now.UnixNano()))
	case clockMonotonic:
		return inv.put64(p[2], uint64(inv.monotonic(now)))
	}
	return errInval
}

// monotonic is a clock that starts with the invocation, so that it tells a guest
// nothing of the worker. It starts at one second: Go refuses to run at zero.
func (inv *invocation) monotonic(now time.Time) time.Duration {
	return now.Sub(inv.started) + time.Second
}

func (inv *invocation) randomGet(p []uint64) errno {
	b, ok := inv.memory.view(uint32(p[0]), uint32(p[1]))
	if !ok {
		return errFault
	}
	inv.fuel.used += int64(len(b)) // about what it costs
	if inv.building {
		steadyRandom(b)
		return success
	}
	for len(b) > 0 {
		n := min(len(b), randomChunk)
		rand.Read(b[:n]) // never fails
		b = b[n:]
		inv.check()
	}
	return success
}

func (inv *invocation) fdClose(p []uint64) errno {
	if !inv.open(p[0]) {
		return errBadf
	}
	inv.closed[uint32(p[0])] = true
	return success
}

// vectors returns the iovec array at ptr, cut to maxVectors.
func (inv *invocation) vectors(ptr, count uint64) ([]byte, errno) {
	b, ok := inv.memory.view(uint32(ptr), min(uint32(count), maxVectors)*8)
	if !ok {
		return nil, errFault
	}
	return b, success
}

func (inv *invocation) vector(iov []byte) ([]byte, bool) {
	return inv.memory.view(binary.LittleEndian.Uint32(iov), binary.LittleEndian.Uint32(iov[4:]))
}

func (inv *invocation) fdRead(p []uint64) errno {
	if !inv.open(p[0]) || uint32(p[0]) != 0 {
		return errBadf
	}
	iovs, e := inv.vectors(p[1], p[2])
	if e != success {
		return e
	}
	total := 0
	// The array may lie in a buffer it describes: a guest that does that reads
	// its own garbage, which view checks like any other.
	for ; len(iovs) > 0 && len(inv.stdin) > 0; iovs = iovs[8:] {
		b, ok := inv.vector(iovs)
		if !ok {
			return errFault
		}
		n := copy(b, inv.stdin)
		inv.stdin = inv.stdin[n:]
		total += n
	}
	return inv.put32(p[3], uint32(total))
}

func (inv *invocation) fdWrite(p []uint64) errno {
	if !inv.open(p[0]) || uint32(p[0]) == 0 {
		return errBadf
	}
	iovs, e := inv.vectors(p[1], p[2])
	if e != success {
		return e
	}
	total := 0
	for ; len(iovs) > 0 && total < maxWrite; iovs = iovs[8:] {
		b, ok := inv.vector(iovs)
		if !ok {
			return errFault
		}
		b = b[:min(len(b), maxWrite-total)]
		total += len(b)
		if uint32(p[0]) == 1 && inv.command {
			if len(inv.stdout)+len(b) > runnel.MaxPayloadSize {
				panic(resultTooLarge())
			}
			inv.stdout = append(inv.stdout, b...)
		} else {
			inv.logs.write(time.Now(), b)
		}
	}
	return inv.put32(p[3], uint32(total))
}

// fdFdstatGet describes a stream as a pipe (file type unknown), which keeps C
// libraries from treating stdout as a terminal and flushing every line.
func (inv *invocation) fdFdstatGet(p []uint64) errno {
	if !inv.open(p[0]) {
		return errBadf
	}
	b, ok := inv.memory.view(uint32(p[1]), 24)
	if !ok {
		return errFault
	}
	clear(b)
	rights := uint64(rightWrite | rightPoll)
	if uint32(p[0]) == 0 {
		rights = rightRead | rightPoll
	}
	binary.LittleEndian.PutUint64(b[8:], rights)
	return success
}

// fdFdstatSetFlags accepts the flags that exist and ignores them: a stream is
// always ready, so blocking or not makes no difference.
func (inv *invocation) fdFdstatSetFlags(p []uint64) errno {
	if !inv.open(p[0]) {
		return errBadf
	}
	if uint32(p[1]) > 31 {
		return errInval
	}
	return success
}

func (inv *invocation) fdFilestatGet(p []uint64) errno {
	if !inv.open(p[0]) {
		return errBadf
	}
	b, ok := inv.memory.view(uint32(p[1]), 64)
	if !ok {
		return errFault
	}
	clear(b)
	return success
}

// pollOneoff waits for clocks. Streams are always ready, and so is a descriptor
// that does not exist: its event says BADF.
func (inv *invocation) pollOneoff(p []uint64) errno {
	const (
		subscriptionSize = 48
		eventSize        = 32
		onClock          = 0
		onRead           = 1
		onWrite          = 2
		absolute         = 1
	)
	count := uint32(p[2])
	if count == 0 || count > maxSubscriptions {
		return errInval
	}
	in, ok1 := inv.memory.view(uint32(p[0]), count*subscriptionSize)
	out, ok2 := inv.memory.view(uint32(p[1]), count*eventSize)
	_, ok3 := inv.memory.view(uint32(p[3]), 4)
	if !ok1 || !ok2 || !ok3 {
		return errFault
	}
	in = slices.Clone(in) // out may overlap it

	var (
		now     = time.Now()
		events  uint32
		wake    time.Time
		waiting = make([]time.Time, count) // zero: not a clock that is still running
	)
	put := func(i uint32, e errno, bytes int, hangup bool) {
		s, b := in[i*subscriptionSize:], out[events*eventSize:][:eventSize]
		clear(b)
		copy(b, s[:8]) // userdata
		binary.LittleEndian.PutUint16(b[8:], uint16(e))
		b[10] = s[8]
		binary.LittleEndian.PutUint64(b[16:], uint64(bytes))
		if hangup {
			b[24] = 1
		}
		events++
	}
	for i := range count {
		s := in[i*subscriptionSize:][:subscriptionSize]
		fd := uint64(binary.LittleEndian.Uint32(s[16:]))
		switch s[8] {
		case onClock:
			t := binary.LittleEndian.Uint64(s[24:])
			clock, flags := uint32(fd), binary.LittleEndian.Uint16(s[40:])
			if clock > clockMonotonic || flags > absolute {
				put(i, errInval, 0, false)
				continue
			}
			due := after(now, t)
			if flags == absolute {
				due = inv.absolute(now, clock, t)
			}
			waiting[i] = due
			if wake.IsZero() || due.Before(wake) {
				wake = due
			}
		case onRead:
			if fd == 0 && inv.open(fd) {
				put(i, success, len(inv.stdin), len(inv.stdin) == 0)
			} else {
				put(i, errBadf, 0, false)
			}
		case onWrite:
			if fd != 0 && inv.open(fd) {
				put(i, success, maxWrite, false)
			} else {
				put(i, errBadf, 0, false)
			}
		default:
			return errInval
		}
	}
	if events == 0 {
		inv.sleep(wake)
		now = time.Now()
	}
	for i, due := range waiting {
		if !due.IsZero() && !due.After(now) {
			put(uint32(i), success, 0, false)
		}
	}
	return inv.put32(p[3], events)
}

// absolute returns when the guest's clock shows t nanoseconds.
func (inv *invocation) absolute(now time.Time, clock uint32, t uint64) time.Time {
	shows := uint64(now.UnixNano())
	if clock == clockMonotonic {
		shows = uint64(inv.monotonic(now))
	}
	if t <= shows {
		return now
	}
	return after(now, t-shows)
}
