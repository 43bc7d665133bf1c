package sql_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

// silence stands before a server. Connections that were open when it is told to be
// silent carry nothing any more, and nobody is told.
func silence(t *testing.T, address string) (through string, silent *atomic.Bool) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	silent = new(atomic.Bool)
	server := u.Host
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			young := !silent.Load() // those that come later are fine
			pass := func(from, to net.Conn) {
				defer from.Close()
				defer to.Close()
				buf := make([]byte, 4096)
				for {
					n, err := from.Read(buf)
					if err != nil {
						return
					}
					if young && silent.Load() {
						continue
					}
					if _, err := to.Write(buf[:n]); err != nil {
						return
					}
				}
			}
			wg.Go(func() { pass(client, upstream) })
			wg.Go(func() { pass(upstream, client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	u.Host = l.Addr().String()
	return u.String(), silent
}

func TestFUNC_E1_AStatementWithoutAnAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	through, silent := silence(t, pgtest.Database(t))
	const limit = 300 * time.Millisecond
	db, err := sql.OpenHurried(t.Context(), through, limit)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Heartbeat(t.Context(), "w"); err != nil {
		t.Fatal(err)
	}
	silent.Store(true)
	begun := time.Now()
	// A pool asks connections that were idle for a second whether they work; ours
	// was not, so the statement itself goes unanswered.
	_, err = db.Heartbeat(t.Context(), "w")
	if err == nil || runnel.CodeOf(err) != runnel.CodeUnavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a statement without an answer ended with %v, want Unavailable", err)
	}
	if took := time.Since(begun); took < limit || took > 20*limit {
		t.Errorf("it was given up after %s, want about %s", took, limit)
	}
	if _, err := db.Heartbeat(t.Context(), "w"); err != nil {
		t.Errorf("the next statement, on another connection: %v", err)
	}
}

func TestStatements_ACallersOwnLimitStands(t *testing.T) {
	t.Parallel()
	db, err := sql.OpenHurried(t.Context(), pgtest.Database(t), 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := db.Pool().Exec(ctx, `SELECT pg_sleep(0.2)`); err != nil {
		t.Errorf("a statement with a limit of its own: %v", err)
	}
	if _, err := db.Pool().Exec(t.Context(), `SELECT pg_sleep(20)`); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a statement without one ended with %v", err)
	}
}

func TestFUNC_T3_ASilentListenerIsNoticed(t *testing.T) {
	t.Parallel()
	through, silent := silence(t, pgtest.Database(t))
	db, err := sql.OpenHurried(t.Context(), through, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ended := make(chan error, 1)
	listening := make(chan struct{})
	go func() { ended <- db.ListenDone(t.Context(), func([]string) { close(listening) }) }()
	<-listening
	silent.Store(true)
	if err := <-ended; runnel.CodeOf(err) != runnel.CodeUnavailable {
		t.Errorf("listening ended with %v, want Unavailable", err)
	}
}
