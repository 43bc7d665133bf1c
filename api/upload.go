package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/redact"
)

// upload is what a deploy sends: a multipart form with the fields "metadata"
// (JSON) and "file": a module, or the source of a function.
type upload struct {
	metadata
	FileName string // without folders
	File     []byte
}

// metadata is a function's name and configuration. Fields that are left out keep
// their value, or get their default on the first deploy.
type metadata struct {
	Name string `json:"name"`
	// Snapshot has a reactor initialised once, at deploy. Scripts always are.
	Snapshot bool `json:"snapshot"`
	// IfChanged makes no version of a module that is the current version's already:
	// then only the configuration is set.
	IfChanged bool `json:"if_changed"`
	runnel.Config
}

// scripts are the names of files that are source.
var scripts = []string{".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"}

// script tells whether the file is source: by its name or, when that says nothing,
// because it is text.
func (u *upload) script() bool {
	switch ext := strings.ToLower(path.Ext(u.FileName)); {
	case bytes.HasPrefix(u.File, []byte("\x00asm")), ext == ".wasm", ext == ".wat":
		return false
	case slices.Contains(scripts, ext):
		return true
	}
	return len(u.File) > 0 && utf8.Valid(u.File) && !bytes.ContainsRune(u.File, 0)
}

// readUpload reads the form, in either order of its parts, holding at most one
// module in memory.
func readUpload(w http.ResponseWriter, r *http.Request) (upload, error) {
	const limit = runnel.MaxModuleSize + maxMetadata + 64<<10 // and the form's own bytes
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // the rest will not be read
		return upload{}, errModuleTooLarge()
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	form, err := r.MultipartReader()
	if err != nil {
		return upload{}, runnel.Errorf(runnel.CodeInvalidRequest, "a deploy is a multipart/form-data request with the fields \"metadata\" (JSON) and \"file\" (the module): send it so, for example with curl -F")
	}
	var u upload
	seen := make(map[string]bool)
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return upload{}, uploadError(err)
		}
		name := part.FormName()
		if seen[name] {
			return upload{}, runnel.Errorf(runnel.CodeInvalidRequest, "form field %.80q is there twice: send it once", name)
		}
		seen[name] = true
		switch name {
		case "metadata":
			err = decodeStrict(io.LimitReader(part, maxMetadata), "metadata", &u.metadata)
		case "file":
			u.FileName = path.Base(part.FileName())
			u.File, err = readModule(part)
		default:
			err = runnel.Errorf(runnel.CodeInvalidRequest, "form field %.80q is not known here: send \"metadata\" and \"file\"", name)
		}
		if err != nil {
			return upload{}, uploadError(err)
		}
	}
	for _, name := range []string{"metadata", "file"} {
		if !seen[name] {
			return upload{}, runnel.Errorf(runnel.CodeInvalidRequest, "form field %q is missing: send \"metadata\" (JSON) and \"file\" (the module)", name)
		}
	}
	return u, nil
}

func readModule(part *multipart.Part) ([]byte, error) {
	wasm, err := io.ReadAll(io.LimitReader(part, runnel.MaxModuleSize+1))
	if err != nil {
		return nil, err
	}
	if len(wasm) > runnel.MaxModuleSize {
		return nil, errModuleTooLarge()
	}
	return wasm, nil
}

func errModuleTooLarge() error {
	return runnel.Errorf(runnel.CodeTooLarge, "the module is over the limit of %d bytes: strip it of debug information, or build it for size", runnel.MaxModuleSize)
}

// uploadError tells a form that is too large or broken from everything else.
func uploadError(err error) error {
	var ours *runnel.Error
	switch {
	case errors.As(err, &ours):
		return err
	case errors.As(err, new(*http.MaxBytesError)):
		return errModuleTooLarge()
	}
	return runnel.Errorf(runnel.CodeInvalidRequest, "the multipart form could not be read: send it again").Because(fmt.Errorf("read upload: %w", err))
}

// checkConfig refuses what would not do what it says.
func checkConfig(c runnel.Config) error {
	if c.Environment != nil {
		for k, v := range *c.Environment {
			// It was read from us and is being written back: the secret
			// would be overwritten by its mask.
			if v == redact.Mask {
				return runnel.Errorf(runnel.CodeInvalidRequest, "the value of environment key %s is the mask that stands for a secret: send the secret itself", k)
			}
		}
	}
	return nil
}
