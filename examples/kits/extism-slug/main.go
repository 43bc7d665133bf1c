// Command extism-slug is an Extism plug-in, with Extism's Go PDK: it makes the slug of
// an article from its title, {"title":"..."} in the request's body or the payload.
package main

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode"

	"github.com/extism/go-pdk"
)

//go:wasmexport handle
func handle() int32 {
	var event struct {
		Body    json.RawMessage `json:"body"`
		Payload json.RawMessage `json:"payload"`
	}
	var article struct {
		Title string `json:"title"`
	}
	if err := pdk.InputJSON(&event); err != nil {
		return fail(err)
	}
	text := event.Body
	if text == nil {
		text = event.Payload
	}
	if json.Unmarshal(text, &article) != nil || article.Title == "" {
		return fail(errors.New("there is no string title"))
	}
	slug := make([]rune, 0, len(article.Title))
	for _, r := range strings.ToLower(article.Title) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r):
			slug = append(slug, r)
		case len(slug) > 0 && slug[len(slug)-1] != '-':
			slug = append(slug, '-')
		}
	}
	result := map[string]string{"slug": strings.TrimSuffix(string(slug), "-")}
	if base, ok := pdk.GetConfig("BASE_URL"); ok {
		result["url"] = base + result["slug"]
	}
	pdk.Log(pdk.LogDebug, "made "+result["slug"])
	if err := pdk.OutputJSON(result); err != nil {
		return fail(err)
	}
	return 0
}

func fail(err error) int32 {
	pdk.SetError(err)
	return 1
}

func main() {}
