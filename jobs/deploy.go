package jobs

import (
	"context"
	"errors"
	"sync"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sandbox/js"
	"github.com/runnelhq/runnel/sql"
)

// kindJavaScript is the kind of a version that was made of a script. What it runs as
// is a reactor.
const kindJavaScript = "javascript"

// maxBuilds is how many scripts are evaluated at a time: each may take a processor
// for seconds, and some hundred MB.
const maxBuilds = 2

// Modules over largeModule are checked and rewritten a few at a time, because that
// takes some ten times their size of memory. Smaller ones never wait for them.
const (
	largeModule = 512 << 10
	maxLarge    = 4
)

// Deployed is what became of a deploy.
type Deployed struct {
	runnel.Function
	Made sql.Made
	// Logs are what a script, or a reactor before its snapshot, logged while it was
	// evaluated: also of one that failed. They may hold anything that a function can
	// write but secrets, which nothing that is evaluated here has been given.
	Logs []runnel.LogLine
}

// Deployer makes versions of modules that the sandbox would run.
type Deployer struct {
	db       *sql.DB
	compiler *compile.Compiler // nil: modules are compiled when they are first called
	command  []string          // starts this program again, to translate scripts; nil: they are translated here
	builds   chan struct{}
	large    chan struct{} // one for each large module that is being checked

	mu      sync.Mutex
	sandbox *sandbox.Runtime // guarded by mu; where scripts are evaluated, made for the first
	closed  bool             // guarded by mu
}

// NewDeployer returns a Deployer that stores into db. Close it.
func NewDeployer(db *sql.DB) *Deployer {
	return &Deployer{db: db, builds: make(chan struct{}, maxBuilds), large: make(chan struct{}, maxLarge)}
}

// Precompile has c compile every module before it is stored, so that one that
// cannot be compiled within the limits is refused at once, and workers that share
// c's store find the code there. Call it before the first Deploy.
func (d *Deployer) Precompile(c *compile.Compiler) { d.compiler = c }

// Apart has scripts translated in a process of their own, which command starts: this
// program, whose main begins with js.IsChild. Without it they are translated here,
// where a source that nests deeply ends the process: for tests and for sources that
// are trusted. Call it before the first Deploy.
func (d *Deployer) Apart(command []string) { d.command = command }

// Close ends what is being deployed. Closing twice is a no-op.
func (d *Deployer) Close() error {
	d.mu.Lock()
	rt := d.sandbox
	d.sandbox, d.closed = nil, true
	d.mu.Unlock()
	if rt == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return rt.Close(ctx)
}

// Deploy checks d.Wasm and d.Config and makes a new version, and the function
// too when the name is new. d.Hash and d.Kind are filled in here: the hash stored
// is the hash of the bytes that were checked.
func (d *Deployer) Deploy(ctx context.Context, dep sql.Deploy) (Deployed, error) {
	if err := checkDeploy(dep); err != nil {
		return Deployed{}, err
	}
	return d.store(ctx, dep, "", nil)
}

// DeploySnapshot is Deploy for a reactor that is initialised now, so that each call
// begins where _initialize has ended. What it takes for random then, such as the seeds
// of hash tables, is the same in every call.
func (d *Deployer) DeploySnapshot(ctx context.Context, dep sql.Deploy) (Deployed, error) {
	if err := checkDeploy(dep); err != nil {
		return Deployed{}, err
	}
	done, err := place(ctx, d.builds)
	if err != nil {
		return Deployed{}, err
	}
	defer done()
	info, err := sandbox.Check(ctx, dep.Wasm)
	if err != nil {
		return Deployed{}, err
	}
	if info.Kind != sandbox.Reactor {
		return Deployed{}, runnel.Errorf(runnel.CodeInvalidModule, "a snapshot is taken of a reactor, which exports _initialize, runnel_alloc and handler, and this module is a command: deploy it without a snapshot")
	}
	rt, err := d.runtime()
	if err != nil {
		return Deployed{}, err
	}
	s := sandbox.Snapshot{Wasm: dep.Wasm}
	if dep.Config.MaxMemory != nil {
		s.Memory = int64(*dep.Config.MaxMemory)
	}
	wasm, out, err := rt.Snapshot(ctx, s)
	if err != nil {
		return Deployed{Logs: out.Logs}, whileLoaded(err)
	}
	dep.Wasm = wasm
	return d.store(ctx, dep, "", out.Logs)
}

