package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

// The canary of errSettled: a worker that returns it without having settled
// anything leaves the job running, because River itself writes nothing.
func TestRiverLeavesSettledJobsAlone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	db, err := sql.Open(ctx, pgtest.Database(t), sql.Options{MaxConns: 4, ApplicationName: "canary"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	worked := make(chan struct{})
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[Args]) error {
		close(worked)
		return errSettled
	}))
	client, err := river.NewClient(riverpgxv5.New(db.Pool()), &river.Config{
		Schema: sql.Schema, Workers: workers, Queues: map[string]river.QueueConfig{sql.Queue: {MaxWorkers: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Insert(ctx, Args{ID: sql.NewID(), Function: "f"}, &river.InsertOpts{Queue: sql.Queue, MaxAttempts: 1}); err != nil {
		t.Fatal(err)
	}
	<-worked
	if err := client.Stop(ctx); err != nil { // flushes River's completer
		t.Fatal(err)
	}
	var state string
	if err := db.Pool().QueryRow(ctx, `SELECT state FROM runnel.river_job`).Scan(&state); err != nil {
		t.Fatal(err)
	}
	if state != "running" {
		t.Fatalf("River moved the job to %s: errSettled no longer keeps it away (see settled.go)", state)
	}
}
