package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
)

// fieldsOf lists the JSON fields of a struct, those of embedded ones too.
func fieldsOf(t reflect.Type) (names []string) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			names = append(names, fieldsOf(f.Type)...)
		} else {
			names = append(names, name)
		}
	}
	return names
}

// Whatever can be configured can be said on the command line, and by an example.
func TestEveryFieldOfTheConfigurationHasAFlag(t *testing.T) {
	t.Parallel()
	var have []string
	for _, s := range configurable {
		name, _, _ := strings.Cut(s.field, ".")
		have = append(have, name)
		v := flagValue{s, make(map[string]json.RawMessage)}
		for _, text := range append([]string{strings.Trim(s.example, `"`)}, s.values...) {
			if err := v.Set(text); err != nil {
				t.Errorf("--%s=%s: %v", s.flag, text, err)
			}
		}
	}
	for _, name := range append(fieldsOf(reflect.TypeFor[runnel.Config]()), "snapshot") {
		if !slices.Contains(have, name) {
			t.Errorf("the field %q has no flag: add it to configurable", name)
		}
	}
}

// deployed runs a deploy against a server that takes anything, and returns the
// metadata it got; nil when nothing was sent.
func deployed(t *testing.T, args ...string) (metadata map[string]json.RawMessage, errs string, code int) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.Unmarshal([]byte(r.FormValue("metadata")), &metadata); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, `{"name":"f","version":1,"wasm_hash":"00"}`)
	}))
	defer srv.Close()
	t.Setenv("RUNNEL_URL", srv.URL)
	_, errs, code = command(t, "", append([]string{"deploy"}, args...)...)
	return metadata, errs, code
}

func TestFlagsAndFileOfADeploy(t *testing.T) {
	alone(t)
	write(t, "f/f.wasm", string(guests.Echo()))
	write(t, "f/runnel.json", `{"name":"f","config":{"timeout":"2s","backoff":{"initial":"1s","max":"20s"},"rate":"600/m","environment":{"A":"1"},"snapshot":false,"allowed_hosts":["a.example"]}}`)
	for args, want := range map[string]string{
		"": `{"timeout":"2s","backoff":{"initial":"1s","max":"20s"},"rate":"600/m","environment":{"A":"1"},"snapshot":false,"allowed_hosts":["a.example"]}`,
		"--timeout 0.5 --max-memory 64MB --backoff 3s --burst 30 --env B=2 --env C= --snapshot --allowed-hosts=": `{"timeout":0.5,"max_memory":"64MB","backoff":{"initial":"3s","max":"20s"},"rate":{"per_second":10,"burst":30},"environment":{"B":"2","C":""},"snapshot":true,"allowed_hosts":[]}`,
		"--backoff-max 1h --rate 1/s --burst 5 --allowed-hosts b.example,*.c.example --allowed-hosts d.example":  `{"timeout":"2s","backoff":{"initial":"1s","max":"1h"},"rate":{"per_second":1,"burst":5},"environment":{"A":"1"},"snapshot":false,"allowed_hosts":["b.example","*.c.example","d.example"]}`,
		"--verify-jwt=false --enabled=false --can-bypass-rls --paused --max-attempts 3 --max-concurrency 2 --concurrency-key tenant.id --max-concurrency-per-key 1 --priority 2 --log-success 0.1 --description words --rate=": `{"timeout":"2s","backoff":{"initial":"1s","max":"20s"},"rate":"","environment":{"A":"1"},"snapshot":false,"allowed_hosts":["a.example"],
			"verify_jwt":false,"enabled":false,"can_bypass_rls":true,"paused":true,"max_attempts":3,"max_concurrency":2,"concurrency_key":"tenant.id","max_concurrency_per_key":1,"priority":2,"log_success":0.1,"description":"words"}`,
	} {
		got, errs, code := deployed(t, append([]string{"f"}, strings.Fields(args)...)...)
		delete(got, "name")
		delete(got, "if_changed")
		var wanted, sent any
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(got)
		_ = json.Unmarshal(b, &sent)
		if code != 0 || !reflect.DeepEqual(sent, wanted) {
			t.Errorf("%s: code %d %s\nsent %s\nwant %s", args, code, errs, b, want)
		}
	}
}

