package cmd_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/npm"
)

// Supabase's own clients, from npm, call functions as they call Supabase's.
func TestSupabaseClientsCallFunctions(t *testing.T) {
	t.Parallel()
	dir := npm.Install(t, "../sandbox/js/npmtest")
	s := newSystem(t)
	s.api()
	s.worker("RUNNEL_SLOT_SECRET=test-slot-secret-0123456789abcdef")
	s.deploy("echo", guests.Echo(), nil)
	s.deploy("guarded", guests.Answer(`{"in":true}`), map[string]any{"verify_jwt": true})
	s.deploy("text", guests.Answer(`"just text"`), nil)
	s.deploy("nothing", guests.Answer(""), nil)
	s.deploy("bytes", guests.Answer(`{"statusCode":200,"body":"AP8=","is_base64":true}`), nil)
	s.deploy("teapot", guests.Answer(`{"statusCode":418,"body":{"teapot":true}}`), nil)
	s.deploy("trap", guests.Trap(), nil)
	s.deploy("slow", guests.Spin(), map[string]any{"timeout": "100ms"})

	// The function that "runnel init" writes, deployed as its user would.
	home := t.TempDir()
	for _, args := range [][]string{{"init", "shop"}, {"deploy", "shop/hello"}} {
		p := s.spawn(home, args, "RUNNEL_URL="+s.base, "RUNNEL_ADMIN_TOKEN="+adminToken)
		if <-p.done; p.cmd.ProcessState.ExitCode() != 0 {
			t.Fatalf("runnel %v: %s", args, p.output())
		}
	}

	key, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"role": "anon", "exp": 4102444800}).SignedString([]byte(jwtSecret))
	if err != nil {
		t.Fatal(err)
	}
	folder := npm.Stage(t, dir, "testdata/supabase.mjs")
	out := npm.Node(t, folder, []string{"BASE=" + s.base, "ANON_KEY=" + key}, "supabase.mjs")
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, want := range map[string]string{
		"json":    `{"method":"POST","path":"/echo","query":{},"type":"application/json","client":true,"body":{"n":1,"text":"ü"},"role":"anon"}`,
		"text":    `{"method":"POST","path":"/echo","query":{},"type":"text/plain","client":true,"body":"plain ü","role":"anon"}`,
		"blob":    `{"method":"POST","path":"/echo","query":{},"type":"application/octet-stream","client":true,"body":"AP8=","is_base64":true,"role":"anon"}`,
		"buffer":  `{"method":"POST","path":"/echo","query":{},"type":"application/octet-stream","client":true,"body":"Af4=","is_base64":true,"role":"anon"}`,
		"form":    `{"type":"multipart/form-data","parts":"--B\r\nContent-Disposition: form-data; name=\"field\"\r\n\r\nvalue\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\ncontent\r\n--B--\r\n"}`,
		"get":     `{"method":"GET","path":"/echo/sub/path","query":{"q":"1"},"client":true,"body":null,"role":"anon"}`,
		"own":     `{"method":"PUT","path":"/echo","query":{},"type":"application/json","client":true,"body":{},"role":"anon"}`,
		"region":  `{"method":"POST","path":"/echo","query":{"forceFunctionRegion":"eu-central-1"},"type":"application/json","region":"eu-central-1","client":false,"body":{},"role":"anon"}`,
		"string":  `"just text"`,
		"nothing": `""`,
		"bytes":   `[0,255]`,
		"missing": `{"kind":"FunctionsRelayError","http":false,"relay":true,"status":404,"body":{"error":"FunctionNotFound","code":"FunctionNotFound","message":"string"}}`,
		"trap":    `{"kind":"FunctionsHttpError","http":true,"relay":false,"status":500,"body":{"error":"FunctionError","code":"FunctionError","message":"string"}}`,
		"slow":    `{"kind":"FunctionsHttpError","http":true,"relay":false,"status":504,"body":{"error":"Timeout","code":"Timeout","message":"string"}}`,
		"teapot":  `{"kind":"FunctionsHttpError","http":true,"relay":false,"status":418,"body":{"message":"undefined","teapot":true}}`,
		"forged":  `{"kind":"FunctionsRelayError","status":401}`,
		"guarded": `{"in":true}`,
		"hello":   `{"hello":"Ada","role":"anon","name":"Ada","fields":["hello","invocation","name","role","time"]}`,
	} {
		var w any
		if err := json.Unmarshal([]byte(want), &w); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got[name], w) {
			b, _ := json.Marshal(got[name])
			t.Errorf("%s: the client saw %s\nwant %s", name, b, want)
		}
	}
	t.Logf("%d calls: %v", len(got), slices.Sorted(maps.Keys(got)))
}
