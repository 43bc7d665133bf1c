package api

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/redact"
	"github.com/runnelhq/runnel/sql"
)

// stored counts environment values by how they are stored.
func (h *house) stored() (clear, sealed int) {
	h.t.Helper()
	if err := h.db.Pool().QueryRow(h.t.Context(), `SELECT count(value), count(sealed) FROM runnel.environment`).Scan(&clear, &sealed); err != nil {
		h.t.Fatal(err)
	}
	return clear, sealed
}

// tells calls a guests.Tell and answers what it logged.
func (h *house) tells(name string) string {
	h.t.Helper()
	row := h.ended(h.call("/functions/v1/"+name, `{}`).Header.Get(headerInvocationID))
	if row.Status != runnel.StatusSuccess || len(row.Logs) != 1 {
		h.t.Fatalf("%s: %+v", name, row)
	}
	return row.Logs[0].Message
}

// With keys no dump has a value in it, whichever way it came; the function has it, and
// management shows what is not sensitive. Once it ran, its log row has that too, as the
// specification wants it, and nothing else.
func TestFUNC_S1_EnvironmentsAreSealedAtRest(t *testing.T) {
	h := newHouse(t, Config{Keys: ringOf(t, keyring.Generate())}).work()
	const (
		harmless = "harmless-mode-4711"
		token    = "tok-0123456789-4711"
		patched  = "patched-mode-4711"
	)
	env := `"environment":{"MODE":"` + harmless + `","API_KEY":"` + token + `","EMPTY":""}`
	h.function(`{"name":"tell",`+env+`}`, guests.Tell("MODE"))
	h.function(`{"name":"key",`+env+`}`, guests.Tell("API_KEY"))
	if r := h.admin("PATCH", "/admin/v1/functions/key", `{"environment":{"API_KEY":"`+token+`","MODE":"`+patched+`"}}`); r.StatusCode != 200 {
		t.Fatal(r)
	}
	if clear, sealed := h.stored(); clear != 0 || sealed != 5 {
		t.Errorf("%d values are in the clear and %d are sealed", clear, sealed)
	}
	for _, value := range []string{harmless, token, patched} {
		if strings.Contains(pgtest.Dump(t, h.dsn), value) {
			t.Errorf("the dump has %s in it", value)
		}
	}
	var fn struct{ Environment map[string]string }
	decode(t, h.admin("GET", "/admin/v1/functions/tell", ""), &fn)
	if got := fmt.Sprint(fn.Environment); got != "map[API_KEY:"+redact.Mask+" EMPTY: MODE:"+harmless+"]" {
		t.Errorf("management shows %s", got)
	}

	if got := h.tells("tell"); got != harmless {
		t.Errorf("the function read %q", got)
	}
	if got := h.tells("key"); got != redact.Mask {
		t.Errorf("the log has %q", got)
	}
	if strings.Contains(pgtest.Dump(t, h.dsn), token) {
		t.Error("after a call the dump has the sensitive value in it")
	}
	if text := pgtest.Dump(t, h.dsn, "--exclude-table-data", "runnel.function_invocations*"); strings.Contains(text, harmless) || strings.Contains(text, patched) {
		t.Error("after a call a value is somewhere else than in the log")
	}
}