// A flag that makes no sense is refused before anything is built or sent, by its
// name, with the reason and an example.
func TestWrongFlagsOfADeploy(t *testing.T) {
	alone(t)
	write(t, "f/f.wasm", string(guests.Echo()))
	for args, says := range map[string]string{
		"--timeout soon":                 `"--timeout" flag: timeout: "soon" is not a duration`,
		"--timeout 400":                  "use 1ms to 5m0s (for example --timeout=750ms)",
		"--max-memory 1GB":               "--max-memory=64MB",
		"--env A":                        "write KEY=VALUE (for example --env=",
		"--env 1A=x":                     `environment key "1A"`,
		"--allowed-hosts https://x":      "without scheme",
		"--verify-jwt=maybe":             "neither true nor false (for example --verify-jwt=false)",
		"--verify-jwt false":             "written with =, as in --verify-jwt=false",
		"--snapshot=2":                   "--snapshot=true",
		"--max-attempts 99":              "use 1 to 25",
		"--max-attempts many":            "not a whole number (for example --max-attempts=3)",
		"--backoff 1ms":                  `"--backoff" flag`,
		"--backoff 10m --backoff-max 1s": "backoff initial 10m0s is over its max 1s",
		"--rate 10":                      "--rate=600/m",
		"--burst 3":                      "--rate 10/s --burst 20",
		"--rate 10/s --burst 0":          "use 1 to 1000000 (for example --burst=20)",
		"--priority 9":                   "--priority=2",
		"--log-success some":             `"all", "failures"`,
		"--concurrency-key a..b":         "--concurrency-key=tenant.id",
		"--concurrency-key= --max-concurrency-per-key 2": "needs a concurrency_key",
		"--descripton x": "did you mean --description?",
		"--timeout":      "needs an argument: --timeout",
	} {
		if sent, errs, code := deployed(t, append([]string{"f"}, strings.Fields(args)...)...); code != 2 || !strings.Contains(errs, says) || sent != nil {
			t.Errorf("%s: code %d, sent %s, %q; want 2 saying %q", args, code, sent, errs, says)
		}
	}
	for config, says := range map[string]string{
		`{"timout":1}`:                `f/runnel.json: "config": there is no field "timout": did you mean timeout?`,
		`{"frobnicate":1}`:            `there is no field "frobnicate"`,
		`{"max_attempts":true}`:       "max_attempts cannot be a JSON bool (on the command line it is written like --max-attempts=3)",
		`{"timeout":true}`:            "timeout: true is not a duration",
		`{"timeout":"soon"}`:          `"soon" is not a duration`,
		`{"backoff":{"inital":"1s"}}`: `backoff: unknown field "inital"`,
		`{"environment":{"A":1}}`:     "cannot be a JSON number",
		`{"max_attempts":1.5}`:        "max_attempts cannot be a JSON number",
	} {
		write(t, "f/runnel.json", `{"config":`+config+`}`)
		if sent, errs, code := deployed(t, "f"); code != 1 || !strings.Contains(errs, says) || sent != nil {
			t.Errorf("%s: code %d, sent %s, %q; want 1 saying %q", config, code, sent, errs, says)
		}
	}
	write(t, "f/runnel.json", `{"name":"My Function"}`)
	if sent, errs, code := deployed(t, "f"); code != 1 || !strings.Contains(errs, "--name chooses another") || sent != nil {
		t.Errorf("a name that is none: %d %q", code, errs)
	}
}

func TestCompletion(t *testing.T) {
	alone(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, map[string]string{
			"/admin/v1/functions": `{"functions":[{"name":"hello"},{"name":"price-order"}]}`,
			"/admin/v1/schedules": `{"schedules":[{"name":"nightly"}]}`,
		}[r.URL.Path])
	}))
	t.Cleanup(srv.Close)
	t.Setenv("RUNNEL_URL", srv.URL)
	for args, want := range map[string]string{
		"invoke |":                    "hello,price-order,:4",
		"logs |":                      "hello,price-order,:4",
		"invoke hello |":              ":4",
		"schedule enable |":           "nightly,:4",
		"schedule add |":              ":4",
		"schedule add n @daily |":     "hello,price-order,:4",
		"trigger add hello |":         ":4",
		"deploy |":                    ":0",
		"deploy --verify-jwt=|":       "true,false,:4",
		"deploy --timeout |":          "1s,10s,60s,:4",
		"logs hello --status |":       "success,error,timeout,out_of_memory,cancelled,lost,skipped,:4",
		"dlq list --function |":       "hello,price-order,:4",
		"schedule add --overlap |":    "allow,skip,queue,:4",
		"trigger add --granularity |": "auto,row,statement,:4",
		"init |":                      ":16",
	} {
		words := strings.Fields(strings.TrimSuffix(args, "|"))
		if strings.HasSuffix(args, " |") {
			words = append(words, "")
		}
		out, _, _ := command(t, "", append([]string{"__complete"}, words...)...)
		if got := strings.ReplaceAll(strings.TrimSpace(out), "\n", ","); got != want {
			t.Errorf("%s completes to %s, want %s", args, got, want)
		}
	}
	for cmd, flags := range flagValues {
		found, _, err := new(tool).root().Find(strings.Fields(cmd)[1:])
		for flag := range flags {
			if err != nil || found.Flags().Lookup(flag) == nil {
				t.Errorf("%s has no flag --%s to complete (%v)", cmd, flag, err)
			}
		}
	}
	t.Setenv("RUNNEL_URL", "http://127.0.0.1:1")
	if out, _, code := command(t, "", "__complete", "logs", ""); code != 0 || strings.TrimSpace(out) != ":4" {
		t.Errorf("without a server: %d %q", code, out)
	}
}

func TestSuggestions(t *testing.T) {
	alone(t)
	for words, want := range map[string]string{"hlelo": "hello", "price-oder": "price-order", "Hello": "hello", "zebra": "", "": ""} {
		if got := didYouMean(words, []string{"hello", "price-order"}); got != "" && !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: %q, want %q", words, got, want)
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/admin/v1/functions" {
			_, _ = io.WriteString(w, `{"functions":[{"name":"hello"}]}`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"code":"FunctionNotFound","message":"there is none"}`)
	}))
	t.Cleanup(srv.Close)
	t.Setenv("RUNNEL_URL", srv.URL)
	for args, says := range map[string]string{
		"invoke helo":             "did you mean hello?",
		"logs hallo":              "did you mean hello?",
		"secrets list helllo":     "did you mean hello?",
		"schedule add n @d hullo": "did you mean hello?",
		"invoke hello":            "there is none\n",
		"invoke other":            "there is none\n",
	} {
		if _, errs, code := command(t, "", strings.Fields(args)...); code != 1 || !strings.Contains(errs, says) {
			t.Errorf("%s: %d %q, want one saying %q", args, code, errs, says)
		}
	}
	for args, says := range map[string]string{"depoly": "did you mean deploy?", "schedule lst": "did you mean list?", "trigger zzzzzz": "use add, list or remove"} {
		if _, errs, code := command(t, "", strings.Fields(args)...); code != 2 || !strings.Contains(errs, says) {
			t.Errorf("%s: %d %q, want one saying %q", args, code, errs, says)
		}
	}
}
