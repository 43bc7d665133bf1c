package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/internal/localpg"
	"github.com/runnelhq/runnel/internal/process"
	"github.com/runnelhq/runnel/internal/settings"
	"github.com/runnelhq/runnel/sql"
)

// readyTimeout is how long api and worker may take to start.
const readyTimeout = 30 * time.Second

func (t *tool) devCommand() *cobra.Command {
	d := &dev{tool: t}
	cmd := &cobra.Command{
		Use:   "dev [FOLDER]",
		Short: "Run everything here: Postgres, api, worker and your functions",
		Long: `Run everything here: Postgres, api, worker and a folder of functions.

Without DATABASE_URL a private Postgres is started; it and the generated secrets
live in .runnel/ and survive restarts. FOLDER itself where it is a function's,
otherwise every function folder right below it (one with a runnel.json, or an
index.ts or index.js), is deployed, and again whenever one of its files changes.
FOLDER is the first of examples, functions and the current folder that has any,
unless it is given; in the current folder a runnel.json is needed. Ctrl-C stops
everything.

Settings are read from the environment as by the real processes (PORT,
RUNNEL_ADMIN_TOKEN, RUNNEL_JWT_SECRET, LOG_LEVEL and so on). LOG_LEVEL is warn
here unless set.`,
		Example: "  runnel dev\n  runnel dev shop\n  PORT=9000 LOG_LEVEL=info runnel dev",
		Args:    atMost("FOLDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				d.functions = args[0]
			}
			if info, err := os.Stat(d.functions); d.functions != "" && (err != nil || !info.IsDir()) {
				return fmt.Errorf("%s is not a folder: name one that has function folders, or none", d.functions)
			}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.functions, "functions", "", "the same as FOLDER")
	cmd.Flags().StringVar(&d.host, "host", "127.0.0.1", "address to listen on")
	return cmd
}

// dev is a running development server.
type dev struct {
	*tool
	functions string
	host      string

	state  state
	client *client
}

func (d *dev) run(ctx context.Context) (err error) {
	dir, err := filepath.Abs(stateDir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { // Postgres may run as another account
		return err
	}
	// Secrets do not belong into a repository.
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o644); err != nil {
		return err
	}
	s, err := d.settings(dir)
	if err != nil {
		return err
	}
	if s.CacheDir == "" {
		s.CacheDir = filepath.Join(dir, "modules")
	}
	log := s.Logger()

	if s.DatabaseURL == "" {
		d.say("starting Postgres in %s", filepath.Join(stateDir, "postgres"))
		pg, err := localpg.Start(ctx, localpg.Options{Dir: filepath.Join(dir, "postgres"), Logger: d.announcer()})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, pg.Stop()) }()
		s.DatabaseURL = pg.URL("runnel")
	}
	if err := sql.Migrate(ctx, s.DatabaseURL, log); err != nil {
		return err
	}
	l, err := d.listen(ctx, s.Port)
	if err != nil {
		return err
	}
	d.state.URL = "http://" + l.Addr().String()
	d.state.DatabaseURL = s.DatabaseURL
	if err := d.keep(dir, s); err != nil {
		return err
	}
	d.client = &client{base: d.state.URL, admin: d.state.AdminToken, key: d.state.AnonKey}

	p := process.New(s, log)
	if err := p.CompileInChildren(); err != nil {
		return err
	}
	return process.Run(ctx, p.Metrics, p.Work,
		func(ctx context.Context) error { return p.Web(ctx, l) },
		d.develop)
}

