package api

import (
	"net/http"
	"testing"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/sql"
)

func TestDeadLetters(t *testing.T) {
	h := newHouse(t, Config{}).work()
	h.function(`{"name":"trap"}`, guests.Trap())
	h.function(`{"name":"spin","timeout":"50ms"}`, guests.Spin())
	var ids []string
	for _, name := range []string{"trap", "spin", "trap"} {
		ids = append(ids, h.call("/functions/v1/"+name, ``).Header.Get(headerInvocationID))
	}
	type page struct {
		Letters []sql.DeadLetter `json:"dead_letters"`
		Next    string           `json:"next_cursor"`
	}
	list := func(query string) (got page) {
		t.Helper()
		decode(t, h.admin(http.MethodGet, "/admin/v1/dead-letters"+query, ""), &got)
		return got
	}
	all := list("")
	if len(all.Letters) != 3 || all.Letters[0].ID != ids[2] || all.Letters[2].ErrorCode != runnel.CodeFunctionError || all.Letters[1].ErrorCode != runnel.CodeTimeout || all.Next != "" {
		t.Errorf("all: %+v", all)
	}
	first := list("?limit=1&function=trap&since=1h")
	second := list("?limit=1&function=trap&since=1h&cursor=" + first.Next)
	if len(first.Letters) != 1 || len(second.Letters) != 1 || first.Letters[0].ID != ids[2] || second.Letters[0].ID != ids[0] || second.Next != "" {
		t.Errorf("pages: %+v %+v", first, second)
	}
	for query, want := range map[string]int{"?code=Timeout": 1, "?trigger=http": 3, "?trigger=sql": 0, "?before=1h": 0} {
		if got := list(query); len(got.Letters) != want {
			t.Errorf("%s: %+v", query, got)
		}
	}
	var one struct {
		sql.DeadLetter
		Log []runnel.Invocation
	}
	decode(t, h.admin(http.MethodGet, "/admin/v1/dead-letters/"+ids[1], ""), &one)
	if one.ID != ids[1] || len(one.Log) != 1 || one.Log[0].ErrorCode != runnel.CodeTimeout {
		t.Errorf("one: %+v", one)
	}

	// Redriving is the same invocation's next attempt. The function was repaired.
	if r := h.deploy(`{"name":"trap"}`, guests.Answer(`"fine"`)); r.StatusCode != 200 {
		t.Fatal(r)
	}
	if r := h.admin(http.MethodPost, "/admin/v1/dead-letters/"+ids[0]+"/redrive", ""); r.StatusCode != http.StatusAccepted || r.body != `{"redriven":["`+ids[0]+`"]}`+"\n" {
		t.Errorf("redrive one: %v", r)
	}
	if got := h.ended(ids[0]); got.Status != runnel.StatusSuccess || got.Attempt != 2 || len(got.Attempts) != 2 {
		t.Errorf("redriven: %+v", got)
	}
	if r := h.admin(http.MethodPost, "/admin/v1/dead-letters/redrive?code=FunctionError", ""); r.body != `{"redriven":["`+ids[2]+`"]}`+"\n" {
		t.Errorf("redrive by code: %v", r)
	}
	h.until("the redriven run", func() bool { return h.ended(ids[2]).Attempt == 2 })
	if r := h.admin(http.MethodPost, "/admin/v1/dead-letters/redrive?function=trap", ""); r.body != `{"redriven":[]}`+"\n" {
		t.Errorf("nothing is left to redrive: %v", r)
	}
	for method, path := range map[string]string{
		http.MethodPost: "/admin/v1/dead-letters/redrive", http.MethodDelete: "/admin/v1/dead-letters", http.MethodGet: "/admin/v1/dead-letters?status=x",
	} {
		if r := h.admin(method, path, ""); r.code() != runnel.CodeInvalidRequest {
			t.Errorf("%s %s: %v", method, path, r)
		}
	}
	for _, query := range []string{"?all=yes", "?all=true&function=trap", "?limit=5", "?function=NO", "?since=x", "?cursor=x"} {
		if r := h.admin(http.MethodDelete, "/admin/v1/dead-letters"+query, ""); r.code() != runnel.CodeInvalidRequest {
			t.Errorf("purge%s: %v", query, r)
		}
	}
	if r := h.admin(http.MethodDelete, "/admin/v1/dead-letters/"+ids[1], ""); r.StatusCode != http.StatusNoContent {
		t.Errorf("purge one: %v", r)
	}
	if r := h.admin(http.MethodDelete, "/admin/v1/dead-letters?all=true", ""); r.body != `{"purged":0}`+"\n" {
		t.Errorf("purge all: %v", r)
	}
	if got := h.ended(ids[1]); got.ErrorCode != runnel.CodeTimeout {
		t.Errorf("the purged invocation's log: %+v", got)
	}
}
