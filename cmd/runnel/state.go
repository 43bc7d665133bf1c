package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// stateDir is where runnel dev keeps its database and its secrets, below the
// folder it is started in.
const stateDir = ".runnel"

const stateFile = "dev.json"

// state is what a running runnel dev tells the other commands, and what it keeps
// from one start to the next. The file is readable by its owner only.
type state struct {
	URL         string `json:"url"`
	DatabaseURL string `json:"database_url"`
	AdminToken  string `json:"admin_token"`
	JWTSecret   string `json:"jwt_secret"`
	SlotSecret  string `json:"slot_secret,omitempty"`
	SecretKeys  string `json:"secret_keys,omitempty"`
	AnonKey     string `json:"anon_key"`
	ServiceKey  string `json:"service_key"`
}

// findState reads the state of the runnel dev of this folder or of the nearest
// one above it. ok is false when there is none.
func findState() (s state, ok bool, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return state{}, false, err
	}
	for {
		s, err := readState(filepath.Join(dir, stateDir))
		if !errors.Is(err, fs.ErrNotExist) {
			return s, err == nil, err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return state{}, false, nil
		}
		dir = parent
	}
}

func readState(dir string) (state, error) {
	path := filepath.Join(dir, stateFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return state{}, fmt.Errorf("%s is not valid (%w): remove it and start runnel dev again", path, err)
	}
	return s, nil
}

// writeState replaces the file as a whole, so that no reader sees half of it.
func writeState(dir string, s state) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, stateFile+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, stateFile))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
