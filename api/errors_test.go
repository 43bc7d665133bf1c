package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/runnelhq/runnel"
)

var quietLog = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestEveryCodeHasAStatus(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if _, ok := failures[runnel.Code(value)]; !ok {
			t.Errorf("code %s has no HTTP status", value)
		}
		return true
	})
	if found != len(failures) {
		t.Errorf("the table has %d codes, error.go has %d", len(failures), found)
	}
}

func TestStatusesOfTheContract(t *testing.T) {
	t.Parallel()
	for code, want := range map[runnel.Code]int{
		"FunctionNotFound": 404, "InvalidRequest": 400, "InvalidModule": 400, "InvalidCron": 400, "Unauthorized": 401,
		"Forbidden": 403, "AlreadyExists": 409, "TooLarge": 413, "TooManyRequests": 429, "FunctionError": 500,
		"HostFunctionError": 500, "HashMismatch": 500, "WaitTimeout": 504, "Timeout": 504, "OutOfMemory": 507,
	} {
		if got := failureOf(code).status; got != want {
			t.Errorf("%s is %d, want %d", code, got, want)
		}
	}
	if got := failureOf("Unheard").status; got != 500 {
		t.Errorf("an unknown code is %d, want 500", got)
	}
}

func TestErrorBody(t *testing.T) {
	t.Parallel()
	for given, id := range map[string]any{"id-1": "id-1", "": nil} { // "": not a call
		w := httptest.NewRecorder()
		w.Header().Set(headerInvocationID, given)
		writeError(w, httptest.NewRequest("GET", "/", nil), quietLog, fmt.Errorf("outer: %w", runnel.Errorf(runnel.CodeTooManyRequests, "wait a moment")))
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"error": "TooManyRequests", "code": "TooManyRequests", "message": "wait a moment", "invocation_id": id}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("body %v, want %v", got, want)
		}
		if w.Code != 429 || w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Type") != typeJSON {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
}

func TestFUNC_S1_UnknownErrorsAreNotShown(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		errors.New("dial postgres://owner:hunter2@db"),
		runnel.Errorf(runnel.CodeUnavailable, "try again").Because(errors.New("hunter2")),
	} {
		w := httptest.NewRecorder()
		writeError(w, httptest.NewRequest("GET", "/", nil), quietLog, err)
		if w.Code < 500 || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

func TestTooLargeBody(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	writeError(w, httptest.NewRequest("GET", "/", nil), quietLog, fmt.Errorf("read: %w", &http.MaxBytesError{Limit: 7}))
	if w.Code != 413 || !strings.Contains(w.Body.String(), "7 bytes") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