// settings are those of the environment, with the secrets of the last start
// where the environment has none.
func (d *dev) settings(dir string) (settings.Settings, error) {
	before, err := readState(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return settings.Settings{}, err
	}
	environ := os.Environ()
	// Secrets in the database are of no use without the key they were sealed with.
	if os.Getenv("RUNNEL_SECRET_KEYS") == "" && os.Getenv("RUNNEL_SECRET_KEYS_FILE") == "" {
		environ = append(environ, "RUNNEL_SECRET_KEYS="+cmp.Or(before.SecretKeys, keyring.Generate()))
	}
	for key, kept := range map[string]string{"RUNNEL_ADMIN_TOKEN": before.AdminToken, "RUNNEL_JWT_SECRET": before.JWTSecret, "RUNNEL_SLOT_SECRET": before.SlotSecret} {
		if os.Getenv(key) != "" || os.Getenv(key+"_FILE") != "" {
			continue
		}
		if kept == "" {
			kept = rand.Text() + rand.Text()
		}
		environ = append(environ, key+"="+kept)
	}
	if os.Getenv("LOG_LEVEL") == "" {
		environ = append(environ, "LOG_LEVEL=warn")
	}
	return settings.Load(environ)
}

// keep writes what the other commands and the next start need.
func (d *dev) keep(dir string, s settings.Settings) error {
	d.state.AdminToken, d.state.JWTSecret, d.state.SlotSecret = s.AdminToken, s.JWTSecret, s.SlotSecret
	d.state.SecretKeys = s.SecretKeys
	var err error
	if d.state.AnonKey, err = mintKey(s, runnel.RoleAnon, "", keyLife); err != nil {
		return err
	}
	if d.state.ServiceKey, err = mintKey(s, runnel.RoleService, "", keyLife); err != nil {
		return err
	}
	return writeState(dir, d.state)
}

