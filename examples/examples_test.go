// Package examples_test runs the examples' modules in the sandbox, as a worker
// would, with honest events and with arbitrary bytes.
package examples_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox"
)

// function is a module and what runs it.
type function struct {
	runtime *sandbox.Runtime
	wasm    []byte
	hash    string
	env     map[string]string
}

func newFunction(t testing.TB, wasm []byte) *function {
	t.Helper()
	info, err := sandbox.Check(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	r, err := sandbox.New(context.Background(), sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	sum := sha256.Sum256(wasm)
	if want := hex.EncodeToString(sum[:]); info.Hash != want {
		t.Fatalf("hash %s, want %s", info.Hash, want)
	}
	return &function{runtime: r, wasm: wasm, hash: info.Hash}
}

func committed(t testing.TB, path string) *function {
	t.Helper()
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return newFunction(t, wasm)
}

func (f *function) run(ctx context.Context, event string) (sandbox.Outcome, error) {
	return f.runtime.Run(ctx, sandbox.Call{
		Hash:    f.hash,
		Load:    func(context.Context) ([]byte, error) { return f.wasm, nil },
		Event:   []byte(event),
		Env:     f.env,
		Timeout: 10 * time.Second,
		Memory:  64 << 20,
	})
}

// answer runs f and compares its result as JSON.
func (f *function) answer(t *testing.T, event, want string) {
	t.Helper()
	out, err := f.run(t.Context(), event)
	if err != nil {
		t.Errorf("%.200s: %v", event, err)
	} else if got := canonical(t, out.Output); got != canonical(t, []byte(want)) {
		t.Errorf("%.200s\n  got  %.500s\n  want %.500s", event, got, want)
	}
}

// canonical keeps numbers as they are written.
func canonical(t *testing.T, b []byte) string {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Errorf("%.200q is not JSON: %v", b, err)
		return ""
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// build runs the recipe of examples/Makefile for one module into a folder of its
// own, and skips the test when a tool it needs is not installed.
func build(t *testing.T, source, module string, tools ...string) []byte {
	t.Helper()
	for _, tool := range append(tools, "make") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"Makefile", source} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("make", "-C", dir, module).CombinedOutput(); err != nil {
		t.Fatalf("make: %v\n%s", err, out)
	}
	wasm, err := os.ReadFile(filepath.Join(dir, module))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// event is what a database trigger hands over.
func event(operation, old, new string) string {
	return fmt.Sprintf(`{"trigger":"database","schema":"demo","table":"orders","operation":%q,"old":%s,"new":%s,"timestamp":"2026-11-23T03:00:00Z","transaction_id":"771"}`, operation, old, new)
}

func summaries(t *testing.T, f *function) {
	f.answer(t,
		event("UPDATE", `{"id":1,"customer":"Ada","status":"new","total_cents":100,"note":null}`, `{"id":1,"customer":"Ada","status":"paid","total_cents":120,"note":null}`),
		`{"table":"orders","operation":"UPDATE","changed":[{"column":"status","from":"new","to":"paid"},{"column":"total_cents","from":100,"to":120}],"summary":"orders: 2 columns changed: status, total_cents"}`)
	f.answer(t, event("UPDATE", `{"a":1}`, `{"a":1}`), `{"table":"orders","operation":"UPDATE","changed":[],"summary":"orders: 0 columns changed"}`)
	f.answer(t, event("UPDATE", `{"a":1,"b":2}`, `{"b":3,"a":1}`), `{"table":"orders","operation":"UPDATE","changed":[{"column":"b","from":2,"to":3}],"summary":"orders: 1 column changed: b"}`)
	f.answer(t, event("INSERT", `null`, `{"id":12345678901234567890,"note":null}`), `{"table":"orders","operation":"INSERT","changed":[{"column":"id","from":null,"to":12345678901234567890}],"summary":"orders: 1 row inserted"}`)
	f.answer(t, event("DELETE", `{"tags":["a\"}","\\"],"o":{"x":[]}}`, `null`), `{"table":"orders","operation":"DELETE","changed":[{"column":"tags","from":["a\"}","\\"],"to":null},{"column":"o","from":{"x":[]},"to":null}],"summary":"orders: 1 row deleted"}`)
	f.answer(t, event("TRUNCATE", `null`, `null`), `{"table":"orders","operation":"TRUNCATE","changed":[],"summary":"orders: all rows removed"}`)
	f.answer(t, event("UPDATE", `{"q\"c":"ü"}`, `{"q\"c":"\u00fc"}`), `{"table":"orders","operation":"UPDATE","changed":[{"column":"q\"c","from":"ü","to":"ü"}],"summary":"orders: 1 column changed: q\"c"}`)
	f.answer(t,
		`{"table":"orders","operation":"UPDATE","old":null,"new":null,"rows":[{"old":{"a":1},"new":{"a":2}},{"old":{"a":3},"new":{"a":3}}]}`,
		`{"table":"orders","operation":"UPDATE","rows":[{"changed":[{"column":"a","from":1,"to":2}]},{"changed":[]}],"summary":"orders: 2 rows changed"}`)
	f.answer(t, `{"trigger":"sql","payload":1}`, `{"error":"the event is not a database trigger's: it has no table or no operation"}`)
	f.answer(t, `["table"]`, `{"error":"the event is not a database trigger's: it has no table or no operation"}`)

	// As wide as a table can be, and large.
	var old, changed, columns, names []string
	for i := range 1600 {
		old = append(old, fmt.Sprintf(`"c%d":"%s"`, i, strings.Repeat("x", 1000)))
		if i%2 == 0 {
			changed = append(changed, old[i])
			continue
		}
		changed = append(changed, fmt.Sprintf(`"c%d":%d`, i, i))
		columns = append(columns, fmt.Sprintf(`{"column":"c%d","from":"%s","to":%d}`, i, strings.Repeat("x", 1000), i))
		names = append(names, fmt.Sprintf("c%d", i))
	}
	f.answer(t, event("UPDATE", "{"+strings.Join(old, ",")+"}", "{"+strings.Join(changed, ",")+"}"),
		`{"table":"orders","operation":"UPDATE","changed":[`+strings.Join(columns, ",")+`],"summary":"orders: 800 columns changed: `+strings.Join(names, ", ")+`"}`)
}

func TestSummarizeChange(t *testing.T) {
	summaries(t, committed(t, "summarize-change/summarize-change.wasm"))
}

func TestSummarizeChangeRebuilt(t *testing.T) {
	summaries(t, newFunction(t, build(t, "summarize-change/summarize.c", "summarize-change/summarize-change.wasm", "clang", "wasm-ld")))
}

// Whatever bytes come in, valid JSON goes out: an error for what is not JSON.
func FuzzSummarizeChange(f *testing.F) {
	f.Add([]byte(event("UPDATE", `{"a":1,"b":"\u00e9\\"}`, `{"a":-1.5e+3,"b":[{}]}`)))
	f.Add([]byte(`{"table":"t","operation":"DELETE","rows":[{"old":{"a":1}},7,null,[]]}`))
	f.Add([]byte(`{"table":"t","operation":"UPDATE","old":[1],"new":{"":{"":0}}}`))
	f.Add([]byte(`{"table":"\ud800","operation":"","table":"x"}`))
	f.Add([]byte(strings.Repeat("[", 100) + strings.Repeat("]", 100)))
	f.Add([]byte("\"\xff"))
	f.Add([]byte("[\"\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\",\"\xed\xa0\x80\"]"))
	f.Add([]byte{})
	fn := committed(f, "summarize-change/summarize-change.wasm")
	f.Fuzz(func(t *testing.T, event []byte) {
		out, err := fn.run(t.Context(), string(event))
		if err != nil {
			t.Fatalf("%q: %v", event, err)
		}
		if !json.Valid(out.Output) {
			t.Fatalf("%q gave %q", event, out.Output)
		}
		invalid := bytes.Contains(out.Output, []byte("not valid JSON, or nested too deep"))
		if valid := json.Valid(event) && utf8.Valid(event); !valid && !invalid && !bytes.Contains(event, []byte("nested too deep")) {
			t.Fatalf("%q is not JSON, but gave %s", event, out.Output)
		} else if valid && invalid && bytes.Count(event, []byte("["))+bytes.Count(event, []byte("{")) <= 60 {
			t.Fatalf("%q is JSON, but gave %s", event, out.Output)
		}
	})
}

func rollups(t *testing.T, f *function) {
	scheduled := func(payload string) string {
		return `{"trigger":"schedule","schedule":"\"amounts\":[9]","cron":"0 3 * * *","timezone":"UTC","scheduled_time":"2026-11-23T03:00:00Z","actual_time":"2026-11-23T03:00:00.1Z","payload":` + payload + `}`
	}
	for payload, want := range map[string]string{
		`{"amounts":[3,-1,4]}`: `{"count":3,"sum":6,"min":-1,"max":4}`,
		`{"amounts": [ 7 ] }`:  `{"count":1,"sum":7,"min":7,"max":7}`,
		`{"amounts":[]}`:       `{"count":0,"sum":0,"min":null,"max":null}`,
		`{"amounts":[-5,-6]}`:  `{"count":2,"sum":-11,"min":-6,"max":-5}`,
		`{"amounts":[0,-0]}`:   `{"count":2,"sum":0,"min":0,"max":0}`,
		`{"x":{"amounts":[7]},"s":"}\\\"]","n":[1.5e3,true,null,{}],"amounts":[1]}`: `{"count":1,"sum":1,"min":1,"max":1}`,
		`{"amounts":[9223372036854775807,-9223372036854775808]}`:                    `{"count":2,"sum":-1,"min":-9223372036854775808,"max":9223372036854775807}`,
		`{"amounts":[9223372036854775807,1]}`:                                       `{"error":"overflow"}`,
		`{"amounts":[-9223372036854775808,-1]}`:                                     `{"error":"overflow"}`,
		`{"amounts":[9223372036854775808]}`:                                         `{"error":"overflow"}`,
		`{"amounts":[-9223372036854775809]}`:                                        `{"error":"overflow"}`,
		`{"amounts":[99999999999999999999999999]}`:                                  `{"error":"overflow"}`,
		`{"amounts":[1.0]}`:                                                         `{"error":"amounts holds something that is not an integer"}`,
		`{"amounts":[1e3]}`:                                                         `{"error":"amounts holds something that is not an integer"}`,
		`{"amounts":[1,"2"]}`:                                                       `{"error":"amounts holds something that is not an integer"}`,
		`{"amounts":[[1]]}`:                                                         `{"error":"amounts holds something that is not an integer"}`,
		`{"amounts":5}`:                                                             `{"error":"the payload has no array amounts"}`,
		`{"amount":[5]}`:                                                            `{"error":"the payload has no array amounts"}`,
		`null`:                                                                      `{"error":"the payload has no array amounts"}`,
		`"amounts"`:                                                                 `{"error":"the payload has no array amounts"}`,
		`{"amounts":[` + strings.Repeat("1,", 500_000) + `1]}`:                      `{"count":500001,"sum":500001,"min":1,"max":1}`,
	} {
		f.answer(t, scheduled(payload), want)
	}
}

func TestRollup(t *testing.T) { rollups(t, committed(t, "rollup/rollup.wasm")) }

func TestRollupRebuilt(t *testing.T) {
	rollups(t, newFunction(t, build(t, "rollup/rollup.wat", "rollup/rollup.wasm", "wat2wasm")))
}

func FuzzRollup(f *testing.F) {
	f.Add([]byte(`{"payload":{"amounts":[1,-2,9223372036854775807]}}`))
	f.Add([]byte(`{"a":[{"b":"]}\\"},[1,2,{}],true],"payload":{"amounts":[`))
	f.Add([]byte(`{"payload`))
	f.Add([]byte(`{"payload":{"amounts":[1 1]}}`))
	f.Add([]byte(`{"payload":}}}}]]]]`))
	f.Add([]byte{})
	fn := committed(f, "rollup/rollup.wasm")
	f.Fuzz(func(t *testing.T, event []byte) {
		out, err := fn.run(t.Context(), string(event))
		if err != nil {
			t.Fatalf("%q: %v", event, err)
		}
		if !json.Valid(out.Output) {
			t.Fatalf("%q gave %q", event, out.Output)
		}
		// Where the event is one that Go reads too, the sums agree.
		keys := bytes.Count(event, []byte("payload")) == 1 && bytes.Count(event, []byte("amounts")) == 1 && !bytes.Contains(event, []byte(`\`))
		var e struct {
			Payload *struct {
				Amounts []int64 `json:"amounts"`
			} `json:"payload"`
		}
		if !keys || json.Unmarshal(event, &e) != nil || e.Payload == nil || e.Payload.Amounts == nil || bytes.Contains(event, []byte("null")) {
			return
		}
		var got struct {
			Count *int64 `json:"count"`
			Sum   int64  `json:"sum"`
			Error string `json:"error"`
		}
		if err := json.Unmarshal(out.Output, &got); err != nil {
			t.Fatal(err)
		}
		var sum int64
		for _, n := range e.Payload.Amounts {
			sum += n
		}
		if got.Error == "overflow" {
			return
		}
		if got.Count == nil || *got.Count != int64(len(e.Payload.Amounts)) || got.Sum != sum {
			t.Fatalf("%q gave %s, want sum %d of %d", event, out.Output, sum, len(e.Payload.Amounts))
		}
	})
}

// price-order's module is not committed: it is built as `runnel dev` builds it.
func TestPriceOrder(t *testing.T) {
	if raceEnabled {
		t.Skip("compiling 4 MB takes minutes under the race detector, and the two small modules go the same way")
	}
	path := filepath.Join(t.TempDir(), "price-order.wasm")
	cmd := exec.Command("go", "build", "-o", path, "./price-order")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	f := committed(t, path)
	f.env = map[string]string{"ENV": "production", "API_KEY": "demo-signing-key-5f2b7c9e"}

	out, err := f.run(t.Context(), `{"trigger":"http","method":"POST","body":{"country":"DE","items":[{"sku":"TEA-100","quantity":12,"unit_price_cents":450}],"coupon":"WELCOME10"}}`)
	if err != nil {
		t.Fatal(err)
	}
	var quote struct {
		Total     int64  `json:"total_cents"`
		Signature string `json:"signature"`
	}
	if err := json.Unmarshal(out.Output, &quote); err != nil {
		t.Fatal(err)
	}
	if quote.Total != 5494 || len(quote.Signature) != 64 {
		t.Errorf("got %s", out.Output)
	}
	if len(out.Logs) != 1 || out.Logs[0].Message != "priced 1 lines for DE: 5494 cents" {
		t.Errorf("logs: %+v", out.Logs)
	}

	f.answer(t, `{"trigger":"http","body":{"country":"XX","items":[{"sku":"a","quantity":1,"unit_price_cents":1}]}}`,
		`{"statusCode":422,"body":{"problems":["country \"XX\" is not one of AT, BE, CZ, DE, DK, ES, FI, FR, IE, IT, LU, NL, PL, PT, SE","items[0].sku \"a\" is not 1 to 32 of A-Z, 0-9 and -"]}}`)

	out, err = f.run(t.Context(), `{"trigger":"schedule","payload":null}`)
	if code := runnel.CodeOf(err); code != runnel.CodeFunctionError {
		t.Errorf("an event without an order: %v, answered %s", err, out.Output)
	}
}

// Every folder says who it is, and has the module it says.
func TestFolders(t *testing.T) {
	files, err := filepath.Glob("*/runnel.json")
	if err != nil || len(files) != 4 {
		t.Fatalf("folders: %v, %v", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var folder struct {
			Name   string
			Config runnel.Config
			SQL    string
			Try    []struct{ Trigger, Command string }
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&folder); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if err := runnel.CheckName(folder.Name); err != nil || folder.Name != filepath.Dir(file) {
			t.Errorf("%s: name %q: %v", file, folder.Name, err)
		}
		if err := folder.Config.Check(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if folder.SQL != "" {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), folder.SQL)); err != nil {
				t.Error(err)
			}
		}
	}
}
