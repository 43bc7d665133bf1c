package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/runnelhq/runnel"
)

// The port is how a script engine talks to the host: it puts arguments, strings and
// bytes, then makes a call with them, and reads the answer with result_read. Host
// operations that take time are sent, run at the same time as others, and their
// answers are waited for and taken one by one.
//
//	port_put(ptr, len, kind) -> 0       one more argument of the next call
//	port_call(what, 0, 0) -> n          the call; n is a number or the answer's length
//
// It gives a guest nothing that the other host functions do not: any module may
// import it, and what one forges on it, it forges for itself.

// Ask answers an operation of the host at once, on the guest's thread. args are the
// guest's memory: Ask must not keep or change them. The answer becomes a string when
// text is true. It must bound its own work; the sizes of what it is given and what it
// answers are charged as fuel. building is true during a Snapshot.
type Ask func(op string, args [][]byte, building bool) (answer []byte, text bool, err error)

// AskError is an error of Ask with the name of the exception that a script gets,
// such as "TypeError" or "OperationError".
type AskError struct{ Name, Message string }

func (e *AskError) Error() string { return e.Name + ": " + e.Message }

// About is what a function may know of its invocation.
type About struct {
	InvocationID string `json:"invocation_id"`
	Attempt      int    `json:"attempt"`
	MaxAttempts  int    `json:"max_attempts"`
	DeadlineMS   int64  `json:"deadline_ms"` // filled in by Run, Unix time
	Function     string `json:"function"`
	Version      int    `json:"version"`
	Trigger      string `json:"trigger"`
}

// What port_call can be asked.
const (
	portNumber    = iota // run the call that was put, answer with a number
	portText             // ... with a text
	portBytes            // ... with bytes
	portWait             // wait until there is something to do: 1, or 0 at the end
	portBoot             // the script that an engine starts with
	portThrown           // the engine could not go on; why was put
	portDrop             // forget what was put
	portThreshold        // bytes of objects at which an engine should begin to collect garbage
	portStack            // bytes of an engine's own stack that go with the native stack it may have
	portWhere            // where the guest was when it was stopped; the text was put
)

// Bounds of what an invocation may have under way.
const (
	maxOpen     = 64
	maxSent     = 32 << 20 // bytes of requests
	maxAnswered = 64 << 20 // bytes of answers that were not taken
	maxArgs     = 16
	maxThrown   = 64 << 10 // bytes of an error that are read
)

// A collection marks all that is alive, so that most invocations should end before
// the first; later ones come when the live objects have grown by half.
const (
	minThreshold = 1 << 20
	maxThreshold = 16 << 20
)

// How an interpreter's own stack and the native one grow together: 1 to 19 when
// functions of JavaScript call each other, 1 to 25 when natives are between them
// (measured with QuickJS: 370 bytes and 7 KB for each call, 600 bytes and 15 KB).
const (
	nativePerOwn = 26
	maxOwnStack  = 640 << 10
)

// noAnswer is what port_call returns where there is nothing.
const noAnswer = ^uint64(0)

// port is the state of one invocation's port. Everything but answers belongs to
// the guest's thread.
type port struct {
	args    [][]byte
	open    int // operations without an answer taken
	sent    int // bytes of requests under way
	took    []byte
	ended   bool
	result  []byte
	failure error

	ctx    context.Context // of operations
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	answers  []answer // guarded by mu; not taken yet
	answered int      // guarded by mu; bytes of answers
	arrived  chan struct{}
}

type answer struct {
	id      uint32
	request int // bytes of the request
	json    []byte
}

// hostPortPut is port_put(ptr, len, kind).
func (inv *invocation) hostPortPut(p []uint64) uint64 {
	if len(inv.port.args) >= maxArgs {
		panic(runnel.Errorf(runnel.CodeFunctionError, "port_put: more than %d arguments", maxArgs))
	}
	b := inv.text("port_put", p[0], p[1])
	// The guest may free the memory before the call, and does with text.
	if uint32(p[2]) == 0 || len(b) < 4096 {
		b = append(make([]byte, 0, len(b)), b...)
		inv.charge(len(b))
	}
	inv.port.args = append(inv.port.args, b)
	return 0
}

// charge counts work by the byte.
func (inv *invocation) charge(bytes int) { inv.fuel.used += int64(bytes) }

