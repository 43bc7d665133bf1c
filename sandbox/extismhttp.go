package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"github.com/runnelhq/runnel"
)

// extismHTTPRequest is http_request(request, body) -> body of the response. Extism
// gives a plug-in no way to handle a failure, so it ends here.
func (inv *invocation) extismHTTPRequest(p []uint64) uint64 {
	g := inv.plugin
	g.status, g.headers = 0, nil
	var request struct {
		URL     string            `json:"url"`
		Method  string            `json:"method"`
		Headers map[string]string `json:"headers"`
		Header  map[string]string `json:"header"` // of PDKs before 1.0
	}
	text, body := g.text("http_request", p[0]), g.text("http_request", p[1])
	if len(text) > maxFetch || len(body) > runnel.MaxPayloadSize {
		panic(httpFailed("TooLarge", "the request is larger than 6 MB: send less"))
	}
	if err := json.Unmarshal(text, &request); err != nil {
		panic(httpFailed("FetchError", "the request is not JSON with url, method and headers"))
	}
	if request.Headers == nil {
		request.Headers = request.Header
	}
	out := fetchRequest{Method: request.Method, URL: request.URL, Headers: request.Headers}
	switch {
	case len(body) == 0:
	case utf8.Valid(body):
		out.Body = string(body)
	default:
		out.Body, out.IsBase64 = base64.StdEncoding.EncodeToString(body), true
	}
	encoded, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	g.blocks.release(p[1])
	g.blocks.release(p[0])
	inv.fetch(encoded)
	return inv.extismResponse()
}

type fetchRequest struct {
	Method   string            `json:"method,omitempty"`
	URL      string            `json:"url"`
	Headers  map[string]string `json:"headers,omitempty"`
	Body     string            `json:"body,omitempty"`
	IsBase64 bool              `json:"is_base64,omitempty"`
}

// extismResponse takes the answer of fetch apart.
func (inv *invocation) extismResponse() uint64 {
	var response struct {
		Status   int             `json:"status"`
		Headers  json.RawMessage `json:"headers"`
		Body     string          `json:"body"`
		IsBase64 bool            `json:"is_base64"`
		Error    *struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(inv.response, &response); err != nil {
		panic(internal(err))
	}
	if response.Error != nil {
		panic(httpFailed(response.Error.Code, response.Error.Message))
	}
	body := []byte(response.Body)
	if response.IsBase64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(response.Body); err != nil {
			panic(internal(err))
		}
	}
	inv.response = nil
	inv.plugin.status, inv.plugin.headers = response.Status, response.Headers
	return inv.plugin.blocks.put(body)
}

func httpFailed(code, message string) *runnel.Error {
	return runnel.Errorf(runnel.CodeHostFunctionError, "http_request failed: %s: %s", excerpt(code, 60), excerpt(message, 500))
}
