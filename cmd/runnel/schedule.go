package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// schedule is what of a schedule the command line shows.
type schedule struct {
	ID       int64      `json:"id"`
	Name     string     `json:"name"`
	Function string     `json:"function"`
	Cron     string     `json:"cron"`
	Timezone string     `json:"timezone"`
	CatchUp  string     `json:"catch_up"`
	Overlap  string     `json:"overlap"`
	Enabled  bool       `json:"enabled"`
	NextRun  *time.Time `json:"next_run"`
	Error    string     `json:"error"`
}

func (s schedule) path() string { return "/admin/v1/schedules/" + strconv.FormatInt(s.ID, 10) }

// audit is what of an audit the command line shows.
type audit struct {
	Schedule   string         `json:"schedule"`
	Since      time.Time      `json:"since"`
	Until      time.Time      `json:"until"`
	Matches    int            `json:"matches"`
	Fired      int            `json:"fired"`
	CaughtUp   int            `json:"caught_up"`
	Skipped    int            `json:"skipped"`
	Reasons    map[string]int `json:"skip_reasons"`
	Gaps       int            `json:"gaps"`
	Duplicates int            `json:"duplicates"`
	Unmatched  int            `json:"unmatched"`
	Missing    int            `json:"missing"`
	GapTimes   []time.Time    `json:"gap_times"`
	Unmatching []time.Time    `json:"unmatched_times"`
	Clean      bool           `json:"clean"`
}

func (t *tool) scheduleCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "schedule",
		Short: "Run functions by cron, and check that no match was missed",
	}, t.scheduleList(), t.scheduleAdd(), t.scheduleRemove(), t.scheduleSwitch(true), t.scheduleSwitch(false),
		t.scheduleTicks(), t.scheduleAudit())
}

func (t *tool) scheduleList() *cobra.Command {
	return &cobra.Command{
		Use:   "list [FUNCTION]",
		Short: "List the schedules, of one function or all",
		Args:  atMost("FUNCTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			path := "/admin/v1/schedules"
			if len(args) > 0 {
				path = c.functionPath(args[0]) + "/schedules"
			}
			var got struct{ Schedules []json.RawMessage }
			if err := c.manage(cmd.Context(), http.MethodGet, path, nil, nil, &got); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(got.Schedules)
			}
			rows := make([][]string, len(got.Schedules))
			for i, raw := range got.Schedules {
				var s schedule
				if err := json.Unmarshal(raw, &s); err != nil {
					return err
				}
				next := "never"
				switch {
				case !s.Enabled:
					next = "disabled"
				case s.Error != "":
					next = s.Error
				case s.NextRun != nil:
					next = s.NextRun.UTC().Format(time.RFC3339)
				}
				rows[i] = []string{s.Name, s.Function, s.Cron, s.Timezone, s.CatchUp, s.Overlap, next}
			}
			return t.writeTable([]string{"NAME", "FUNCTION", "CRON", "TIMEZONE", "CATCH UP", "OVERLAP", "NEXT RUN"}, rows)
		},
	}
}

