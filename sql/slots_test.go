package sql_test

import (
	"sync"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

// Processes choose logins without asking each other, and a login that two try at
// the same moment refuses both. That is theirs to sort out: no function sees it.
func TestSlots_ProcessesThatOpenAtOnce(t *testing.T) {
	t.Parallel()
	const processes, slots = 5, 3
	url := pgtest.Database(t)
	t.Cleanup(func() { dropSlots(t, url) })
	var all []*sql.DB
	for range processes {
		db, err := sql.Open(t.Context(), url, sql.Options{MaxConns: 2, SlotSecret: "a secret of the tests", Slots: slots})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		all = append(all, db)
	}
	for range 3 { // the first makes the logins, the others find those of ended connections
		var answered, guests sync.WaitGroup
		answered.Add(processes * slots)
		for i := range processes * slots {
			guests.Go(func() {
				s := all[i%processes].Guest(runnel.Caller{Role: runnel.RoleAnon}, false)
				defer s.Close()
				g := &guestCalls{t, s}
				got := g.ask(`SELECT current_user`)
				answered.Done()
				answered.Wait() // all are connected at the same time
				if got.String() != `[["anon"]]` {
					t.Errorf("process %d: %v", i%processes, got)
				}
				g.ask(`SELECT set_config('role', 'none', false)`)
				g.ask(`SELECT pg_terminate_backend(pg_backend_pid())`)
			})
		}
		guests.Wait()
	}
}
