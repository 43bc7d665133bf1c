package sql_test

import (
	"context"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/localpg"
	"github.com/runnelhq/runnel/sql"
)

// A settlement whose COMMIT waits for a standby is given up, and is not to be seen until
// the standby has it: were it cancelled, its caller would be told what a failover can
// still take back.
func TestFUNC_E1_NobodySeesACommitThatTheStandbyLacks(t *testing.T) {
	t.Parallel()
	server, err := localpg.Start(t.Context(), localpg.Options{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	url := server.URL("runnel")
	if err := sql.Migrate(t.Context(), url, nil); err != nil {
		t.Fatal(err)
	}
	b := use(t, url)
	b.deploy("hello", runnel.Config{})
	b.enqueue(sql.Enqueue{Function: "hello", Event: []byte(`{}`), Respond: true})
	ended := b.fetch("w")[0].settlement(sql.StateCompleted, "")
	ended.Respond, ended.Response = true, []byte(`"done"`)

	standby := func(names string) {
		t.Helper()
		b.exec(`ALTER SYSTEM SET synchronous_standby_names = '` + names + `'`)
		b.exec(`SELECT pg_reload_conf()`)
		for get[string](b, `SHOW synchronous_standby_names`) != names {
			if t.Context().Err() != nil {
				t.Fatal("the server does not read its configuration")
			}
		}
	}
	b.exec(`ALTER DATABASE runnel SET synchronous_commit = on`) // of connections to come
	standby("away")
	hurried, err := sql.OpenHurried(t.Context(), url, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer hurried.Close()
	// The second waits for the first one's lock, until the server gives up, so that
	// a cancel of the first would have had its effect.
	for i := range 2 {
		if settled, err := hurried.Settle(t.Context(), []sql.Settlement{ended}); runnel.CodeOf(err) != runnel.CodeUnavailable {
			t.Fatalf("settlement %d: %v, %v; want Unavailable while the standby is away", i, settled, err)
		}
	}
	if n := get[int](b, `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`); n != 1 {
		t.Errorf("%d sessions wait for the standby, want the first", n)
	}
	b.want([]string{"running 1 f 0"}, nil)

	standby("")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(b.log()) == 0 && ctx.Err() == nil {
	}
	b.want([]string{"completed 1 t 0"}, []string{"1 success"})
	if settled, err := hurried.Settle(t.Context(), []sql.Settlement{ended}); err != nil || settled[0] {
		t.Errorf("settled once more: %v, %v", settled, err)
	}
}