// hostPortCall is port_call(what, 0, 0).
func (inv *invocation) hostPortCall(p []uint64) uint64 {
	pt := &inv.port
	args := pt.args
	pt.args = pt.args[:0]
	what := uint32(p[0])
	if what == portWhere && inv.ended != nil {
		inv.ended.say(args)
		return 0
	}
	inv.check()
	switch what {
	case portWait:
		return inv.portWait()
	case portBoot:
		return inv.respond(inv.call.boot)
	case portThrown:
		why := "out of memory, or an error that cannot be shown"
		if len(args) > 0 && len(args[0]) > 0 {
			why = validText(args[0][:min(len(args[0]), maxThrown)])
		}
		panic(inv.thrown(why))
	case portDrop:
		return 0
	case portStack:
		return uint64(min(inv.maxDepth()/nativePerOwn, maxOwnStack))
	case portThreshold:
		return uint64(min(max(inv.memory.limit/4, minThreshold), maxThreshold))
	case portNumber, portText, portBytes:
	default:
		panic(runnel.Errorf(runnel.CodeFunctionError, "port_call(%d): there is no such call", what))
	}
	if len(args) == 0 {
		return noAnswer
	}
	f, ok := portCalls[string(args[0])]
	if !ok {
		return noAnswer
	}
	return f(inv, args[1:])
}

// thrown is the error of an exception that the engine itself did not catch.
func (inv *invocation) thrown(why string) error {
	if why == "InternalError: out of memory" {
		return outOfMemory(inv.memory.limit)
	}
	return runnel.Errorf(runnel.CodeFunctionError, "%s", inv.explain(excerpt(why, maxThrown)))
}

// portCalls are the calls that can be put, by their first argument.
var portCalls map[string]func(inv *invocation, args [][]byte) uint64

func init() {
	arg := func(args [][]byte, i int) []byte {
		if i < len(args) {
			return args[i]
		}
		return nil
	}
	portCalls = map[string]func(*invocation, [][]byte) uint64{
		"building": func(inv *invocation, _ [][]byte) uint64 {
			if inv.building {
				return 1
			}
			return 0
		},
		"source": func(inv *invocation, _ [][]byte) uint64 { return inv.respond(inv.call.source) },
		"send": func(inv *invocation, a [][]byte) uint64 {
			return inv.portSend(arg(a, 0), arg(a, 1), arg(a, 2))
		},
		"refuse": func(inv *invocation, a [][]byte) uint64 {
			if inv.building && inv.port.failure == nil {
				inv.port.failure = runnel.Errorf(runnel.CodeInvalidModule, "%s is called while the module is evaluated, at deploy, where there is no invocation to do it for: move the call into the handler%s",
					excerpt(validText(arg(a, 0)), 80), inv.explain(excerpt(validText(arg(a, 1)), 4096)))
			}
			return 0
		},
		"next": func(inv *invocation, _ [][]byte) uint64 { return inv.portNext() },
		"take": func(inv *invocation, _ [][]byte) uint64 {
			b := inv.port.took
			inv.port.took = nil
			if b == nil {
				return noAnswer
			}
			return inv.respond(b)
		},
		"ask": func(inv *invocation, a [][]byte) uint64 {
			if len(a) == 0 {
				return noAnswer
			}
			return inv.portAsk(string(a[0]), a[1:])
		},
		"log": func(inv *invocation, a [][]byte) uint64 {
			inv.portLog(arg(a, 0), arg(a, 1))
			return 0
		},
		"env": func(inv *invocation, _ [][]byte) uint64 {
			env := inv.call.Env
			if env == nil {
				env = map[string]string{}
			}
			b, err := json.Marshal(env)
			if err != nil {
				return noAnswer
			}
			return inv.respond(b)
		},
		"call": func(inv *invocation, _ [][]byte) uint64 {
			about := inv.call.About
			about.DeadlineMS = inv.deadline.UnixMilli()
			b, err := json.Marshal(about)
			if err != nil {
				return noAnswer
			}
			return inv.respond(b)
		},
		"done": func(inv *invocation, a [][]byte) uint64 {
			if len(a) > 0 {
				if len(a[0]) > runnel.MaxPayloadSize {
					panic(resultTooLarge())
				}
				inv.port.result = repairText(a[0])
			}
			inv.port.ended = true
			return 0
		},
		"fail": func(inv *invocation, a [][]byte) uint64 {
			inv.portFail(arg(a, 0))
			return 0
		},
	}
}

