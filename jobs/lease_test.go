package jobs

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/runnelhq/runnel/sql"
)

func TestFUNC_F3_NothingBeginsWithoutALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease()
		if !l.over() {
			t.Error("a lease before the first heartbeat")
		}
		<-l.wanted
		l.renew(time.Now())
		time.Sleep(silentAfter - time.Millisecond)
		if l.over() {
			t.Error("the lease was over before others may sweep")
		}
		time.Sleep(time.Millisecond)
		for range 2 { // asking twice is fine
			if !l.over() {
				t.Error("the lease lasts longer than the silence that others wait for")
			}
		}
		select {
		case <-l.wanted:
		default:
			t.Error("nobody was asked for a heartbeat")
		}
	})
}

func TestFUNC_F3_AJobThatWasGivenBackDoesNotBegin(t *testing.T) {
	at := time.Now().Truncate(time.Microsecond)
	job := func(id int64, at time.Time) *river.Job[Args] {
		return &river.Job[Args]{JobRow: &rivertype.JobRow{ID: id, AttemptedAt: &at}}
	}
	k := newTaken()
	ended, ok := k.begin(job(1, at))
	if !ok {
		t.Fatal("a job did not begin")
	}
	strays := k.disown([]sql.Taken{{Job: 1, At: at}, {Job: 2, At: at}})
	if len(strays) != 1 || strays[0].Job != 2 {
		t.Errorf("strays %v, want job 2: job 1 runs", strays)
	}
	if _, ok := k.begin(job(2, at)); ok {
		t.Error("a job began after it was given back")
	}
	if _, ok := k.begin(job(2, at.Add(time.Microsecond))); !ok {
		t.Error("the next fetch of the same job did not begin")
	}
	ended()
	if strays := k.disown([]sql.Taken{{Job: 1, At: at}}); len(strays) != 1 {
		t.Error("a job that has ended here, and still runs by its row, is no stray")
	}
}

func TestClock_IsTheDatabases(t *testing.T) {
	var c clock
	here := time.Now()
	c.set(here.Add(5*time.Minute+time.Second), here, here.Add(2*time.Second))
	if got := c.at(here); !got.Equal(here.Add(5 * time.Minute)) {
		t.Errorf("%s here is %s there, want five minutes later", here, got)
	}
}
