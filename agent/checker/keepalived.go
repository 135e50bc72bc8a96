//go:build linux

package checker

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// keepalived has one file for each part, and one line in its own configuration
// that includes them all.
type keepalived struct{ Parts }

const (
	keepalivedFile = "etc/keepalived/keepalived.conf"
	keepalivedDir  = "etc/keepalived/lvsform"
	include        = "include /" + keepalivedDir + "/*.conf"
)

func (k keepalived) main() string                { return k.path(keepalivedFile) }
func (k keepalived) dir() string                 { return k.path(keepalivedDir) }
func (k keepalived) part(topology string) string { return filepath.Join(k.dir(), topology+".conf") }

// includes tells whether a main file has the line, wherever.
func includes(text string) bool { return includeAt(text) >= 0 }

// includeAt is where the line begins.
func includeAt(text string) int {
	at := 0
	for line := range strings.Lines(text) {
		if slices.Equal(strings.Fields(line), strings.Fields(include)) {
			return at
		}
		at += len(line)
	}
	return -1
}

// read returns the parts that keepalived reads: none without the line.
func (k keepalived) read() (map[string]string, error) {
	parts, err := k.parts()
	if err != nil || len(parts) == 0 {
		return nil, err
	}
	main, err := k.readMain()
	if err != nil || !includes(main.text) {
		return nil, err
	}
	return parts, nil
}

// readMain reads the main file. Somebody's link to it is followed: it is theirs.
func (k keepalived) readMain() (file, error) {
	path, err := filepath.EvalSymlinks(k.main())
	if err != nil {
		return file{}, ignoreAbsent(err)
	}
	return read(path)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (k keepalived) parts() (map[string]string, error) {
	info, err := os.Lstat(k.dir())
	if err != nil {
		return nil, ignoreAbsent(err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is no directory: remove it", k.dir())
	}
	if err := owned(k.dir(), info); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(k.dir())
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, e := range entries {
		topology, ok := strings.CutSuffix(e.Name(), ".conf")
		if !ok || !safe(topology) {
			continue
		}
		f, err := read(filepath.Join(k.dir(), e.Name()))
		if err != nil {
			return nil, err
		}
		out[topology] = f.text
	}
	return out, nil
}

func (k keepalived) put(topology string, text *string) error {
	if text == nil {
		return k.drop(topology)
	}
	main, err := k.readMain()
	if err != nil {
		return err
	}
	if !includes(main.text) {
		if to, err := os.Readlink(k.main()); err == nil {
			return fmt.Errorf("%s is a link to %s, whose owner has to add this line there: %s", k.main(), to, include)
		}
	}
	made := !exists(k.dir())
	if err := os.MkdirAll(k.dir(), 0o700); err != nil {
		return err
	}
	part := file{text: *text, mode: 0o600}
	if err := k.test(main, topology, part); err != nil {
		if made {
			_ = os.Remove(k.dir())
		}
		return err
	}
	// A line that includes nothing says nothing; a part without it would be one
	// that nobody reads.
	if !includes(main.text) {
		if err := k.include(main); err != nil {
			return err
		}
	}
	return replace(k.part(topology), part)
}

// include adds the line at the end of the main file.
func (k keepalived) include(main file) error {
	n := noteOn(main)
	if n.ended {
		main.text += "\n"
	}
	main.text += n.String() + include + "\n"
	if !main.there {
		main.mode = 0o644
	}
	return replace(k.main(), main)
}

// drop removes a part, and with the last one all that lvsform made.
func (k keepalived) drop(topology string) error {
	if err := remove(k.part(topology)); err != nil {
		return err
	}
	left, err := k.parts()
	if err != nil || len(left) > 0 {
		return err
	}
	_ = os.Remove(k.dir()) // unless somebody keeps something there
	main, err := k.readMain()
	if err != nil {
		return err
	}
	at := includeAt(main.text)
	if at < 0 {
		return nil
	}
	before, after := main.text[:at], main.text[at:]
	start := strings.LastIndex(strings.TrimSuffix(before, "\n"), "\n") + 1
	n, ours := parseNote(before[start:])
	if !ours {
		return nil // somebody has written the line by hand
	}
	_, after, _ = strings.Cut(after, "\n")
	return n.restore(k.main(), main, before[:start], after)
}

// test has keepalived read the whole configuration with the part, beside the
// one in use. It complains of things that it has put up with before, too: those
// of the configuration in use are no reason to refuse.
func (k keepalived) test(main file, topology string, part file) error {
	temporary, err := stage(k.part(topology), part)
	if err != nil {
		return err
	}
	defer os.Remove(temporary) //nolint:errcheck // the next one does it
	whole, err := k.whole(main, topology, temporary)
	if err != nil {
		return err
	}
	// Beside the one in use: paths in it may be relative.
	root, err := stage(k.main(), whole)
	if err != nil {
		return err
	}
	defer os.Remove(root) //nolint:errcheck // the next one does it
	complaints, err := k.complaints(root)
	if err != nil || len(complaints) == 0 {
		return err
	}
	if main.there {
		before, err := k.complaints(k.main())
		if err != nil {
			return err
		}
		complaints = slices.DeleteFunc(complaints, func(c string) bool { return slices.Contains(before, c) })
	}
	if len(complaints) == 0 {
		return nil
	}
	return refused(Keepalived, complaints, k.part(topology), part.text)
}

// whole is the main file with all parts, one of them from a file of another name.
func (k keepalived) whole(main file, topology, temporary string) (file, error) {
	parts, err := k.parts()
	if err != nil {
		return file{}, err
	}
	lines := ""
	for _, other := range slices.Sorted(maps.Keys(parts)) {
		if other != topology {
			lines += "include " + k.part(other) + "\n"
		}
	}
	lines += "include " + temporary + "\n"
	whole := main
	whole.mode = 0o600
	at := includeAt(main.text)
	if at < 0 {
		whole.text += "\n" + lines
		return whole, nil
	}
	_, after, _ := strings.Cut(main.text[at:], "\n")
	whole.text = main.text[:at] + lines + after
	return whole, nil
}

// complaints are what keepalived says of a configuration that it does not like.
// Its exit status alone does not tell: a file that is not there is fine, and
// one of a hundred errors hides behind a script that anybody can write to.
func (k keepalived) complaints(path string) ([]string, error) {
	out, err := k.run(Keepalived, "-t", "-f", path)
	if err != nil || out.Code == 0 {
		return nil, err
	}
	var complaints []string
	for line := range strings.Lines(out.Stderr + "\n" + out.Stdout) {
		if line = unstaged(strings.TrimSpace(line)); line != "" && !slices.Contains(complaints, line) {
			complaints = append(complaints, line)
		}
	}
	if len(complaints) == 0 {
		complaints = []string{fmt.Sprintf("keepalived -t ended with %d", out.Code)}
	}
	return complaints, nil
}

// unstaged puts the names of files for those that they have while they are
// tested: DIR/.NAME.staged-by-lvsform.
func unstaged(line string) string {
	for at := strings.Index(line, stagedEnd); at >= 0; at = strings.Index(line, stagedEnd) {
		line = line[:at] + line[at+len(stagedEnd):]
		if dot := strings.LastIndex(line[:at], "/."); dot >= 0 {
			line = line[:dot+1] + line[dot+2:]
		}
	}
	return line
}