func (t *tool) scheduleAdd() *cobra.Command {
	var payload, timezone, catchUp, overlap string
	var disabled bool
	cmd := &cobra.Command{
		Use:   "add NAME CRON FUNCTION",
		Short: "Make a schedule, or change the one of that name",
		Long: `Make a schedule, or change the one of that name.

CRON has five fields (minute hour day-of-month month day-of-week), or six with
seconds in front, or is @hourly, @daily, @weekly, @monthly or @yearly. Quote it.`,
		Example: `  runnel schedule add nightly "30 4 * * MON-FRI" report --timezone Europe/Berlin
  runnel schedule add sync "*/10 * * * * *" sync --overlap queue --payload '{"full":false}'`,
		Args: exactly("NAME", "CRON", "FUNCTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			wanted := map[string]any{"name": args[0], "cron": args[1], "timezone": timezone, "catch_up": catchUp, "overlap": overlap}
			if payload != "" {
				data, err := t.readData(payload)
				if err != nil {
					return err
				}
				if !json.Valid(data) {
					return usagef("--payload is not JSON: quote it for the shell, such as '{\"n\":1}'")
				}
				wanted["payload"] = json.RawMessage(data)
			}
			if cmd.Flags().Changed("disabled") {
				wanted["enabled"] = !disabled
			}
			var raw json.RawMessage
			if err := c.manageJSON(cmd.Context(), http.MethodPost, c.functionPath(args[2])+"/schedules", wanted, &raw); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(raw)
			}
			var s schedule
			if err := json.Unmarshal(raw, &s); err != nil {
				return err
			}
			state := ""
			if !s.Enabled {
				state = "; it is disabled: runnel schedule enable " + s.Name
			}
			_, err = fmt.Fprintf(t.out, "%s runs %s at %q in %s%s\n", printable(s.Name), s.Function, s.Cron, s.Timezone, printable(state))
			return err
		},
	}
	cmd.Flags().StringVar(&payload, "payload", "", "JSON for the function: the text itself, @FILE, or - for standard input")
	cmd.Flags().StringVar(&timezone, "timezone", "UTC", "whose clock CRON is matched against, such as Europe/Berlin")
	cmd.Flags().StringVar(&catchUp, "catch-up", "latest", "which runs to make up for that no worker was there for: all (the newest 100), latest or none")
	cmd.Flags().StringVar(&overlap, "overlap", "allow", "when the run before has not finished: allow, skip or queue")
	cmd.Flags().BoolVar(&disabled, "disabled", false, "make it, but do not run it yet")
	return cmd
}

// onSchedule is a command whose first argument names a schedule.
func onSchedule(do func(cmd *cobra.Command, c *client, s schedule) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := newClient()
		if err != nil {
			return err
		}
		s, err := c.findSchedule(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return do(cmd, c, s)
	}
}

// findSchedule finds a schedule by its name.
func (c *client) findSchedule(ctx context.Context, name string) (schedule, error) {
	var got struct{ Schedules []schedule }
	if err := c.manage(ctx, http.MethodGet, "/admin/v1/schedules", nil, nil, &got); err != nil {
		return schedule{}, err
	}
	var names []string
	for _, s := range got.Schedules {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return schedule{}, fmt.Errorf("NotFound: there is no schedule %q%s", name, cmp.Or(didYouMean(name, names), ": see runnel schedule list"))
}

func (t *tool) scheduleRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a schedule and its ledger",
		Args:  exactly("NAME"),
		RunE: onSchedule(func(cmd *cobra.Command, c *client, s schedule) error {
			if err := c.manage(cmd.Context(), http.MethodDelete, s.path(), nil, nil, nil); err != nil {
				return err
			}
			return t.removed(s.Name, "is removed, and its ledger with it")
		}),
	}
}

func (t *tool) scheduleSwitch(on bool) *cobra.Command {
	verb, short := "disable", "Turn a schedule off; what matches while it is off never runs"
	if on {
		verb, short = "enable", "Turn a schedule on again, from now on"
	}
	return &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Args:  exactly("NAME"),
		RunE: onSchedule(func(cmd *cobra.Command, c *client, s schedule) error {
			var raw json.RawMessage
			if err := c.manageJSON(cmd.Context(), http.MethodPatch, s.path(), map[string]bool{"enabled": on}, &raw); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(raw)
			}
			_, err := fmt.Fprintf(t.out, "%s is %sd\n", printable(s.Name), verb)
			return err
		}),
	}
}

