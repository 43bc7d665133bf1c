package compile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/runnelhq/runnel"
)

// Limits bound one child. A Go module of 4.4 MB took 4 s of processor time and 110 MB;
// none of 10 MB, the largest there may be, was measured, but a third of the defaults
// should do for one.
type Limits struct {
	CPU    time.Duration // processor time, whole seconds
	Wall   time.Duration // a busy machine gives less than its processor time
	Memory int64         // bytes of address space beyond what the child starts with
	Output int64         // bytes of native code
}

// DefaultLimits are the limits of deployed functions.
func DefaultLimits() Limits {
	return Limits{CPU: 30 * time.Second, Wall: 60 * time.Second, Memory: 2 << 30, Output: 512 << 20}
}

// String tells limits apart: refusals under other limits are not believed.
func (l Limits) String() string {
	return fmt.Sprintf("cpu=%s wall=%s memory=%d output=%d", l.CPU, l.Wall, l.Memory, l.Output)
}

const (
	// DefaultStoreBytes is how much native code is kept: about a hundred Go modules.
	DefaultStoreBytes = 2 << 30

	// maxChildren is how many children run at once: two, so that the minute that a
	// hostile module may take does not keep all others waiting.
	maxChildren = 2

	// quickModule is the size up to which modules have one more place to
	// themselves, so that large ones, also several hostile ones, never keep them
	// waiting. What the meter lets pass of this size compiles within seconds:
	// modules of 50 KB took 0.6 s at worst, those of 10 MB 18 s.
	quickModule = 512 << 10
)

// Options configure a Compiler.
type Options struct {
	Dir     string       // of the store; "": a temporary one, for this process only
	Command []string     // starts the child: Self, in a program that begins with IsChild
	Limits  Limits       // zero: DefaultLimits
	Bytes   int64        // bound of the store; 0: DefaultStoreBytes
	Report  func(Report) // told of each child that ended, on any goroutine; nil: nobody
}

// Report is what one child took.
type Report struct {
	Wall      time.Duration
	CPU       time.Duration
	MaxMemory int64 // bytes resident at its peak, and no less than this process had when it started the child
	Err       error // why there is no native code
}

// Compiler compiles modules in children and keeps their code. It is safe for
// concurrent use.
type Compiler struct {
	store    *store
	command  []string
	limits   Limits
	report   func(Report)
	children chan struct{} // one for each child that may run
	quick    chan struct{} // one more, for modules up to quickModule

	mu   sync.Mutex
	busy map[string]chan struct{} // modules being compiled; closed when done
}

// New opens the store. It fails for a directory that others can write to.
func New(ctx context.Context, o Options) (*Compiler, error) {
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits()
	}
	if o.Bytes <= 0 {
		o.Bytes = DefaultStoreBytes
	}
	if o.Report == nil {
		o.Report = func(Report) {}
	}
	if len(o.Command) == 0 {
		return nil, errors.New("compile: no command to start the child with")
	}
	s, err := openStore(ctx, o.Dir, o.Bytes)
	if err != nil {
		return nil, err
	}
	return &Compiler{
		store: s, command: o.Command, limits: o.Limits, report: o.Report,
		children: make(chan struct{}, maxChildren), quick: make(chan struct{}, 1), busy: map[string]chan struct{}{},
	}, nil
}

// Close removes what belongs to this process only. Nothing may be compiled any
// more.
func (c *Compiler) Close() error { return c.store.close() }

// Compile makes sure that the module's code is in the store. Its errors are
// *runnel.Error: CodeInvalidModule for a module that cannot be compiled within the
// limits, CodeCancelled when ctx ended, CodeUnavailable when the child could not be
// started or the store not be written.
func (c *Compiler) Compile(ctx context.Context, wasm []byte) error {
	_, err := c.compile(ctx, wasm)
	return err
}

func (c *Compiler) compile(ctx context.Context, wasm []byte) (entry, error) {
	module := moduleOf(wasm)
	done, err := c.alone(ctx, module)
	if err != nil {
		return entry{}, err
	}
	defer done()
	if e, ok := c.store.find(module); ok {
		return e, nil
	}
	if reason, ok := c.store.refused(module, c.limits); ok {
		return entry{}, refusal(reason)
	}
	leave, err := c.place(ctx, len(wasm))
	if err != nil {
		return entry{}, err
	}
	defer leave()

	out, err := os.MkdirTemp(c.store.process, "child-*")
	if err != nil {
		return entry{}, unavailable(err)
	}
	defer os.RemoveAll(out)
	report, verdict := c.run(ctx, wasm, out)
	report.Err = verdict.err()
	c.report(report)
	switch {
	case verdict.reason != "":
		c.store.refuse(module, c.limits, verdict)
		return entry{}, verdict.err()
	case verdict.failed != nil:
		return entry{}, verdict.err()
	}
	e, err := c.store.take(module, out)
	if err != nil {
		return entry{}, unavailable(err)
	}
	return e, nil
}

// place waits until a module of that size may have a child.
func (c *Compiler) place(ctx context.Context, size int) (leave func(), err error) {
	quick := c.quick
	if size > quickModule {
		quick = nil
	}
	select {
	case c.children <- struct{}{}:
		return func() { <-c.children }, nil
	case quick <- struct{}{}:
		return func() { <-quick }, nil
	case <-ctx.Done():
		return nil, cancelled(ctx)
	}
}

func moduleOf(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return hex.EncodeToString(sum[:])
}

// alone waits until nobody else compiles the module.
func (c *Compiler) alone(ctx context.Context, module string) (done func(), err error) {
	for {
		c.mu.Lock()
		other, busy := c.busy[module]
		if !busy {
			mine := make(chan struct{})
			c.busy[module] = mine
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				delete(c.busy, module)
				c.mu.Unlock()
				close(mine)
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, cancelled(ctx)
		}
	}
}

// verdict is how a child ended: well when it is zero.
type verdict struct {
	reason string        // the module is to blame: what it did
	after  time.Duration // for which the reason holds; 0: for ever
	detail string        // for the process log
	failed error         // the module is not to blame
}

func (v verdict) err() error {
	switch {
	case v.reason != "" && v.detail != "":
		return refusal(v.reason).Because(errors.New(v.detail))
	case v.reason != "":
		return refusal(v.reason)
	}
	return v.failed
}

func refusal(reason string) *runnel.Error {
	return runnel.Errorf(runnel.CodeInvalidModule, "the module cannot run: %s", reason)
}

func unavailable(err error) error {
	return runnel.Errorf(runnel.CodeUnavailable, "the function's module could not be compiled: try again; the process log says why").Because(err)
}

func cancelled(ctx context.Context) error {
	return runnel.Errorf(runnel.CodeCancelled, "the invocation was cancelled").Because(context.Cause(ctx))
}

// DefaultDir is where the store is when nobody says: in the user's cache
// directory, or "" when there is none.
func DefaultDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "runnel", "modules")
}

var errWall = errors.New("compile: out of time")
