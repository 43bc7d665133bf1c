package localpg

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// archive is what the repository serves: a zip file around testdata/programs.txz,
// whose postgres and initdb print version 18.3 and whose pg_ctl fails.
func archive(t *testing.T) []byte {
	t.Helper()
	programs, err := os.ReadFile("testdata/programs.txz")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(programs); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDownload(t *testing.T) {
	jar := archive(t)
	sum := fmt.Sprintf("%x", sha256.Sum256(jar))
	for _, tt := range []struct {
		name string
		jar  []byte
		sum  string
		want string // of the error
	}{
		{"whole", jar, sum, ""},
		{"tampered", jar, strings.Repeat("0", 64), "checksums do not match"},
		{"missing", nil, "", "no version found matching 18.3.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case tt.jar == nil:
					http.NotFound(w, r)
				case strings.HasSuffix(r.URL.Path, ".jar.sha256"):
					fmt.Fprint(w, tt.sum)
				case strings.HasSuffix(r.URL.Path, ".jar"):
					_, _ = w.Write(tt.jar)
				default:
					http.NotFound(w, r)
				}
			}))
			defer server.Close()
			m := bareMachine(t)
			m.repository, m.download = server.URL, download
			h, err := m.openHome("", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer h.close()
			got, err := m.find(t.Context(), slog.New(slog.DiscardHandler), h)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %+v, %v; want an error with %q", got, err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.major != 18 {
				t.Errorf("got %+v, want version 18", got)
			}
		})
	}
}

func TestDownload_ContextEnds(t *testing.T) {
	release := make(chan struct{})
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-release
	}))
	defer server.Close()
	defer close(release) // first, so that Close finds no open request
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if err := download(ctx, server.URL, "18.3.0", t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
