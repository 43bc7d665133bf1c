// Command faults breaks a real deployment of Runnel in the ways that deployments
// break, and lays the ledgers side by side afterwards: what was enqueued, what
// ran, what was logged, what River says.
//
//	go run ./bench/faults              all rows, about 25 minutes; writes docs/FAULTS.md
//	go run ./bench/faults -rows killed those whose name matches
//	go run ./bench/faults -brief       smaller, for a look
//
// Each row has a Postgres cluster of its own (package internal/localpg), the real
// binaries, and clients of all four triggers that remember what they sent. A row
// is kept when nothing is lost, duplicated or unaccounted for, audit.sql says what
// that means. As root it can also mount a small disk for the row that fills it,
// in a mount namespace of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// runLimit ends the whole run.
const runLimit = 30 * time.Minute

const inside = "RUNNEL_FAULTS_INSIDE"

func main() {
	if os.Getuid() == 0 && os.Getenv(inside) == "" {
		os.Exit(isolated())
	}
	which := flag.String("rows", ".", "run the rows whose name matches this `regexp`")
	list := flag.Bool("list", false, "list the rows and stop")
	small := flag.Bool("brief", false, "fewer invocations, shorter rows")
	page := flag.String("page", "", "write the report to this `file`")
	state := flag.String("state", "", "with -page: keep outcomes in this `file`, for a report made in parts")
	killing := flag.Duration("killing", full.schedules, "for how long workers are killed while schedules fire")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, runLimit, errors.New("the run took longer than "+runLimit.String()))
	defer cancel()
	match, err := regexp.Compile("(?i)" + *which)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	s := full
	if *small {
		s = brief
	}
	s.schedules = min(s.schedules, *killing)
	if err := run(ctx, match, s, *list, *page, *state); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// isolated runs this program again where its mounts are nobody else's.
func isolated() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	if cmd.Start() != nil { // no namespaces here: then without
		cmd.SysProcAttr.Unshareflags = 0
		cmd.Process = nil
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

func run(ctx context.Context, match *regexp.Regexp, s scale, list bool, page, state string) error {
	dir, err := os.MkdirTemp("", "runnel-faults-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var wanted []row
	for _, r := range rows() {
		if match.MatchString(r.name) {
			wanted = append(wanted, r)
		}
	}
	if list {
		for _, r := range wanted {
			fmt.Println(r.name)
		}
		return nil
	}
	seen := runAll(ctx, &programs{dir: dir}, s, wanted)
	failed := 0
	for _, o := range seen {
		if !o.ok() {
			failed++
		}
	}
	if page != "" {
		all, err := merge(state, seen)
		if err != nil {
			return err
		}
		if err := writePage(page, all); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d rows were not kept", failed, len(seen))
	}
	return context.Cause(ctx)
}

// runAll runs long rows beside the others, which run one after another, and prints
// each as it ends.
func runAll(ctx context.Context, p *programs, s scale, wanted []row) []outcome {
	seen := make([]outcome, len(wanted))
	var printing sync.Mutex
	one := func(i int) {
		begun := time.Now()
		o := wanted[i].run(ctx, p, s)
		printing.Lock()
		defer printing.Unlock()
		fmt.Print(o.text(time.Since(begun)))
		seen[i] = o
	}
	var long sync.WaitGroup
	for i, r := range wanted {
		if r.long {
			long.Go(func() { one(i) })
		}
	}
	for i, r := range wanted {
		if !r.long {
			one(i)
		}
	}
	long.Wait()
	return seen
}

// text is the outcome for a terminal.
func (o outcome) text(took time.Duration) string {
	s := fmt.Sprintf("%s (%s)\n", o.Name, took.Round(time.Second))
	if o.Skipped+o.Failed != "" {
		return s + "  " + o.Skipped + o.Failed + "\n"
	}
	s += fmt.Sprintf("  lost / duplicated / unaccounted = %s; %d over the fault, %d in all, %d runs\n", o.Audit.verdict(), o.InFlight, o.Audit.Enqueued, o.Audit.Ran)
	s += fmt.Sprintf("  all accounted for after %s; a call answered after %s; callers waited %s, at most %s\n",
		o.Settled.Round(10*time.Millisecond), o.Answered.Round(10*time.Millisecond), o.Median.Round(time.Millisecond), o.Longest.Round(time.Millisecond))
	s += fmt.Sprintf("  rows: %s\n  HTTP: %s\n", o.Audit.Rows, o.Audit.Answers)
	for _, n := range o.Notes {
		s += "  " + n + "\n"
	}
	return s + o.Audit.details()
}
