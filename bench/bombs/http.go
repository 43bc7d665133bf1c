package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/runnelhq/runnel/internal/guests"
)

// server is a Runnel that runs, such as that of `runnel dev`.
type server struct {
	url, token string
	client     http.Client
}

// overHTTP deploys each bomb that needs no time to compile to a running server, calls
// it, and calls hello once in five milliseconds meanwhile, as others of the server's
// users would: token check, queue, worker, log row and answer included.
func overHTTP(ctx context.Context, url, token, only string, quiet time.Duration, times int) error {
	s := &server{url: strings.TrimSuffix(url, "/"), token: token, client: http.Client{Timeout: time.Minute}}
	if err := s.deploy(ctx, "bombs-hello", guests.Answer(`"hello"`)); err != nil {
		return err
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "bomb\tquiet p50\tp99\thello p50\tp99\tmax\tp99/quiet\tothers\toutcome")
	for i, bomb := range bombs {
		if bomb.sized || !strings.Contains(bomb.name, only) || ctx.Err() != nil {
			continue
		}
		name := fmt.Sprintf("bomb-%d", i)
		if err := s.deploy(ctx, name, bomb.make(1<<20)); err != nil {
			fmt.Fprintf(t, "%s\t\t\t\t\t\t\t\t%.90s\n", bomb.name, err)
			t.Flush()
			continue
		}
		var tries []result
		for range times {
			var r result
			r.quiet = s.beside(ctx, func(ctx context.Context) { sleep(ctx, quiet) })
			began, before := time.Now(), lookAtLoad()
			r.hello = s.beside(ctx, func(ctx context.Context) {
				r.outcome = s.call(ctx, name)
				for time.Since(began) < quiet && ctx.Err() == nil { // or p99 would mean nothing for quick ones
					s.call(ctx, name)
				}
			})
			r.others = before.others(time.Since(began))
			r.ratio = float64(r.hello.p99) / float64(r.quiet.p99)
			tries = append(tries, r)
		}
		slices.SortFunc(tries, func(a, b result) int { return cmp.Compare(a.ratio, b.ratio) })
		r := tries[len(tries)/2]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%.2f\t%s\n", bomb.name,
			micros(r.quiet.p50), micros(r.quiet.p99), micros(r.hello.p50), micros(r.hello.p99), micros(r.hello.max), r.ratio, r.others, r.outcome)
		t.Flush()
	}
	return context.Cause(ctx)
}

// beside measures hello while f runs.
func (s *server) beside(ctx context.Context, f func(context.Context)) latency {
	return beside(ctx, 5*time.Millisecond, f, func() error {
		if got := s.call(ctx, "bombs-hello"); got != "200" {
			return fmt.Errorf("hello answered %s", got)
		}
		return nil
	})
}

// call returns the status, and the code of an error.
func (s *server) call(ctx context.Context, name string) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/functions/v1/"+name, strings.NewReader("{}"))
	if err != nil {
		return err.Error()
	}
	res, err := s.client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	var e struct{ Code string }
	_ = json.Unmarshal(body, &e)
	return strings.TrimSpace(fmt.Sprint(res.StatusCode, " ", e.Code))
}

func (s *server) deploy(ctx context.Context, name string, wasm []byte) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	_ = form.WriteField("metadata", `{"name":"`+name+`","timeout":1,"verify_jwt":false}`)
	file, err := form.CreateFormFile("file", name+".wasm")
	if err != nil {
		return err
	}
	_, _ = file.Write(wasm)
	_ = form.Close()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/admin/v1/functions", &body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Authorization", "Bearer "+s.token)
	res, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	if res.StatusCode/100 != 2 {
		var e struct{ Code, Message string }
		_ = json.Unmarshal(answer, &e)
		return fmt.Errorf("%s at deploy: %s", e.Code, e.Message)
	}
	return nil
}
