package localpg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who postgres runs as. Nil is the user of this process.
type account struct {
	name     string
	uid, gid uint32
}

// unprivileged returns the account that stands in for root: "postgres", else
// "nobody", else the number nobody has nearly everywhere.
func unprivileged() (*account, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", name, err)
		}
		if uid != 0 {
			return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
		}
	}
	return &account{name: "65534", uid: 65534, gid: 65534}, nil
}

// accountFor returns the owner of the home's data, else the account that is to
// own it. The owner comes first because the account "postgres" may have been
// added to the machine since the data was made.
func (m *machine) accountFor(h *home) (*account, error) {
	if !m.root {
		return nil, nil
	}
	info, err := h.root.Lstat("data")
	if errors.Is(err, fs.ErrNotExist) {
		return m.unprivileged()
	}
	if err != nil {
		return nil, err
	}
	uid, gid := owner(info)
	if uid == 0 {
		return nil, fmt.Errorf("%s belongs to root, and postgres does not run as root: give it to another account (chown -R) or move it away to start empty", h.path("data"))
	}
	return &account{name: strconv.Itoa(int(uid)), uid: uid, gid: gid}, nil
}

// canEnter tells whether the account can walk to dir, or to its nearest existing
// parent. It reads permission bits only: access lists may allow or deny more.
func (a *account) canEnter(dir string) (bool, error) {
	for p := dir; ; p = filepath.Dir(p) {
		real, err := filepath.EvalSymlinks(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		for q := real; ; q = filepath.Dir(q) {
			info, err := os.Stat(q)
			if err != nil {
				return false, err
			}
			uid, gid := owner(info)
			need := fs.FileMode(0o001)
			switch {
			case uid == a.uid:
				need = 0o100
			case gid == a.gid:
				need = 0o010
			}
			if info.Mode()&need == 0 {
				return false, nil
			}
			if q == filepath.Dir(q) {
				return true, nil
			}
		}
	}
}

func owner(info fs.FileInfo) (uid, gid uint32) {
	s := info.Sys().(*syscall.Stat_t)
	return s.Uid, s.Gid
}