// Rows of a time without keys work, and are sealed by rotation. Without keys, values
// that are sealed are not shown.
func TestEnvironmentsInTheClearAreSealedByRotation(t *testing.T) {
	h := newHouse(t, Config{Keys: ringOf(t, keyring.Generate())}).work()
	plain, err := sql.Open(t.Context(), h.dsn, sql.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	h.function(`{"name":"tell"}`, guests.Tell("MODE"))
	if _, err := plain.Configure(t.Context(), "tell", runnel.Config{Environment: &map[string]string{"MODE": "of old", "API_KEY": "tok-0123456789"}}); err != nil {
		t.Fatal(err)
	}
	if clear, _ := h.stored(); clear != 2 || h.tells("tell") != "of old" {
		t.Errorf("%d values are in the clear", clear)
	}
	for _, want := range []string{`{"rotated":2,"total":2,"unreadable":[]}`, `{"rotated":0,"total":2,"unreadable":[]}`} {
		if r := h.admin("POST", "/admin/v1/secrets/rotate", ""); r.body != want+"\n" {
			t.Errorf("got %v, want %s", r, want)
		}
	}
	if clear, sealed := h.stored(); clear != 0 || sealed != 2 || h.tells("tell") != "of old" {
		t.Errorf("%d values are in the clear and %d are sealed", clear, sealed)
	}
	h.server.cfg.Keys = nil
	if r := h.admin("GET", "/admin/v1/functions/tell", ""); r.StatusCode != 200 || strings.Contains(r.body, "of old") || !strings.Contains(r.body, `"MODE":"`+redact.Mask) {
		t.Errorf("without keys: %v", r)
	}
}

// Keys that are not the ones: every attempt is logged and says what to do, and the
// worker goes on. So it is with a value that was copied from elsewhere.
func TestEnvironmentsThatCannotBeDecryptedFailTheAttempt(t *testing.T) {
	h := newHouse(t, Config{Keys: ringOf(t, keyring.Generate())}).work()
	for _, name := range []string{"fine", "moved", "renamed", "lost", "crossed", "cut"} {
		h.function(`{"name":"`+name+`","environment":{"MODE":"a mode of `+name+`","OTHER":"another of `+name+`"}}`, guests.Tell("MODE"))
	}
	ring := ringOf(t, keyring.Generate())
	for _, statement := range []string{
		`UPDATE runnel.environment e SET sealed = o.sealed FROM runnel.environment o, runnel.functions f, runnel.functions g
			WHERE f.id = e.function_id AND g.id = o.function_id AND f.name = 'moved' AND g.name = 'fine' AND e.key = o.key`,
		`UPDATE runnel.environment e SET sealed = o.sealed FROM runnel.environment o, runnel.functions f
			WHERE f.id = e.function_id AND o.function_id = e.function_id AND f.name = 'renamed' AND e.key = 'MODE' AND o.key = 'OTHER'`,
		`INSERT INTO runnel.secrets (function_id, key, value) SELECT function_id, key, sealed FROM runnel.environment e
			JOIN runnel.functions f ON f.id = e.function_id WHERE f.name = 'crossed'`,
		`UPDATE runnel.environment e SET sealed = substr(sealed, 1, octet_length(sealed) - 1) FROM runnel.functions f
			WHERE f.id = e.function_id AND f.name = 'cut'`,
	} {
		if tag, err := h.db.Pool().Exec(t.Context(), statement); err != nil || tag.RowsAffected() == 0 {
			t.Fatal(tag, err)
		}
	}
	var id string
	if err := h.db.Pool().QueryRow(t.Context(), `SELECT id FROM runnel.functions WHERE name = 'lost'`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	if _, err := h.db.Pool().Exec(t.Context(), `UPDATE runnel.environment SET sealed = $1 WHERE function_id = $2 AND key = 'MODE'`,
		ring.Seal([]byte("a mode nobody reads"), sql.BindEnvironment(id, "MODE")...), id); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		"moved": "changed or moved; deploy the function's environment again", "renamed": "environment value MODE cannot be decrypted", "cut": "changed or moved",
		"crossed": "changed or moved; set the secret again", "lost": "RUNNEL_SECRET_KEYS is the one it was encrypted with; add that key, or deploy",
	} {
		r := h.call("/functions/v1/"+name, `{}`)
		row := h.ended(r.Header.Get(headerInvocationID))
		if r.StatusCode != 503 || r.code() != runnel.CodeUnavailable || !strings.Contains(r.body, says) || strings.Contains(r.body, "a mode") || strings.Contains(r.body, "another of") {
			t.Errorf("%s: %v", name, r)
		}
		if row.Status != runnel.StatusError || row.ErrorCode != runnel.CodeUnavailable || row.Environment["MODE"] != redact.Mask || len(row.Attempts) != 1 {
			t.Errorf("%s: row %+v", name, row)
		}
		if shown := h.admin("GET", "/admin/v1/functions/"+name, ""); shown.StatusCode != 200 || strings.Contains(shown.body, "a mode") {
			t.Errorf("%s: %v", name, shown)
		}
	}
	if got := h.tells("fine"); got != "a mode of fine" {
		t.Errorf("fine: %q", got)
	}
	// Setting it again heals.
	if r := h.admin("PATCH", "/admin/v1/functions/lost", `{"environment":{"MODE":"found"}}`); r.StatusCode != 200 {
		t.Fatal(r)
	}
	if got := h.tells("lost"); got != "found" {
		t.Errorf("after a PATCH: %q", got)
	}
	var unreadable struct{ Unreadable []string }
	h.server.cfg.Keys = ring
	decode(t, h.admin("POST", "/admin/v1/secrets/rotate", ""), &unreadable)
	if got := fmt.Sprint(unreadable.Unreadable); !strings.Contains(got, "fine/environment/MODE") || !strings.Contains(got, "crossed/MODE") {
		t.Errorf("with other keys rotation names %s", got)
	}
}

// rotationChild in the environment makes TestRotationChild rotate a database's values,
// to be killed at it.
const rotationChild = "RUNNEL_TEST_ROTATION"

func TestRotationChild(t *testing.T) {
	var order struct{ URL, Keys string }
	text := os.Getenv(rotationChild)
	if text == "" {
		t.Skip("a child of TestRotationThatIsKilledLosesNothing")
	}
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(t.Context(), order.URL, sql.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, _, _, err := rotate(t.Context(), db, ringOf(t, strings.Split(order.Keys, ",")...)); err != nil {
		t.Fatal(err)
	}
}

// Two rotations at a time, killed in the middle again and again, while two workers
// read what they write and somebody sets values: every value is there at each moment,
// and in the end all are under the new key.
func TestRotationThatIsKilledLosesNothing(t *testing.T) {
	old, current := keyring.Generate(), keyring.Generate()
	h := newHouse(t, Config{Keys: ringOf(t, old)})
	const functions, values = 4, 250
	expect := map[string]string{}
	for f := range functions {
		name := fmt.Sprint("f", f)
		env := map[string]string{"MODE": "the mode of " + name}
		for v := range values - 1 {
			env[fmt.Sprintf("K%03d", v)] = fmt.Sprintf("value %d of %s", v, name)
		}
		for k, v := range env {
			expect[name+"/"+k] = v
		}
		text, err := json.Marshal(env)
		if err != nil {
			t.Fatal(err)
		}
		h.function(`{"name":"`+name+`","environment":`+string(text)+`}`, guests.Tell("MODE"))
	}
	// From here on as after the restart with the new key in front.
	both := ringOf(t, current, old)
	h.keys, h.server.cfg.Keys = both, both
	h.work().work()
	underNew := func() (n int) {
		if _, total, err := h.db.Rotate(t.Context(), func(s sql.Stored) ([]byte, error) {
			if both.Current(s.Value) {
				n++
			}
			return nil, nil
		}); err != nil || total != functions*values {
			t.Fatalf("%d values, %v", total, err)
		}
		return n
	}

	done := make(chan struct{})
	var callers sync.WaitGroup
	for f := range functions {
		callers.Go(func() {
			for {
				r := h.call(fmt.Sprint("/functions/v1/f", f), `{}`)
				if r.StatusCode != 200 {
					t.Errorf("f%d: %v", f, r)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	order, err := json.Marshal(map[string]string{"URL": h.dsn, "Keys": current + "," + old})
	if err != nil {
		t.Fatal(err)
	}
	child := func() *exec.Cmd {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRotationChild$")
		c.Env = append(os.Environ(), rotationChild+"="+string(order))
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	// Rotation goes by name and key: a lock on a value stops both at a known place.
	for _, at := range []struct {
		function, key string
		done          int
	}{{"f0", "K100", 100}, {"f1", "K100", values + 100}, {"f3", "K000", 3 * values}} {
		lock, err := h.db.Pool().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if tag, err := lock.Exec(t.Context(), `SELECT FROM runnel.environment e JOIN runnel.functions f ON f.id = e.function_id
			WHERE f.name = $1 AND e.key = $2 FOR UPDATE OF e`, at.function, at.key); err != nil || tag.RowsAffected() != 1 {
			t.Fatal(tag, err)
		}
		children := []*exec.Cmd{child(), child()}
		h.until("the way to "+at.function+"/"+at.key, func() bool { return underNew() == at.done })
		for _, c := range children {
			if err := c.Process.Kill(); err != nil {
				t.Error(err)
			}
			if c.Wait() == nil {
				t.Error("a rotation ended by itself")
			}
		}
		if err := lock.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// Two to the end, at once.
	var rotations sync.WaitGroup
	for range 2 {
		rotations.Go(func() {
			if r := h.admin("POST", "/admin/v1/secrets/rotate", ""); r.StatusCode != 200 || !strings.Contains(r.body, `"unreadable":[]`) {
				t.Errorf("%v", r)
			}
		})
	}
	rotations.Wait()
	close(done)
	callers.Wait()

	alone := ringOf(t, current)
	if _, _, err := h.db.Rotate(t.Context(), func(s sql.Stored) ([]byte, error) {
		value, err := alone.Open(s.Value, s.Bind()...)
		if want := expect[s.Function+"/"+s.Key]; err != nil || string(value) != want {
			t.Errorf("%s: %q, %v, want %q", s.Name(), value, err, want)
		}
		delete(expect, s.Function+"/"+s.Key)
		return nil, nil
	}); err != nil || len(expect) > 0 {
		t.Errorf("%d values are gone, %v", len(expect), err)
	}
}