// portSend starts an operation. A refusal is an answer too, so that a script has one
// way only to learn of failures.
func (inv *invocation) portSend(id, op, value []byte) uint64 {
	pt := &inv.port
	n, err := strconv.ParseUint(string(id), 10, 32)
	if err != nil || n == 0 {
		return noAnswer
	}
	a := answer{id: uint32(n), request: len(value)}
	pt.open++
	pt.sent += a.request
	name := string(op[:min(len(op), 40)])
	do := inv.operation(name, value)
	switch {
	case inv.building:
		a.json = hostError("Unavailable", "not while the module is evaluated at deploy: call it in the handler")
	case do == nil:
		a.json = hostError("InvalidRequest", "there is no host operation "+strconv.Quote(name))
	case pt.open > maxOpen:
		a.json = hostError(string(runnel.CodeTooLarge), fmt.Sprintf("more than %d host calls are under way: await some of them before making more", maxOpen))
	case pt.sent > maxSent:
		a.json = hostError(string(runnel.CodeTooLarge), "the host calls that are under way carry more than "+byteSize(maxSent)+": await some of them before making more")
	default:
		if pt.ctx == nil {
			pt.arrived = make(chan struct{}, 1)
			pt.ctx, pt.cancel = context.WithDeadline(inv.caller, inv.deadline)
		}
		pt.work.Go(func() {
			a.json = do(pt.ctx)
			pt.deliver(a)
		})
		return 0
	}
	pt.deliver(a)
	return 0
}

// deliver queues an answer. It is called from any goroutine.
func (pt *port) deliver(a answer) {
	pt.mu.Lock()
	if pt.answered+len(a.json) > maxAnswered {
		a.json = hostError(string(runnel.CodeTooLarge), "the answers that wait are larger than "+byteSize(maxAnswered)+": ask for less at once")
	}
	pt.answered += len(a.json)
	pt.answers = append(pt.answers, a)
	arrived := pt.arrived
	pt.mu.Unlock()
	select {
	case arrived <- struct{}{}:
	default: // it knows, or nothing is under way yet
	}
}

func hostError(code, message string) []byte {
	b, _ := json.Marshal(map[string]any{"error": map[string]string{"code": code, "message": message}}) // strings
	return b
}

// operation returns what an operation does, or nil when there is none of that name.
func (inv *invocation) operation(name string, value []byte) func(context.Context) []byte {
	text := repairText(value)
	switch name {
	case "db_query":
		return func(ctx context.Context) []byte { return inv.portQuery(ctx, text) }
	case "http_fetch":
		return func(ctx context.Context) []byte {
			switch {
			case inv.call.Fetch == nil:
				return hostError("HostNotAllowed", "http_fetch is not available to this invocation")
			case len(text) > maxFetch:
				return hostError("TooLarge", "the request is larger than 13 MB: send a body of at most 6 MB")
			}
			return inv.call.Fetch(ctx, text)
		}
	case "sleep":
		return func(ctx context.Context) []byte {
			var s struct {
				MS float64 `json:"ms"`
			}
			if err := json.Unmarshal(text, &s); err != nil {
				return hostError("InvalidRequest", "sleep takes {\"ms\":number}")
			}
			timer := time.NewTimer(time.Duration(min(max(s.MS, 0), 1e9) * float64(time.Millisecond)))
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			return []byte("null")
		}
	}
	return nil
}

// portQuery is db_query with {"sql","params"} or {"batch":[...]}.
func (inv *invocation) portQuery(ctx context.Context, text []byte) []byte {
	var q struct {
		SQL    string          `json:"sql"`
		Params json.RawMessage `json:"params"`
		Batch  json.RawMessage `json:"batch"`
	}
	switch err := json.Unmarshal(text, &q); {
	case err != nil:
		return hostError("InvalidRequest", "db_query takes {\"sql\":text,\"params\":[...]} or {\"batch\":[...]}")
	case inv.call.Query == nil:
		return hostError("RlsUnavailable", "db_query is not available here: run the function on a worker with a database")
	case len(q.SQL) > maxQuery:
		return hostError("TooLarge", "the SQL text is over 1 MB: pass data as parameters")
	case len(text) > maxParams+maxQuery:
		return hostError("TooLarge", "the parameters are over 6 MB: split the work over several queries")
	case q.Batch != nil:
		return inv.call.Query(ctx, "", text)
	}
	return inv.call.Query(ctx, q.SQL, q.Params)
}

// portWait waits for an answer, unless there is nothing to wait for.
func (inv *invocation) portWait() uint64 {
	pt := &inv.port
	for {
		if pt.ended || inv.building && pt.failure != nil {
			return 0
		}
		pt.mu.Lock()
		n := len(pt.answers)
		pt.mu.Unlock()
		if n > 0 {
			return 1
		}
		if pt.open == 0 {
			panic(inv.neverSettles())
		}
		timer := time.NewTimer(time.Until(inv.deadline))
		select {
		case <-pt.arrived:
		case <-timer.C:
		case <-inv.caller.Done():
		case <-inv.closing:
		}
		timer.Stop()
		inv.check()
	}
}

