package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/runnelhq/runnel"
)

// maxAnswer bounds what is read of an answer: a result and some.
const maxAnswer = 4 * runnel.MaxPayloadSize

// client talks to one server.
type client struct {
	base  string // without a slash at its end
	admin string // bearer of management requests
	key   string // bearer of calls; "": none
}

// newClient finds the server: RUNNEL_URL, else the runnel dev of this folder.
// Tokens of one are never sent to the other.
func newClient() (*client, error) {
	if base := os.Getenv("RUNNEL_URL"); base != "" {
		u, err := url.Parse(base)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("RUNNEL_URL is not an address such as https://functions.example.com: correct it")
		}
		return &client{base: strings.TrimRight(base, "/"), admin: os.Getenv("RUNNEL_ADMIN_TOKEN"), key: cmp.Or(os.Getenv("RUNNEL_KEY"), anonKey())}, nil
	}
	s, ok, err := findState()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("no server is known: start one here with \"runnel dev\", or set RUNNEL_URL and RUNNEL_ADMIN_TOKEN")
	}
	return &client{base: s.URL, admin: s.AdminToken, key: s.AnonKey}, nil
}

// apiError is an answer that is not a result.
type apiError struct {
	Status       int         `json:"-"`
	Code         runnel.Code `json:"code"`
	Message      string      `json:"message"`
	InvocationID string      `json:"invocation_id,omitempty"`
	Refused      bool        `json:"-"` // of a call: nothing has run under the id
	// Logs are what the function logged while it was evaluated for a deploy.
	Logs []runnel.LogLine `json:"logs,omitempty"`
}

func (e *apiError) Error() string {
	text := fmt.Sprintf("%s: %s", e.Code, e.Message)
	switch {
	case e.InvocationID == "":
	case e.Refused:
		text += " (refused call " + e.InvocationID + ")"
	default:
		text += " (invocation " + e.InvocationID + ")"
	}
	return text
}

// send makes a request and returns its answer, whatever its status.
func (c *client) send(ctx context.Context, method, path, token string, body io.Reader, header http.Header) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil, nil, fmt.Errorf("nothing answers at %s: start \"runnel dev\", or set RUNNEL_URL to a server that runs", c.base)
		}
		var failed *url.Error // its text repeats the whole address
		if errors.As(err, &failed) {
			err = fmt.Errorf("%s cannot be reached: %w: is RUNNEL_URL right?", c.base, failed.Err)
		}
		return nil, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	return res, b, nil
}

// failure makes an error of an answer that is not a success.
func failure(status int, body []byte) error {
	e := &apiError{Status: status}
	if json.Unmarshal(body, e) != nil || e.Code == "" {
		return fmt.Errorf("the server answered %d and no explanation: is RUNNEL_URL the address of a Runnel server?", status)
	}
	if e.Code == runnel.CodeUnauthorized && os.Getenv("RUNNEL_URL") != "" {
		if os.Getenv("RUNNEL_ADMIN_TOKEN") == "" {
			e.Message = "RUNNEL_URL is set and RUNNEL_ADMIN_TOKEN is not: set it to the server's"
		} else {
			e.Message = "RUNNEL_ADMIN_TOKEN is not that of the server at RUNNEL_URL: set both to the same one's"
		}
	}
	return e
}

// manage makes a management request and decodes its answer into out, unless nil.
func (c *client) manage(ctx context.Context, method, path string, body io.Reader, header http.Header, out any) error {
	res, b, err := c.send(ctx, method, path, c.admin, body, header)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return failure(res.StatusCode, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("the answer of %s is not what this version of runnel expects (%w): use the version that the server runs", c.base, err)
	}
	return nil
}

// function is what of a function the command line shows.
type function struct {
	Name      string   `json:"name"`
	Version   int      `json:"version"`
	WasmHash  string   `json:"wasm_hash"`
	Enabled   bool     `json:"enabled"`
	VerifyJWT bool     `json:"verify_jwt"`
	UpdatedAt string   `json:"updated_at"`
	Warnings  []string `json:"warnings"`

	// Of a deploy.
	Unchanged bool             `json:"unchanged"` // no version was made
	Logs      []runnel.LogLine `json:"logs"`      // of its evaluation
}

func (c *client) functionPath(name string) string {
	return "/admin/v1/functions/" + url.PathEscape(name)
}

// get finds a function; nil without an error means that there is none.
func (c *client) get(ctx context.Context, name string) (*function, error) {
	var fn function
	err := c.manage(ctx, http.MethodGet, c.functionPath(name), nil, nil, &fn)
	var e *apiError
	if errors.As(err, &e) && e.Code == runnel.CodeFunctionNotFound {
		return nil, nil
	}
	return &fn, err
}

// deploy sends a module. out gets the answer.
func (c *client) deploy(ctx context.Context, d deployment, createOnly bool, out any) error {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	metadata, err := json.Marshal(d.metadata())
	if err != nil {
		return err
	}
	if err := w.WriteField("metadata", string(metadata)); err != nil {
		return err
	}
	file, err := w.CreateFormFile("file", path.Base(d.file))
	if err != nil {
		return err
	}
	if _, err := file.Write(d.wasm); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	header := http.Header{"Content-Type": {w.FormDataContentType()}}
	if createOnly {
		header.Set("If-None-Match", "*")
	}
	return c.manage(ctx, http.MethodPost, "/admin/v1/functions", &body, header, out)
}

// manageJSON is manage with a body of JSON.
func (c *client) manageJSON(ctx context.Context, method, path string, body, out any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.manage(ctx, method, path, bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}}, out)
}
