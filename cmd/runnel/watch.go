package main

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// watchInterval is how often files are looked at. Polling works on every file
// system, shared and mounted ones included, and a few hundred files cost nothing.
const watchInterval = 500 * time.Millisecond

// stamp tells one content of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// snapshot is the state of a folder's files, and of its SQL file, which may be
// outside of it.
type snapshot map[string]stamp

func takeSnapshot(dir string, also ...string) snapshot {
	s := make(snapshot)
	add := func(path string, info fs.FileInfo) {
		s[path] = stamp{info.ModTime(), info.Size()}
	}
	// A file that goes away while we look has changed, and that is all we need
	// to know.
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case path != dir && strings.HasPrefix(entry.Name(), "."), entry.Name() == "node_modules":
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case entry.Type().IsRegular():
			if info, err := entry.Info(); err == nil {
				add(path, info)
			}
		}
		return nil
	})
	for _, path := range also {
		if info, err := os.Stat(path); err == nil {
			add(path, info)
		}
	}
	return s
}

// watcher notices changed function folders below root.
type watcher struct {
	root string
	seen map[string]snapshot // as the last deploy saw it, by folder
	last map[string]snapshot // as of the last look
}

func newWatcher(root string) *watcher {
	return &watcher{root: root, seen: make(map[string]snapshot), last: make(map[string]snapshot)}
}

// deploying notes what a folder looks like now, when a deploy begins to read it.
func (w *watcher) deploying(dir string) { w.seen[dir] = w.look(dir) }

func (w *watcher) look(dir string) snapshot {
	var also []string
	if f, err := readFolder(dir); err == nil && f.SQL != "" {
		also = append(also, f.sqlFile())
	}
	return takeSnapshot(dir, also...)
}

// changed lists the folders that differ from when they were deployed and have
// not changed since the last look: an editor may still be writing the others.
func (w *watcher) changed() ([]string, error) {
	dirs, err := findFolders(w.root)
	if err != nil {
		return nil, err
	}
	var changed []string
	for _, dir := range dirs {
		now := w.look(dir)
		if !maps.Equal(now, w.seen[dir]) && maps.Equal(now, w.last[dir]) {
			changed = append(changed, dir)
		}
		w.last[dir] = now
	}
	return changed, nil
}

// watch calls deploy for every folder that changes, until ctx ends.
func (w *watcher) watch(ctx context.Context, deploy func(dirs []string)) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		dirs, err := w.changed()
		if err != nil {
			return err
		}
		if len(dirs) > 0 {
			deploy(dirs)
		}
	}
}