func (t *tool) scheduleTicks() *cobra.Command {
	var since string
	var limit int
	cmd := &cobra.Command{
		Use:   "ticks NAME",
		Short: "List what became of a schedule's matches, newest first",
		Args:  exactly("NAME"),
		RunE: onSchedule(func(cmd *cobra.Command, c *client, s schedule) error {
			var got struct{ Ticks []json.RawMessage }
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			if since != "" {
				q.Set("since", since)
			}
			if err := c.manage(cmd.Context(), http.MethodGet, s.path()+"/ticks?"+q.Encode(), nil, nil, &got); err != nil {
				return err
			}
			if t.json {
				return t.writeJSON(got.Ticks)
			}
			rows := make([][]string, len(got.Ticks))
			for i, raw := range got.Ticks {
				var tick struct {
					Time         time.Time `json:"scheduled_time"`
					Outcome      string    `json:"outcome"`
					Reason       string    `json:"reason"`
					Waiting      bool      `json:"waiting"`
					InvocationID string    `json:"invocation_id"`
				}
				if err := json.Unmarshal(raw, &tick); err != nil {
					return err
				}
				what := tick.InvocationID
				if tick.Waiting {
					what += " (waits for the run before)"
				}
				if tick.Reason != "" {
					what = tick.Reason
				}
				rows[i] = []string{tick.Time.UTC().Format(time.RFC3339), tick.Outcome, what}
			}
			return t.writeTable([]string{"MATCH", "OUTCOME", "INVOCATION OR REASON"}, rows)
		}),
	}
	cmd.Flags().StringVar(&since, "since", "", "how far to look back: a duration such as 15m, or a time")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many to list, at most 500")
	return cmd
}

// notClean is an audit that found something.
type notClean struct{ schedules int }

func (e notClean) Error() string {
	return fmt.Sprintf("not every match is accounted for exactly once; schedules that are not clean: %d", e.schedules)
}

func (t *tool) scheduleAudit() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use:   "audit [NAME]",
		Short: "Compare schedules' ledgers with their cron expressions",
		Long: `Compare schedules' ledgers with their cron expressions.

Computes every match since then from the expressions that counted at the time,
and looks for it in the ledger. A gap is a match that is not there, a duplicate
a second run of the same match. Exits with 1 when there are any, or anything
else that should not be: ticks that match nothing, or whose run has vanished.`,
		Args: atMost("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient()
			if err != nil {
				return err
			}
			q := url.Values{"since": {since}}
			if len(args) > 0 {
				q.Set("schedule", args[0])
			}
			var got struct{ Schedules []json.RawMessage }
			if err := c.manage(cmd.Context(), http.MethodGet, "/admin/v1/schedules/audit?"+q.Encode(), nil, nil, &got); err != nil {
				return err
			}
			audits := make([]audit, len(got.Schedules))
			bad := 0
			for i, raw := range got.Schedules {
				if err := json.Unmarshal(raw, &audits[i]); err != nil {
					return err
				}
				if !audits[i].Clean {
					bad++
				}
			}
			if t.json {
				err = t.writeJSON(got.Schedules)
			} else {
				err = t.writeAudits(audits)
			}
			if err == nil && bad > 0 {
				err = notClean{bad}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&since, "since", "24h", "how far to look back: a duration such as 168h, or a time")
	return cmd
}

func (t *tool) writeAudits(audits []audit) error {
	rows := make([][]string, len(audits))
	for i, a := range audits {
		verdict := "clean"
		if !a.Clean {
			verdict = "NOT CLEAN"
		}
		n := strconv.Itoa
		rows[i] = []string{a.Schedule, a.Since.UTC().Format(time.RFC3339), n(a.Matches), n(a.Fired), n(a.CaughtUp), n(a.Skipped),
			n(a.Duplicates), n(a.Gaps), n(a.Unmatched), n(a.Missing), verdict}
	}
	if err := t.writeTable([]string{"SCHEDULE", "SINCE", "MATCHES", "FIRED", "CAUGHT UP", "SKIPPED", "DUPLICATES", "GAPS", "UNMATCHED", "MISSING", "VERDICT"}, rows); err != nil {
		return err
	}
	for _, a := range audits {
		for _, reason := range slices.Sorted(maps.Keys(a.Reasons)) {
			fmt.Fprintf(t.out, "%s: %d skipped: %s\n", printable(a.Schedule), a.Reasons[reason], printable(reason))
		}
		for _, at := range a.GapTimes {
			fmt.Fprintf(t.out, "%s: gap at %s\n", printable(a.Schedule), at.UTC().Format(time.RFC3339))
		}
		for _, at := range a.Unmatching {
			fmt.Fprintf(t.out, "%s: nothing matches at %s\n", printable(a.Schedule), at.UTC().Format(time.RFC3339))
		}
	}
	return nil
}
