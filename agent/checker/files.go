//go:build linux

package checker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// mostText is how large a file may be that is read or written.
const mostText = 1 << 20

// file is a file as it was found.
type file struct {
	there    bool
	text     string
	mode     fs.FileMode
	uid, gid int
}

// errNotOurs is a file, or directory, that others than root can change.
var errNotOurs = errors.New("it is not root's alone to change: look who made it, then chown root and chmod go-w it")

// read reads a file that only root can change. One that is not there is no error.
func read(path string) (out file, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return out, nil
	case errors.Is(err, unix.ELOOP):
		return out, fmt.Errorf("%s is a symbolic link: put the file itself there", path)
	case err != nil:
		return out, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return out, err
	}
	if !info.Mode().IsRegular() || info.Size() > mostText {
		return out, fmt.Errorf("%s is no regular file of at most %d bytes", path, mostText)
	}
	if err := owned(path, info); err != nil {
		return out, err
	}
	body, err := io.ReadAll(io.LimitReader(f, mostText+1))
	if err != nil {
		return out, err
	}
	if len(body) > mostText {
		return out, fmt.Errorf("%s has more than %d bytes", path, mostText)
	}
	uid, gid := ids(info)
	return file{there: true, text: string(body), mode: info.Mode().Perm(), uid: uid, gid: gid}, nil
}

// owned refuses what others can change: a program runs as root with what it says.
func owned(path string, info fs.FileInfo) error {
	uid, _ := ids(info)
	if uid != os.Geteuid() && uid != 0 || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s: %w", path, errNotOurs)
	}
	return nil
}

func ids(info fs.FileInfo) (uid, gid int) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(st.Uid), int(st.Gid)
}

// replace writes a file beside the old one and renames it into its place.
func replace(path string, f file) error {
	temporary, err := stage(path, f)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// stage writes what is to become a file beside it, under a name that no
// program reads by itself.
func stage(path string, f file) (temporary string, err error) {
	temporary = staged(path)
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) { // of an earlier crash
		return "", err
	}
	out, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return "", err
	}
	_, err = out.WriteString(f.text)
	if f.there && err == nil {
		err = out.Chown(f.uid, f.gid)
	}
	// The umask is that of a session.
	if err = errors.Join(err, out.Chmod(f.mode), out.Sync(), out.Close()); err != nil {
		_ = os.Remove(temporary)
		return "", err
	}
	return temporary, nil
}

func staged(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+stagedEnd)
}

const stagedEnd = ".staged-by-lvsform"

// remove removes a file for good.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// note is a line before what lvsform adds to somebody's file. It says what else
// was done to the file, so that it can be as before when lvsform leaves.
type note struct {
	made  bool        // there was none
	ended bool        // its last line had no end
	mode  fs.FileMode // what it was
}

const noteStart = "# Kept by lvsform, with what follows. The file was "

// noteOn is the note for a file as it is found.
func noteOn(f file) note {
	return note{made: !f.there, ended: f.text != "" && !strings.HasSuffix(f.text, "\n"), mode: f.mode}
}

func (n note) String() string {
	switch {
	case n.made:
		return noteStart + "not there.\n"
	case n.ended:
		return noteStart + "there, mode 0" + strconv.FormatUint(uint64(n.mode), 8) + ", without an end of its last line.\n"
	}
	return noteStart + "there, mode 0" + strconv.FormatUint(uint64(n.mode), 8) + ".\n"
}

// parseNote reads a line back.
func parseNote(line string) (n note, ok bool) {
	said, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), noteStart)
	if !ok {
		return n, false
	}
	n.made = said == "not there."
	n.ended = strings.HasSuffix(said, "without an end of its last line.")
	if _, after, ok := strings.Cut(said, "mode "); ok {
		mode, err := strconv.ParseUint(strings.TrimRight(after[:min(4, len(after))], "., "), 8, 12)
		if err == nil {
			n.mode = fs.FileMode(mode)
		}
	}
	return n, true
}

// restore makes of a file, what lvsform added taken out, what it was before.
func (n note) restore(path string, f file, before, after string) error {
	if n.ended {
		before = strings.TrimSuffix(before, "\n")
	}
	f.text = before + after
	if n.made && f.text == "" {
		return remove(path)
	}
	if n.mode != 0 {
		f.mode = n.mode
	}
	return replace(path, f)
}