// whileLoaded makes the failure of a module that is evaluated at deploy one of the
// deploy: nobody called a function, so that no code of a call fits.
func whileLoaded(err error) error {
	var failed *runnel.Error
	if !errors.As(err, &failed) {
		return err
	}
	var advice string
	switch failed.Code {
	case runnel.CodeTimeout:
		advice = "what the module does when it is loaded does not end in time: do it in the handler"
	case runnel.CodeOutOfMemory:
		advice = "what the module does when it is loaded needs too much memory: build less at the top level"
	case runnel.CodeStackOverflow:
		advice = "what the module does when it is loaded recurses too deeply: check that the recursion ends"
	case runnel.CodeFunctionError, runnel.CodeHostFunctionError:
		return runnel.Errorf(runnel.CodeInvalidModule, "the module fails when it is loaded: %s", failed.Message).Because(err)
	default:
		return err
	}
	return runnel.Errorf(runnel.CodeInvalidModule, "%s", advice).Because(err)
}

// place waits for one of places.
func place(ctx context.Context, places chan struct{}) (done func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, runnel.Errorf(runnel.CodeUnavailable, "other functions are being deployed: try again").Because(context.Cause(ctx))
	}
}

// DeployScript is Deploy for JavaScript or TypeScript: the module is made of the
// source here. The file's name says what language it is in.
func (d *Deployer) DeployScript(ctx context.Context, dep sql.Deploy, file string, source []byte) (Deployed, error) {
	if err := checkDeploy(dep); err != nil {
		return Deployed{}, err
	}
	done, err := place(ctx, d.builds)
	if err != nil {
		return Deployed{}, err
	}
	defer done()
	script, err := d.translate(ctx, file, source)
	if err != nil {
		return Deployed{}, err
	}
	rt, err := d.runtime()
	if err != nil {
		return Deployed{}, err
	}
	wasm, out, err := js.Build(ctx, rt, script)
	if err != nil {
		return Deployed{Logs: out.Logs}, whileLoaded(err)
	}
	dep.Wasm = wasm
	return d.store(ctx, dep, kindJavaScript, out.Logs)
}

func (d *Deployer) translate(ctx context.Context, file string, source []byte) (js.Script, error) {
	if d.command == nil {
		return js.Translate(file, source)
	}
	return js.TranslateApart(ctx, d.command, file, source)
}

func checkDeploy(dep sql.Deploy) error {
	if err := runnel.CheckName(dep.Name); err != nil {
		return err
	}
	return dep.Config.Check()
}

// store makes a version of a module that logged while it was made.
func (d *Deployer) store(ctx context.Context, dep sql.Deploy, kind string, logs []runnel.LogLine) (Deployed, error) {
	if len(dep.Wasm) > largeModule {
		done, err := place(ctx, d.large)
		if err != nil {
			return Deployed{Logs: logs}, err
		}
		defer done()
	}
	info, err := sandbox.Check(ctx, dep.Wasm)
	if err != nil {
		return Deployed{Logs: logs}, err
	}
	if d.compiler != nil {
		if err := sandbox.Precompile(ctx, d.compiler, dep.Wasm); err != nil {
			return Deployed{Logs: logs}, err
		}
	}
	if dep.Hash, dep.Kind = info.Hash, string(info.Kind); kind != "" {
		dep.Kind = kind
	}
	fn, made, err := d.db.Deploy(ctx, dep)
	return Deployed{fn, made, logs}, err
}

// runtime returns where scripts are evaluated.
func (d *Deployer) runtime() (*sandbox.Runtime, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, runnel.Errorf(runnel.CodeUnavailable, "the server is shutting down: try again").Because(errors.New("deployer closed"))
	}
	if d.sandbox == nil {
		rt, err := sandbox.New(context.Background(), sandbox.Config{Compiler: d.compiler, Ask: js.Ask, Trace: js.Trace})
		if err != nil {
			return nil, runnel.Errorf(runnel.CodeInternal, "scripts cannot be evaluated on this server: deploy from another, or send a WebAssembly module").Because(err)
		}
		d.sandbox = rt
	}
	return d.sandbox, nil
}