// announcer lets localpg say what takes long, whatever LOG_LEVEL is.
func (d *dev) announcer() *slog.Logger {
	return slog.New(slog.NewTextHandler(d.err, &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// listen takes PORT; when nobody asked for that port in particular and it is
// taken, a free one.
func (d *dev) listen(ctx context.Context, port int) (net.Listener, error) {
	lc := new(net.ListenConfig)
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(d.host, strconv.Itoa(port)))
	if err == nil {
		return l, nil
	}
	if os.Getenv("PORT") != "" {
		return nil, fmt.Errorf("cannot listen on port %d: %w: set PORT to a free one", port, err)
	}
	l, freeErr := lc.Listen(ctx, "tcp", net.JoinHostPort(d.host, "0"))
	if freeErr != nil {
		return nil, fmt.Errorf("cannot listen: %w", errors.Join(err, freeErr))
	}
	d.say("port %d is taken; using %d", port, l.Addr().(*net.TCPAddr).Port)
	return l, nil
}

// develop deploys the functions, says how to use them, and watches.
func (d *dev) develop(ctx context.Context) error {
	if err := d.ready(ctx); err != nil {
		return err
	}
	root, dirs, err := d.root()
	if err != nil {
		return err
	}
	w := newWatcher(root)
	d.deployAll(ctx, w, dirs)
	if ctx.Err() != nil {
		return nil
	}
	d.greet(dirs)
	d.say("Watching %s for changes; Ctrl-C stops everything.", root)
	return w.watch(ctx, func(changed []string) {
		d.deployAll(ctx, w, changed)
		fresh := slices.DeleteFunc(changed, func(dir string) bool { return slices.Contains(dirs, dir) })
		dirs = append(dirs, fresh...)
		d.tries(fresh)
	})
}

// root is the folder of function folders, and which there are. Where there are none
// yet, it is the current one, in which runnel init would make the first.
func (d *dev) root() (root string, dirs []string, err error) {
	if d.functions != "" {
		dirs, err = findFolders(d.functions)
		return d.functions, dirs, err
	}
	for _, root := range []string{"examples", "functions", "."} {
		if dirs, err = findFolders(root); err != nil || len(dirs) > 0 {
			return root, dirs, err
		}
	}
	return ".", nil, nil
}

// ready waits for the api and the worker.
func (d *dev) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, errors.New("api and worker did not start in time: run again with LOG_LEVEL=info to see why"))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		res, _, err := d.client.send(ctx, http.MethodGet, "/readyz", "", nil, nil)
		if err == nil && res.StatusCode == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// deployAll deploys folders and then runs their SQL, each file once: SQL of one
// may name another's function. What fails is told and does not end anything.
func (d *dev) deployAll(ctx context.Context, w *watcher, dirs []string) {
	var files []string
	for _, dir := range dirs {
		f, err := d.deploy(ctx, w, dir)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d.say("%s: not deployed: %v", dir, err)
			continue
		}
		if file := f.sqlFile(); file != "" && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	for _, file := range files {
		if err := runFile(ctx, d.state.DatabaseURL, file); err != nil {
			d.say("%v", err)
			continue
		}
		d.say("%s: run", file)
	}
}

// deploy makes a new version of a function, unless its module is the current one
// already, so that restarts make no versions.
func (d *dev) deploy(ctx context.Context, w *watcher, dir string) (*folder, error) {
	start := time.Now()
	// Before anything is read, so that what changes from now on is a change.
	w.deploying(dir)
	f, err := readFolder(dir)
	if err != nil {
		return nil, err
	}
	// A first build can take a minute; silence would look like a hang.
	slow := time.AfterFunc(2*time.Second, func() { d.say("%s: still building", f.Name) })
	defer slow.Stop()
	if len(f.Build) > 0 {
		if err := f.build(ctx, d.err); err != nil {
			return nil, err
		}
		// What the build wrote is not a change.
		w.deploying(dir)
	}
	built, err := f.load(ctx, d.err)
	slow.Stop()
	if err != nil {
		return nil, err
	}
	var fn function
	if err := d.client.deploy(ctx, built, false, &fn); err != nil {
		d.tellFailure(f.Name, err)
		return nil, err
	}
	what := "is deployed"
	if fn.Unchanged {
		what = "is unchanged"
	}
	d.say("%s %s: version %d, %s, %s", fn.Name, what, fn.Version, size(len(built.wasm)), time.Since(start).Round(time.Millisecond))
	d.tell(fn)
	return f, nil
}

// greet says where everything is and what to try.
func (d *dev) greet(dirs []string) {
	if d.json {
		shown := d.state // what its reader needs, and not what only the next start does
		shown.SecretKeys, shown.SlotSecret = "", ""
		_ = d.writeLine(shown)
		return
	}
	fmt.Fprintf(d.out, `
Runnel runs at %s

  console       %s/console/
  River UI      %s/riverui/
  admin token   %s
  anon key      %s
  service key   %s   (may do everything: keep it secret)
  database      %s
`, d.state.URL, d.state.URL, d.state.URL, d.state.AdminToken, d.state.AnonKey, d.state.ServiceKey, d.state.DatabaseURL)
	if len(dirs) == 0 {
		fmt.Fprintf(d.out, "\nThere are no functions here yet. In another terminal:\n\n  %s init   # writes one, which is deployed at once\n\n", self())
		return
	}
	d.tries(dirs)
}

// tries says what to try: the commands of the folders, in the order of the triggers.
func (d *dev) tries(dirs []string) {
	order := []string{"http", "sql", "database", "schedule"}
	var tries []try
	for _, dir := range dirs {
		if f, err := readFolder(dir); err == nil { // otherwise it has been told
			tries = append(tries, f.Try...)
		}
	}
	if len(tries) == 0 || d.json {
		return
	}
	slices.SortStableFunc(tries, func(a, b try) int { return slices.Index(order, a.Trigger) - slices.Index(order, b.Trigger) })
	fmt.Fprint(d.out, "\nTry, in another terminal:\n")
	replace := strings.NewReplacer("{{runnel}}", self(), "{{url}}", d.state.URL, "{{anon_key}}", d.state.AnonKey, "{{service_key}}", d.state.ServiceKey)
	for _, try := range tries {
		fmt.Fprintf(d.out, "\n  # %s\n  %s\n", printable(try.Trigger), printable(replace.Replace(try.Command)))
	}
	fmt.Fprintln(d.out)
}

// self is how this program was started, so that the commands it prints work when
// they are pasted.
func self() string {
	exe, err := os.Executable()
	if err == nil && strings.Contains(exe, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/runnel"
	}
	name := os.Args[0]
	if found, err := exec.LookPath(filepath.Base(name)); err == nil && sameFile(found, exe) {
		return filepath.Base(name)
	}
	return name
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
