package compile

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	w "github.com/runnelhq/runnel/internal/wasmtest"
	"github.com/runnelhq/runnel/sandbox/confine"
)

// TestMain is also the child: the real one, and ones that misbehave instead of
// compiling, inside the real one's limits.
func TestMain(m *testing.M) {
	if IsChild() {
		os.Exit(Child())
	}
	if len(os.Args) > 1 {
		if act, ok := acts[os.Args[1]]; ok {
			act()
			os.Exit(0)
		}
	}
	goleak.VerifyTestMain(m)
}

var acts = map[string]func(){
	"spin": func() {
		limit()
		for n := uint64(1); n != 0; n += 2 { // odd for ever
		}
	},
	"hog": func() {
		limit()
		for kept := [][]byte{}; ; {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			kept = append(kept, b)
		}
	},
	"sleep": func() { time.Sleep(time.Hour) },
	"flood": func() {
		limit()
		f, _ := os.Create("flood")
		for {
			if _, err := f.Write(make([]byte, 1<<20)); err != nil {
				fmt.Println(err)
				os.Exit(exitRefused)
			}
		}
	},
	"shout": func() {
		for range 1 << 10 {
			fmt.Print(string(make([]byte, 1<<10)))
		}
		os.Exit(exitRefused)
	},
	"crash": func() { panic("boom") },
	"die": func() {
		p, _ := os.FindProcess(os.Getpid())
		_ = p.Kill()
		select {}
	},
	// tell says what the child can see of its parent.
	"tell": func() {
		open, _ := os.ReadDir("/proc/self/fd")
		fds := []string{}
		for _, f := range open {
			if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil {
				fds = append(fds, to)
			}
		}
		b, _ := json.Marshal(map[string]any{"environ": os.Environ(), "fds": fds})
		fmt.Println(string(b))
		os.Exit(exitRefused)
	},
	// parent compiles with a child that sleeps, in the directory it is given. It is
	// meant to be killed.
	"parent": func() {
		exe, _ := os.Executable()
		c, err := New(context.Background(), Options{Dir: os.Args[2], Command: []string{exe, "announce", os.Args[3]}})
		if err != nil {
			panic(err)
		}
		_ = c.Compile(context.Background(), one)
	},
	// announce writes its process id to a file and sleeps.
	"announce": func() {
		temporary := os.Args[2] + ".tmp"
		_ = os.WriteFile(temporary, []byte(strconv.Itoa(os.Getpid())), 0o600)
		_ = os.Rename(temporary, os.Args[2])
		time.Sleep(time.Hour)
	},
}

// limit sets the limits that the last arguments say, as the real child does.
func limit() {
	n := [3]uint64{}
	for i, arg := range os.Args[len(os.Args)-3:] {
		n[i], _ = strconv.ParseUint(arg, 10, 64)
	}
	if err := (confine.Limits{CPU: n[0], Memory: n[1], Output: n[2]}).Apply(); err != nil {
		panic(err)
	}
}

// acting is the command for a child that does as its name says.
func acting(t testing.TB, act ...string) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{exe}, act...)
}

func newCompiler(t testing.TB, o Options) *Compiler {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Command == nil {
		o.Command = acting(t)
	}
	c, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(c.store.process); err == nil {
			t.Errorf("%s is left after Close", c.store.process)
		}
	})
	return c
}

// module returns a module with that many functions; the number tells it from others.
func module(functions int) []byte {
	m := w.New()
	typ := m.Type(nil, w.Types(w.I32))
	for i := range functions {
		c := w.Body().I32Const(int32(i))
		for range 40 {
			c.I32Const(int32(i)).Op(w.I32Add)
		}
		m.ExportFunc("f"+strconv.Itoa(i), m.Func(typ, nil, c.End()))
	}
	return m.Bytes()
}
