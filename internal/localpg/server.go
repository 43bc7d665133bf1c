package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	superuser = "postgres"
	database  = "runnel"

	// stopLimit is how long each way of asking postgres to end may take before a
	// ruder one. After SIGQUIT it gives its own children 5 s.
	stopLimit = 10 * time.Second
)

// Options say where the server keeps its data and how careful it is with it.
type Options struct {
	// Dir is the server's home; see the package documentation. It is created
	// when missing. Empty means a temporary one that Stop removes.
	Dir string
	// Programs is a directory with initdb and postgres to use and no others. Empty
	// means to look for them, as the package documentation says.
	Programs string
	// Logger hears what takes long or changes the machine, such as the command
	// that installs PostgreSQL. Nil is silent.
	Logger *slog.Logger
	// Fast gives up durability (fsync and friends) for speed: a crash of the
	// machine may corrupt the data. For tests.
	Fast bool
}

// Server is a running PostgreSQL. Its methods may be called from any goroutine.
type Server struct {
	home     *home
	process  *process
	port     int
	password string
	stop     func() error
}

// Start starts a server and returns when it accepts connections. The superuser
// is "postgres" and an empty database "runnel" exists, both UTF8 with locale C
// and time zone UTC.
//
// The context covers the start only; Stop ends the server. A Dir that another
// process uses is refused with that process's id.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := thisMachine().start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("local PostgreSQL: %w", err)
	}
	return s, nil
}

// URL returns the address of a database, password included.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Done is closed when postgres has ended, by Stop or on its own.
func (s *Server) Done() <-chan struct{} { return s.process.done }

// Stop ends the server, whatever connections it has, and waits for it. It is
// not an error when the server has ended already, and Stop may be called again.
func (s *Server) Stop() error { return s.stop() }

func (s *Server) shutdown() error {
	polite := syscall.SIGINT // "fast": roll back, checkpoint, exit
	if s.home.temporary {
		polite = syscall.SIGQUIT // "immediate": nobody will read the data again
	}
	var err error
	if !s.process.end(stopLimit, polite, syscall.SIGQUIT, syscall.SIGKILL) {
		err = fmt.Errorf("local PostgreSQL: process %d does not end, not even on SIGKILL", s.process.pid())
	}
	return errors.Join(err, s.home.close())
}

func (m *machine) start(ctx context.Context, o Options) (_ *Server, err error) {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	home, err := m.openHome(o.Dir, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, home.close())
		}
	}()
	bin, err := m.programs(ctx, log, home, o.Programs)
	if err != nil {
		return nil, err
	}
	// Asked again after find: the package may have brought the account "postgres".
	account, err := m.accountFor(home)
	if err != nil {
		return nil, err
	}
	c := &cluster{home: home, bin: bin, account: account, fast: o.Fast, log: log}
	password, err := c.prepare(ctx)
	if err != nil {
		return nil, err
	}
	process, port, err := c.launch(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{home: home, process: process, port: port, password: password}
	s.stop = sync.OnceValue(s.shutdown)
	return s, nil
}