func (inv *invocation) neverSettles() error {
	if inv.building {
		return runnel.Errorf(runnel.CodeInvalidModule, "the module's top-level await never ends: nothing is left that could settle it; wait in the handler instead")
	}
	return runnel.Errorf(runnel.CodeFunctionError, "the handler's promise never settles: nothing is left that could settle it; check that every path resolves, rejects or returns")
}

// portNext makes the next answer the one to take and returns its id, or 0.
func (inv *invocation) portNext() uint64 {
	pt := &inv.port
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if len(pt.answers) == 0 {
		return 0
	}
	a := pt.answers[0]
	pt.answers[0] = answer{}
	if pt.answers = pt.answers[1:]; len(pt.answers) == 0 {
		pt.answers = nil
	}
	pt.answered -= len(a.json)
	pt.open--
	pt.sent -= a.request
	pt.took = a.json
	return uint64(a.id)
}

// portAsk runs Ask: the answer waits for take, and the number says what it is.
func (inv *invocation) portAsk(name string, args [][]byte) uint64 {
	const isText, isBytes, failed = 0, 1, 2
	if inv.ask == nil {
		return noAnswer
	}
	for _, a := range args {
		inv.charge(len(a))
	}
	answer, text, err := inv.ask(name, args, inv.building)
	inv.check()
	if err != nil {
		var known *AskError
		if !errors.As(err, &known) {
			known = &AskError{"Error", err.Error()}
		}
		b, _ := json.Marshal(map[string]string{"name": known.Name, "message": known.Message}) // strings
		inv.port.took = b
		return failed
	}
	inv.charge(len(answer))
	if inv.port.took = answer; answer == nil {
		inv.port.took = []byte{}
	}
	if text {
		return isText
	}
	return isBytes
}

func (inv *invocation) portLog(level, message []byte) {
	l := "info"
	switch string(level) {
	case "debug", "warn", "error":
		l = string(level)
	}
	text := validText(message[:min(len(message), runnel.MaxLogSize+1)])
	inv.logs.add(time.Now(), l, inv.explain(text))
}

// portFail ends the invocation with an exception: {"text","host"}, where host says
// that the exception is a host operation's failure that nobody handled.
func (inv *invocation) portFail(failure []byte) {
	var f struct {
		Text  string `json:"text"`
		Host  bool   `json:"host"`
		Retry struct {
			Final bool    `json:"final"`
			After float64 `json:"after"` // seconds
		} `json:"retry"`
	}
	if err := json.Unmarshal(failure[:min(len(failure), maxFailure)], &f); err != nil {
		f.Text = "an error that cannot be shown"
	}
	code := runnel.CodeFunctionError
	switch {
	case inv.building:
		code = runnel.CodeInvalidModule
	case f.Host:
		code = runnel.CodeHostFunctionError
	}
	if inv.port.failure == nil {
		failure := runnel.Errorf(code, "%s", inv.explain(excerpt(validText([]byte(f.Text)), maxThrown)))
		failure.Final = f.Retry.Final
		if f.Retry.After > 0 {
			failure.RetryAfter = time.Duration(min(f.Retry.After, runnel.MaxBackoff.Seconds()) * float64(time.Second))
		}
		inv.port.failure = failure
	}
	inv.port.ended = true
}

// maxFailure is more than the prelude makes of an exception.
const maxFailure = 1 << 20

// closePort ends what is under way, and waits for it: nothing of an invocation goes
// on after it.
func (inv *invocation) closePort() {
	if inv.port.cancel == nil {
		return
	}
	inv.port.cancel()
	inv.port.work.Wait()
}

// explain maps the positions in a stack to those of the sources, where the module
// carries a map of them.
func (inv *invocation) explain(text string) string {
	if inv.trace == nil {
		return text
	}
	return inv.trace(text)
}

// validText is guest text as UTF-8: a script's lone surrogates arrive as bytes that
// are not.
func validText(b []byte) string { return string(repairText(b)) }

func repairText(b []byte) []byte {
	if utf8.Valid(b) {
		return append(make([]byte, 0, len(b)), b...)
	}
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			// A surrogate is three bytes: one replacement for all of them.
			if b[0] == 0xed && len(b) >= 3 && b[1] >= 0xa0 && b[1]&0xc0 == 0x80 && b[2]&0xc0 == 0x80 {
				n = 3
			}
			out = append(out, "\uFFFD"...)
		} else {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out
}
